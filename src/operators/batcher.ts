import { Observable, Subscription, defer } from 'rxjs';
import type { MonoTypeOperatorFunction, SchedulerLike, Subscriber } from 'rxjs';
import { schedule } from './time.ts';
import { guarded } from './to-observable.ts';

/** The result or error of one item of a batch. */
export type BatchOutcome<Result> = { readonly value: Result } | { readonly error: unknown };

/** Collects items into batches, and sends them. */
export interface BatcherOptions<Item, Result> {
  /** The time that the first item of a batch waits for others, in milliseconds. */
  readonly maxWait: number;
  /** The size of a batch that is sent without waiting any longer. */
  readonly maxSize: number;
  readonly scheduler: SchedulerLike;
  /** Sends a batch of one item. */
  readonly alone: (item: Item) => Observable<Result>;
  /** Sends a batch. Emits the outcome of each item, in the order of the items. */
  readonly together: (items: readonly Item[]) => Observable<readonly BatchOutcome<Result>[]>;
  /** Tells whether one item may have made the batch fail, so that each item is sent alone. */
  readonly separable: (error: unknown) => boolean;
  /** Returns the key of an item. A batch holds each key once. */
  readonly identity?: (item: Item) => string;
}

interface Member<Item, Result> {
  readonly item: Item;
  readonly subscriber: Subscriber<Result>;
}

/**
 * Combines many requests into one: items that are added within a short time are sent together.
 * Each subscriber gets its own result or error.
 *
 * Unsubscribing removes one item. When all subscribers have unsubscribed, the request is aborted.
 */
export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>;
  readonly #onIdle: () => void;
  #open: Batch<Item, Result> | null = null;

  /** @param onIdle - Called when no batch is open any more. */
  constructor(options: BatcherOptions<Item, Result>, onIdle: () => void = () => {}) {
    this.#options = options;
    this.#onIdle = onIdle;
  }

  /** Adds an item to the open batch, or opens a batch. */
  add(item: Item, subscriber: Subscriber<Result>): void {
    const identity = this.#options.identity?.(item);
    if (identity !== undefined && this.#open?.identities.has(identity)) {
      const previous = this.#open;
      this.#open = null;
      previous.send();
    }
    const batch = (this.#open ??= new Batch(this.#options, (closed) => {
      if (this.#open !== closed) return;
      this.#open = null;
      this.#onIdle();
    }));
    if (identity !== undefined) batch.identities.add(identity);
    batch.add({ item, subscriber });
  }
}

class Batch<Item, Result> {
  readonly identities = new Set<string>();
  readonly #options: BatcherOptions<Item, Result>;
  readonly #onClosed: (batch: Batch<Item, Result>) => void;
  readonly #members = new Set<Member<Item, Result>>();
  #timer = Subscription.EMPTY;
  #request = Subscription.EMPTY;

  constructor(
    options: BatcherOptions<Item, Result>,
    onClosed: (batch: Batch<Item, Result>) => void,
  ) {
    this.#options = options;
    this.#onClosed = onClosed;
  }

  add(member: Member<Item, Result>): void {
    this.#members.add(member);
    member.subscriber.add(() => this.#remove(member));
    const { maxSize, maxWait, scheduler } = this.#options;
    const { size } = this.#members;
    if (size >= maxSize) this.send();
    else if (size === 1) this.#timer = schedule(() => this.send(), maxWait, scheduler);
  }

  send(): void {
    this.#timer.unsubscribe();
    this.#onClosed(this);
    const members = [...this.#members];
    const [first] = members;
    if (first === undefined) return;
    if (members.length === 1) {
      this.#sendAlone(first);
      return;
    }
    const { together, separable } = this.#options;
    const failAll = (error: unknown): void => {
      for (const member of this.#members) member.subscriber.error(error);
    };
    const request = defer(() => together(members.map(({ item }) => item)));
    this.#request = request.subscribe(
      guarded(
        { error: failAll },
        {
          next: (outcomes) =>
            members.forEach((member, i) => deliver(member, outcomes[i] as BatchOutcome<Result>)),
          error: (error: unknown) => {
            // `#members` no longer holds the subscribers that have unsubscribed.
            for (const member of this.#members) {
              if (separable(error)) this.#sendAlone(member);
              else member.subscriber.error(error);
            }
          },
        },
      ),
    );
  }

  #sendAlone({ item, subscriber }: Member<Item, Result>): void {
    subscriber.add(this.#options.alone(item).subscribe(subscriber));
  }

  #remove(member: Member<Item, Result>): void {
    this.#members.delete(member);
    if (this.#members.size > 0) return;
    this.#timer.unsubscribe();
    this.#request.unsubscribe();
    this.#onClosed(this);
  }
}

function deliver<Item, Result>(
  { subscriber }: Member<Item, Result>,
  outcome: BatchOutcome<Result>,
): void {
  if ('error' in outcome) {
    subscriber.error(outcome.error);
    return;
  }
  subscriber.next(outcome.value);
  subscriber.complete();
}

/** Returns an Observable that adds an item to a batch at each subscription. */
export function batched<Item, Result>(
  getBatcher: () => Batcher<Item, Result>,
  getItem: () => Item,
): Observable<Result> {
  return new Observable((subscriber) => getBatcher().add(getItem(), subscriber));
}

/**
 * Returns an operator that queues its sources. It subscribes to each source when the one before has
 * ended, so that no two sources of the same operator overlap.
 *
 * - **Temperature:** that of the source.
 * - **Emits, completes, errors** as the source does, from its turn on.
 * - **On unsubscribe** the source is unsubscribed, or leaves the queue, and the next source starts.
 */
export function serialize<T>(): MonoTypeOperatorFunction<T> {
  const queue: (() => void)[] = [];
  return (source) =>
    new Observable((subscriber) => {
      if (subscriber.closed) return;
      const start = (): void => {
        subscriber.add(source.subscribe(subscriber));
      };
      // Runs when the source ends, and on unsubscribe.
      subscriber.add(() => {
        const index = queue.indexOf(start);
        queue.splice(index, 1);
        if (index === 0) queue[0]?.();
      });
      queue.push(start);
      if (queue.length === 1) start();
    });
}
