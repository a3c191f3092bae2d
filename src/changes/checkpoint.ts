import { EMPTY, Observable, catchError, map, mergeMap, of, retry, throwError } from 'rxjs';
import { isTransient } from '../errors/corduroy-error.ts';
import { isConflict, isNotFound } from '../errors/http-error.ts';
import { asObject, stringField } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
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

/**
 * Returns a checkpoint in Web Storage.
 *
 * @param key - The key of the item that holds the sequence.
 *
 * @example
 * orders.changes$({ checkpoint: storageCheckpoint(localStorage, 'orders') }).subscribe(show);
 */
export function storageCheckpoint(
  storage: Pick<Storage, 'getItem' | 'setItem'>,
  key: string,
): CheckpointStore {
  return {
    read: () => storage.getItem(key),
    write: (seq) => storage.setItem(key, seq),
  };
}

/**
 * Writes the sequences of delivered batches to a checkpoint, one write at a time. During a write
 * only the latest sequence is kept. A transient error is ignored: the next write makes up for it.
 */
export class CheckpointWriter {
  readonly #store: CheckpointStore;
  #next: Sequence | undefined;
  #writing = false;

  constructor(store: CheckpointStore) {
    this.#store = store;
  }

  /**
   * Emits the batches, and stores the sequence of each after the subscriber has received it.
   * Completes after the last write. Unsubscribing does not cancel a write that has begun, because
   * that could leave half a checkpoint.
   */
  recordDelivered<Batch extends { readonly seq: Sequence }>(
    batches: Observable<Batch>,
  ): Observable<Batch> {
    return new Observable((subscriber) => {
      let finished = false;
      const callbacks: WriteCallbacks = {
        onError: (error) => subscriber.error(error),
        onIdle: () => {
          if (finished) subscriber.complete();
        },
      };
      return batches.subscribe(
        guarded(subscriber, {
          next: (batch) => {
            subscriber.next(batch);
            this.#next = batch.seq;
            if (!this.#writing) this.#write(callbacks);
          },
          complete: () => {
            finished = true;
            if (!this.#writing) callbacks.onIdle();
          },
        }),
      );
    });
  }

  #write(callbacks: WriteCallbacks): void {
    const seq = this.#next;
    this.#writing = seq !== undefined;
    if (seq === undefined) {
      callbacks.onIdle();
      return;
    }
    this.#next = undefined;
    toObservable(() => this.#store.write(seq))
      .pipe(catchError((error: unknown) => (isTransient(error) ? EMPTY : throwError(() => error))))
      .subscribe(guarded({ error: callbacks.onError }, { complete: () => this.#write(callbacks) }));
  }
}

interface WriteCallbacks {
  readonly onError: (error: unknown) => void;
  /** Called when no sequence is left to write. */
  readonly onIdle: () => void;
}

interface StoredCheckpoint {
  readonly rev: string | undefined;
  readonly seq: Sequence | null;
}

/**
 * Returns a checkpoint in a `_local/` document of the database itself. CouchDB does not replicate
 * it, and the consumer can resume on another machine.
 *
 * @param name - The consumer's name. The document's id is `_local/corduroy-<name>`.
 * @throws TypeError if the name is empty or no string.
 * @see https://docs.couchdb.org/en/stable/api/local.html
 */
export function documentCheckpoint(db: DatabaseScope, name: string): CheckpointStore {
  if (typeof name !== 'string' || name === '')
    throw invalidArgument('localCheckpoint: name', 'a string that is not empty', name);
  const address = documentAt(db, `_local/corduroy-${name}`, '', 'localCheckpoint: name');
  let rev: string | undefined;

  const read = (): Observable<StoredCheckpoint> =>
    db.connection
      .json(
        () => address,
        (body) => ({ rev: stringField(body, '_rev'), seq: stringField(body, 'seq') }),
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
          return stored.seq;
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
