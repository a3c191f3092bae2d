import { defer, from, isObservable, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Sequence } from '../model/change.ts';

/** Something that is there at once, or comes later. */
export type Eventually<T> = T | Promise<T> | Observable<T>;

/**
 * Where a consumer notes how far it has come, so that it goes on there after a restart. It may be
 * handed the same change again (at least once), and never misses one.
 */
export interface CheckpointStore {
  /** Reads the sequence that was noted last; null where there is none. */
  readonly read: () => Eventually<Sequence | null>;
  /** Notes a sequence; the next is noted when this one has been. */
  readonly write: (seq: Sequence) => Eventually<unknown>;
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

/** Waits for what a store answers. Cold: the store is asked at each subscription. */
export function eventually<T>(ask: () => Eventually<T>): Observable<T> {
  return defer(() => {
    const answer = ask();
    if (isObservable(answer)) return answer;
    return isPromise(answer) ? from(answer) : of(answer);
  });
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}
