import { Subscription, catchError, endWith, ignoreElements, mergeMap, retry, tap } from 'rxjs';
import type { BehaviorSubject, Observable, Subscriber } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { Connection } from '../http/connection.ts';
import { retryTransient } from '../http/retry-transient.ts';
import type { Change, Sequence } from '../model/change.ts';
import { RetryPolicy, backoff } from '../operators/retry-policy.ts';
import { guarded, toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';
import { CheckpointWriter } from './checkpoint.ts';
import type { CheckpointStore } from './checkpoint.ts';
import { Feed } from './feed.ts';
import { longestSilence } from './feed-pace.ts';
import { startSequence } from './feed-source.ts';
import type { FeedSource } from './feed-source.ts';
import type { FeedBehaviour, FeedState } from './feed-model.ts';
import { sliceOf } from './slice.ts';
import type { ConsumerSlice } from './slice.ts';

/**
 * Handles one change. `consume` waits until the Promise or Observable that it returns has ended. If
 * the handler throws or errors, `consume` calls it again.
 */
export type ChangeHandler<T extends object> = (change: Change<T>) => ValueOrAsync<unknown>;

/** Takes a change whose handler has failed every attempt, with the last error. */
export type DeadLetterHandler<T extends object> = (
  change: Change<T>,
  error: unknown,
) => ValueOrAsync<unknown>;

/** The progress of a consumer. */
export interface ConsumeProgress {
  /** The sequence that was stored. */
  readonly seq: Sequence;
  /** How many changes have been handled since the subscription. */
  readonly handled: number;
  /** How many changes went to `deadLetter` since the subscription. */
  readonly failed: number;
  /** How many changes are still to be handled, as far as the server told; null if it did not. */
  readonly pending: number | null;
}

/** The bytes of changes that one request reads at most, so that large documents do not fill the memory. */
const MAX_BYTES = 16_777_216;

/** The options of a consumer, with defaults. */
export interface Settings<T extends object> {
  readonly source: FeedSource<Change<T>>;
  readonly handler: ChangeHandler<T>;
  readonly behaviour: FeedBehaviour;
  readonly batchSize: number;
  readonly concurrency: number;
  readonly attempts: number;
  /** The documents to handle; undefined means all. */
  readonly slice: ConsumerSlice | undefined;
  readonly checkpoint: CheckpointStore;
  readonly checkpointInterval: number;
  readonly deadLetter: DeadLetterHandler<T> | undefined;
}

/** A change that was read and whose sequence is not stored. */
interface Entry<T extends object> {
  readonly change: Change<T>;
  status: 'waiting' | 'running' | 'done';
}

/** One subscription to a consumer. */
export class ConsumerRun<T extends object> {
  readonly #settings: Settings<T>;
  readonly #state$: BehaviorSubject<FeedState>;
  readonly #subscriber: Subscriber<ConsumeProgress>;
  readonly #onHandled: (seq: Sequence) => void;
  readonly #writer: CheckpointWriter<ConsumeProgress>;
  readonly #handlers = new Subscription();
  readonly #reading = new Subscription();
  /** In the order of their sequences. */
  #entries: Entry<T>[] = [];
  readonly #busyIds = new Set<string>();
  #feed: Feed<Change<T>> | null = null;
  #handled = 0;
  #failed = 0;
  #isStopped = false;
  #isPumping = false;

  constructor(
    settings: Settings<T>,
    state$: BehaviorSubject<FeedState>,
    subscriber: Subscriber<ConsumeProgress>,
    onHandled: (seq: Sequence) => void,
  ) {
    this.#settings = settings;
    this.#state$ = state$;
    this.#subscriber = subscriber;
    this.#onHandled = onHandled;
    const { checkpoint, checkpointInterval, source, behaviour } = settings;
    const pace = { interval: checkpointInterval, backoff: behaviour.backoff };
    const { scheduler } = source.connection;
    this.#writer = new CheckpointWriter(checkpoint, pace, scheduler, {
      written: (progress) => subscriber.next(progress),
      failed: (error) => subscriber.error(error),
    });
  }

  start(): void {
    const { source, behaviour, checkpoint, batchSize } = this.#settings;
    const { connection } = source;
    const { errorTolerance, heartbeat, since } = behaviour;
    const policy = new RetryPolicy(behaviour.backoff, errorTolerance, connection.scheduler);
    this.#state$.next({ status: 'connecting', attempt: 0 });
    const start$ = startSequence(source, checkpoint, since, longestSilence(heartbeat)).pipe(
      retryTransient(connection, policy, (attempt, delay, error) =>
        this.#state$.next({ status: 'waiting', attempt, delay, error }),
      ),
    );
    const items$ = start$.pipe(
      mergeMap((seq) => {
        const limits = { pollLimit: batchSize, maxBytes: MAX_BYTES, onDemand: true };
        const feed = new Feed(source, { ...behaviour, since: seq }, this.#state$, limits);
        this.#feed = feed;
        return feed;
      }),
    );
    this.#subscriber.add(this.#reading);
    this.#subscriber.add(this.#handlers);
    this.#subscriber.add(() => this.#writer.close());
    this.#reading.add(
      items$.subscribe(
        guarded(this.#subscriber, {
          next: (changes) => this.#take(changes),
          error: (error: CorduroyError) => {
            this.#state$.next({ status: 'failed', error });
            this.#subscriber.error(error);
          },
        }),
      ),
    );
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#reading.unsubscribe();
    this.#pump();
  }

  #counts(): Omit<ConsumeProgress, 'seq'> {
    const unread = this.#feed?.pending ?? null;
    const pending = unread === null ? null : unread + this.#entries.length;
    return { handled: this.#handled, failed: this.#failed, pending };
  }

  #take(changes: readonly Change<T>[]): void {
    const { slice } = this.#settings;
    for (const change of changes) {
      // The checkpoint must move past the changes of other slices, so they count as done.
      const isOwn = slice === undefined || sliceOf(change.id, slice.of) === slice.index;
      this.#entries.push({ change, status: isOwn ? 'waiting' : 'done' });
    }
    this.#pump();
  }

  /** Starts as many handlers as may run, and notes how far the consumer has come. */
  #pump(): void {
    // A handler that ends at once comes back here.
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (let entry = this.#nextEntry(); entry !== null; entry = this.#nextEntry())
      this.#handle(entry);
    this.#isPumping = false;
    this.#note();
    if (this.#subscriber.closed) return;
    if (!this.#isStopped) {
      if (this.#entries.length === 0) this.#feed?.demand();
    } else if (this.#busyIds.size === 0) {
      this.#writer.finish(() => this.#subscriber.complete());
    }
  }

  #nextEntry(): Entry<T> | null {
    const isFull = this.#busyIds.size >= this.#settings.concurrency;
    if (isFull || this.#isStopped || this.#subscriber.closed) return null;
    const isNext = ({ status, change: { id } }: Entry<T>): boolean =>
      status === 'waiting' && !this.#busyIds.has(id);
    return this.#entries.find(isNext) ?? null;
  }

  /** Notes the sequence before which all changes are handled. */
  #note(): void {
    const count = this.#entries.findIndex(({ status }) => status !== 'done');
    const done = this.#entries.splice(0, count < 0 ? this.#entries.length : count);
    const last = done.at(-1)?.change.seq ?? null;
    // The end of a poll is after its last change.
    const isAll = this.#entries.length === 0 && !this.#isStopped;
    const seq = isAll ? (this.#feed?.seq ?? last) : last;
    if (seq === null || seq === 'now') return;
    this.#onHandled(seq);
    const progress = { seq, ...this.#counts() };
    if (this.#entries.length === 0) this.#writer.note(progress);
    else this.#writer.noteInPassing(progress);
  }

  #handle(entry: Entry<T>): void {
    const { change } = entry;
    entry.status = 'running';
    this.#busyIds.add(change.id);
    const handling = this.#attempts(change).subscribe({
      error: (error: unknown) => this.#subscriber.error(error),
      complete: () => {
        entry.status = 'done';
      },
    });
    this.#handlers.add(handling);
    // After the teardown of the handler, so that it is not running while the next one is.
    handling.add(() => {
      this.#busyIds.delete(change.id);
      if (entry.status === 'done') this.#pump();
    });
  }

  #attempts(change: Change<T>): Observable<unknown> {
    const { handler, attempts, behaviour, deadLetter, source } = this.#settings;
    return handleChange(source.connection, behaviour, attempts, {
      handle: () => handler(change),
      giveUp: deadLetter && ((error) => deadLetter(change, error)),
    }).pipe(
      tap((outcome) => {
        if (outcome === 'handled') this.#handled += 1;
        else this.#failed += 1;
      }),
    );
  }
}

/** The calls for one change. */
interface ChangeCalls {
  readonly handle: () => ValueOrAsync<unknown>;
  /** Takes the change if all attempts have failed. */
  readonly giveUp: ((error: unknown) => ValueOrAsync<unknown>) | undefined;
}

/**
 * Calls the handler of a change until it succeeds, `attempts` times at most, and then the handler of dead
 * letters. Emits once, however many values the handlers emit.
 */
export function handleChange(
  connection: Connection,
  behaviour: FeedBehaviour,
  attempts: number,
  { handle, giveUp }: ChangeCalls,
): Observable<'handled' | 'failed'> {
  const handled$ = toObservable(handle).pipe(
    retry({
      count: attempts - 1,
      delay: (_error, failures) => connection.after(backoff(failures, behaviour.backoff)),
    }),
    ignoreElements(),
    endWith('handled' as const),
  );
  if (giveUp === undefined) return handled$;
  return handled$.pipe(
    catchError((error: unknown) =>
      toObservable(() => giveUp(error)).pipe(ignoreElements(), endWith('failed' as const)),
    ),
  );
}
