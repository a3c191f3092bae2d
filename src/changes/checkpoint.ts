import { Observable, catchError, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { SchedulerLike, Subscription } from 'rxjs';
import { isTransient } from '../errors/corduroy-error.ts';
import { isConflict, isNotFound } from '../errors/http-error.ts';
import { asObject, stringField } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { clock, schedule } from '../operators/time.ts';
import { guarded, toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';

/**
 * Stores the sequence up to which a consumer has processed changes, so that it resumes there after
 * a restart. Delivery is at least once: a change may come again, and none is missed.
 */
export interface CheckpointStore {
  /** Reads the stored sequence; null if none is stored. */
  readonly read: () => ValueOrAsync<Sequence | null>;
  /** Stores a sequence. Corduroy writes the next sequence only after this write has ended. */
  readonly write: (seq: Sequence) => ValueOrAsync<unknown>;
}

/**
 * Returns a checkpoint in memory, which lasts as long as the program: for tests, and to resume when
 * you subscribe again.
 *
 * @param initial - The sequence to start from. Null means that no sequence is stored.
 */
export function memoryCheckpoint(initial: Sequence | null = null): CheckpointStore {
  let stored = initial;
  return {
    read: () => stored,
    write: (seq) => {
      stored = seq;
    },
  };
}

/** The part of `localStorage` that a checkpoint needs. Declared here, because Node's types have no DOM. */
interface WebStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/**
 * Returns a checkpoint in Web Storage.
 *
 * @param key - The key of the item that holds the sequence.
 *
 * @example
 * orders.changes$({ checkpoint: storageCheckpoint(localStorage, 'orders') }).subscribe(show);
 */
export function storageCheckpoint(storage: WebStorage, key: string): CheckpointStore {
  const { getItem, setItem } = Object(storage) as Partial<WebStorage>;
  if (typeof getItem !== 'function' || typeof setItem !== 'function')
    throw invalidArgument('storageCheckpoint: storage', 'localStorage or sessionStorage', storage);
  if (typeof key !== 'string' || key === '')
    throw invalidArgument('storageCheckpoint: key', 'a string that is not empty', key);
  return {
    read: () => storage.getItem(key),
    write: (seq) => storage.setItem(key, seq),
  };
}

/** How often a checkpoint is written. */
export interface CheckpointPace {
  /** The shortest time between two writes, in milliseconds. */
  readonly interval: number;
  /** The delays before a failed write is repeated. */
  readonly backoff: BackoffOptions;
}

/** The calls of a {@link CheckpointWriter} to its user. */
interface WriterEvents<Note> {
  /** A sequence was stored. */
  readonly written: (note: Note) => void;
  /** The store failed, and a retry would not help. */
  readonly failed: (error: unknown) => void;
}

/** How often the last write is retried. */
const LAST_ATTEMPTS = 5;

/**
 * Writes sequences to a checkpoint, one write at a time and at most one in an interval. Only the latest
 * sequence is kept. After a transient error it is written again.
 */
export class CheckpointWriter<Note extends { readonly seq: Sequence }> {
  readonly #store: CheckpointStore;
  readonly #interval: number;
  readonly #backoff: BackoffOptions;
  readonly #scheduler: SchedulerLike;
  readonly #events: WriterEvents<Note>;
  readonly #now: () => number;
  #next: Note | null = null;
  #stored: Sequence | null = null;
  #isWriting = false;
  #lastWrite = -Infinity;
  #failures = 0;
  #timer: Subscription | null = null;
  /** Called when all is written. */
  #onIdle: (() => void) | null = null;

  constructor(
    store: CheckpointStore,
    { interval, backoff: backoffOptions }: CheckpointPace,
    scheduler: SchedulerLike,
    events: WriterEvents<Note>,
  ) {
    this.#store = store;
    this.#interval = interval;
    this.#backoff = backoffOptions;
    this.#scheduler = scheduler;
    this.#events = events;
    this.#now = clock(scheduler);
  }

  /** Writes a sequence: at once if the last write was long enough ago. */
  note(note: Note): void {
    if (this.#keep(note)) this.#schedule();
  }

  /** Writes a sequence after one interval, because another one will follow. */
  noteInPassing(note: Note): void {
    if (!this.#keep(note) || this.#isWriting || this.#timer !== null) return;
    this.#timer = schedule(() => this.#proceed(), this.#interval, this.#scheduler);
  }

  #keep(note: Note): boolean {
    if (note.seq === this.#stored && this.#next === null) return false;
    this.#next = note;
    return true;
  }

  /** Writes what is left at once, and calls back. */
  finish(onIdle: () => void): void {
    this.#onIdle = onIdle;
    this.#failures = 0;
    this.#proceed();
  }

  /** Writes what is left at once. A write that has begun is not cancelled: it could be left half done. */
  close(): void {
    this.finish(() => {});
  }

  #proceed(): void {
    this.#timer?.unsubscribe();
    this.#timer = null;
    if (this.#isWriting) return;
    if (this.#next !== null) this.#write(this.#next);
    else this.#onIdle?.();
  }

  #schedule(): void {
    if (this.#isWriting) return;
    const pause = this.#failures > 0 ? backoff(this.#failures, this.#backoff) : 0;
    const interval = this.#onIdle === null ? Math.max(this.#interval, pause) : pause;
    const wait = this.#lastWrite + interval - this.#now();
    if (wait <= 0) this.#proceed();
    else this.#timer ??= schedule(() => this.#proceed(), wait, this.#scheduler);
  }

  #write(note: Note): void {
    this.#next = null;
    this.#isWriting = true;
    this.#lastWrite = this.#now();
    toObservable(() => this.#store.write(note.seq)).subscribe({
      error: (error: unknown) => {
        this.#isWriting = false;
        this.#failures += 1;
        const isLast = this.#onIdle !== null && this.#failures >= LAST_ATTEMPTS;
        if (!isTransient(error) || isLast) return this.#events.failed(error);
        this.#next ??= note;
        return this.#schedule();
      },
      complete: () => {
        this.#isWriting = false;
        this.#failures = 0;
        this.#stored = note.seq;
        this.#events.written(note);
        if (this.#next !== null) this.#schedule();
        else this.#onIdle?.();
      },
    });
  }
}

/**
 * Emits the batches, and stores the sequence of each after the subscriber has received it. Completes
 * after the last write.
 *
 * @param progress$ - Emits other sequences to store, which have moved without a batch.
 */
export function recordDelivered<Batch extends { readonly seq: Sequence }>(
  batches$: Observable<Batch>,
  progress$: Observable<Sequence>,
  store: CheckpointStore,
  pace: CheckpointPace,
  scheduler: SchedulerLike,
): Observable<Batch> {
  return new Observable((subscriber) => {
    const writer = new CheckpointWriter(store, pace, scheduler, {
      written: () => {},
      failed: (error) => subscriber.error(error),
    });
    subscriber.add(() => writer.close());
    subscriber.add(progress$.subscribe((seq) => writer.note({ seq })));
    return batches$.subscribe(
      guarded(subscriber, {
        next: (batch) => {
          subscriber.next(batch);
          writer.note({ seq: batch.seq });
        },
        complete: () => writer.finish(() => subscriber.complete()),
      }),
    );
  });
}

interface StoredCheckpoint {
  readonly rev: string | undefined;
  readonly seq: unknown;
}

/**
 * Returns a checkpoint in a `_local/` document of the database itself. CouchDB does not replicate
 * it, and the consumer can resume on another machine.
 *
 * @param name - The consumer's name. The document's id is `_local/corduroy-<name>`.
 * @param suffix - The end of the id, for a part of a consumer.
 * @throws TypeError if the name is empty or no string.
 * @see https://docs.couchdb.org/en/stable/api/local.html
 */
export function documentCheckpoint(db: DatabaseScope, name: string, suffix = ''): CheckpointStore {
  if (typeof name !== 'string' || name === '')
    throw invalidArgument('localCheckpoint: name', 'a string that is not empty', name);
  const address = documentAt(db, `_local/corduroy-${name}${suffix}`, '', 'localCheckpoint: name');
  let rev: string | undefined;

  const read = (): Observable<StoredCheckpoint> =>
    db.connection
      .json(
        () => address,
        // `startSequence` refuses what is not a sequence.
        (body) => ({ rev: stringField(body, '_rev'), seq: asObject(body)['seq'] ?? '' }),
      )
      .pipe(
        map(({ value }) => value),
        catchError((error: unknown) =>
          isNotFound(error) ? of({ rev: undefined, seq: null }) : throwError(() => error),
        ),
      );

  const write = (seq: Sequence): Observable<unknown> =>
    db.connection
      .json(
        () => ({
          ...address,
          method: 'PUT',
          json: { seq, ...(rev !== undefined && { _rev: rev }) },
        }),
        (body) => String(asObject(body)['rev']),
      )
      .pipe(map(({ value }) => (rev = value)));

  return {
    read: () =>
      read().pipe(
        map((stored) => {
          ({ rev } = stored);
          return stored.seq as Sequence | null;
        }),
      ),
    write: (seq) =>
      write(seq).pipe(
        retry({
          count: 1,
          // Another consumer wrote the document, or the answer to an own write was lost. The
          // retry overwrites it.
          delay: (error: unknown) =>
            isConflict(error)
              ? read().pipe(mergeMap((stored) => of((rev = stored.rev))))
              : throwError(() => error),
        }),
      ),
  };
}
