import { EMPTY, Observable, catchError, map, mergeMap, of, retry, throwError } from 'rxjs';
import { isTransient } from '../errors/corduroy-error.ts';
import { isConflict, isNotFound } from '../errors/http-error.ts';
import { asObject, stringField } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { segment } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';

/**
 * Where a consumer notes how far it has come, so that it goes on there after a restart. It may be
 * handed the same change again (at least once), and never misses one.
 */
export interface CheckpointStore {
  /** Reads the sequence that was noted last; null where there is none. */
  readonly read: () => ValueOrAsync<Sequence | null>;
  /** Notes a sequence; the next is noted when this one has been. */
  readonly write: (seq: Sequence) => ValueOrAsync<unknown>;
}

/** Returns a checkpoint that lasts as long as the program: for tests, and for reconnecting. */
export function memoryCheckpoint(initial: Sequence | null = null): CheckpointStore {
  let noted = initial;
  return {
    read: () => noted,
    write: (seq) => {
      noted = seq;
    },
  };
}

/** Returns a checkpoint in Web Storage, as in `storageCheckpoint(localStorage, 'orders')`. */
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
 * Notes the sequences of what was delivered: one write at a time, and of those that came meanwhile
 * the last alone. A write that fails for now is made up for by the next.
 */
export class CheckpointWriter {
  readonly #store: CheckpointStore;
  #next: Sequence | undefined;
  #writing = false;

  constructor(store: CheckpointStore) {
    this.#store = store;
  }

  /**
   * Passes batches on, and notes each when those who listen have had it; completes when the last has
   * been noted. What was begun is written to its end, for a note that is half written helps nobody.
   */
  after<Batch extends { readonly seq: Sequence }>(batches: Observable<Batch>): Observable<Batch> {
    return new Observable((subscriber) => {
      let finished = false;
      const settle: Settle = {
        fail: (error) => subscriber.error(error),
        done: () => {
          if (finished) subscriber.complete();
        },
      };
      return batches.subscribe({
        next: (batch) => {
          subscriber.next(batch);
          this.#next = batch.seq;
          if (!this.#writing) this.#write(settle);
        },
        error: settle.fail,
        complete: () => {
          finished = true;
          if (!this.#writing) settle.done();
        },
      });
    });
  }

  #write(settle: Settle): void {
    const seq = this.#next;
    this.#writing = seq !== undefined;
    if (seq === undefined) {
      settle.done();
      return;
    }
    this.#next = undefined;
    toObservable(() => this.#store.write(seq))
      .pipe(catchError((error: unknown) => (isTransient(error) ? EMPTY : throwError(() => error))))
      .subscribe({ error: settle.fail, complete: () => this.#write(settle) });
  }
}

interface Settle {
  readonly fail: (error: unknown) => void;
  readonly done: () => void;
}

interface Note {
  readonly rev: string | undefined;
  readonly seq: Sequence | null;
}

/**
 * Returns a checkpoint in a `_local/` document of the database itself, which is not replicated.
 * What goes on from it need not be on the same machine.
 */
export function documentCheckpoint(db: DatabaseScope, name: string): CheckpointStore {
  if (typeof name !== 'string' || name === '')
    throw invalidArgument('localCheckpoint: name', 'a string that is not empty', name);
  const path = `${db.path}/_local/${segment(`corduroy-${name}`)}`;
  let rev: string | undefined;

  const read = (): Observable<Note> =>
    db.connection
      .json(
        () => ({ path }),
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
        () => ({ method: 'PUT', path, json: { seq, ...(rev !== undefined && { _rev: rev }) } }),
        (body) => String(asObject(body)['rev']),
      )
      .pipe(map(({ value }) => (rev = value)));

  return {
    read: () =>
      read().pipe(
        map((note) => {
          ({ rev } = note);
          return note.seq;
        }),
      ),
    write: (seq) =>
      write(seq).pipe(
        retry({
          count: 1,
          // Somebody else noted it, or an answer was lost: the newer one is written over.
          delay: (error: unknown) =>
            isConflict(error)
              ? read().pipe(mergeMap((note) => of((rev = note.rev))))
              : throwError(() => error),
        }),
      ),
  };
}
