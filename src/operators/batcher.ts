import { Observable, Subscription } from 'rxjs';
import type { MonoTypeOperatorFunction, SchedulerLike, Subscriber } from 'rxjs';

/** What became of one item of several that were sent together. */
export type BatchOutcome<Result> = { readonly value: Result } | { readonly error: unknown };

/** How items are gathered, and sent. */
export interface BatcherOptions<Item, Result> {
  /** How long the first of them waits for others, in milliseconds. */
  readonly maxWait: number;
  /** How many are sent together at most; when there are so many, nothing is waited for. */
  readonly maxSize: number;
  readonly scheduler: SchedulerLike;
  readonly alone: (item: Item) => Observable<Result>;
  /** Emits what became of each, in their order. */
  readonly together: (items: readonly Item[]) => Observable<readonly BatchOutcome<Result>[]>;
  /** Tells whether a failure of all may be the fault of one, so that each is to be sent alone. */
  readonly separable: (error: unknown) => boolean;
  /** What must not be twice among those that are sent together. */
  readonly identity?: (item: Item) => string;
}

interface Member<Item, Result> {
  readonly item: Item;
  readonly subscriber: Subscriber<Result>;
}

/**
 * Makes one request of many: items that are asked for within a short while are sent together, and
 * each subscriber gets its own result or error.
 *
 * A subscriber that leaves disturbs no other; when all have left, the request is aborted.
 */
export class Batcher<Item, Result> {
  readonly #gathering: BatcherOptions<Item, Result>;
  readonly #onIdle: () => void;
  #open: Batch<Item, Result> | null = null;

  /** @param onIdle - Called when nothing is being gathered any more. */
  constructor(gathering: BatcherOptions<Item, Result>, onIdle: () => void = () => {}) {
    this.#gathering = gathering;
    this.#onIdle = onIdle;
  }

  /** Adds an item to those that are being gathered. */
  add(item: Item, subscriber: Subscriber<Result>): void {
    const identity = this.#gathering.identity?.(item);
    if (identity !== undefined && this.#open?.identities.has(identity)) {
      const full = this.#open;
      this.#open = null;
      full.send();
    }
    const batch = (this.#open ??= new Batch(this.#gathering, (closed) => {
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
  readonly #gathering: BatcherOptions<Item, Result>;
  readonly #onClosed: (batch: Batch<Item, Result>) => void;
  readonly #members = new Set<Member<Item, Result>>();
  #wait = Subscription.EMPTY;
  #request = Subscription.EMPTY;

  constructor(
    gathering: BatcherOptions<Item, Result>,
    onClosed: (batch: Batch<Item, Result>) => void,
  ) {
    this.#gathering = gathering;
    this.#onClosed = onClosed;
  }

  add(member: Member<Item, Result>): void {
    this.#members.add(member);
    member.subscriber.add(() => this.#leave(member));
    const { maxSize, maxWait, scheduler } = this.#gathering;
    const { size } = this.#members;
    if (size >= maxSize) this.send();
    else if (size === 1) this.#wait = scheduler.schedule(() => this.send(), maxWait);
  }

  send(): void {
    this.#wait.unsubscribe();
    this.#onClosed(this);
    const members = [...this.#members];
    const [first] = members;
    if (first === undefined) return;
    if (members.length === 1) {
      this.#sendAlone(first);
      return;
    }
    const { together, separable } = this.#gathering;
    this.#request = together(members.map(({ item }) => item)).subscribe({
      next: (results) =>
        members.forEach((member, i) => settle(member, results[i] as BatchOutcome<Result>)),
      error: (error: unknown) => {
        // Those that have left are not sent again.
        for (const member of this.#members) {
          if (separable(error)) this.#sendAlone(member);
          else member.subscriber.error(error);
        }
      },
    });
  }

  #sendAlone({ item, subscriber }: Member<Item, Result>): void {
    subscriber.add(this.#gathering.alone(item).subscribe(subscriber));
  }

  #leave(member: Member<Item, Result>): void {
    this.#members.delete(member);
    if (this.#members.size > 0) return;
    this.#wait.unsubscribe();
    this.#request.unsubscribe();
    this.#onClosed(this);
  }
}

function settle<Item, Result>(
  { subscriber }: Member<Item, Result>,
  result: BatchOutcome<Result>,
): void {
  if ('error' in result) {
    subscriber.error(result.error);
    return;
  }
  subscriber.next(result.value);
  subscriber.complete();
}

/** Returns an Observable that adds an item to what is being gathered, at each subscription. */
export function batched<Item, Result>(
  gatherer: () => Batcher<Item, Result>,
  item: () => Item,
): Observable<Result> {
  return new Observable((subscriber) => gatherer().add(item(), subscriber));
}

/**
 * Returns an operator that subscribes to its sources one after the other, in the order in which they
 * are subscribed to: those that go through the same one never overlap.
 *
 * - **Temperature:** that of the source.
 * - **Emits, completes, errors** as the source does, when its turn has come.
 * - **On unsubscribe** the source is left, or its place in the queue, and the next one's turn comes.
 */
export function serialize<T>(): MonoTypeOperatorFunction<T> {
  const queue: (() => void)[] = [];
  return (source) =>
    new Observable((subscriber) => {
      const begin = (): void => {
        subscriber.add(source.subscribe(subscriber));
      };
      // Called when the source has ended as well as when it was left.
      subscriber.add(() => {
        const place = queue.indexOf(begin);
        queue.splice(place, 1);
        if (place === 0) queue[0]?.();
      });
      queue.push(begin);
      if (queue.length === 1) begin();
    });
}
