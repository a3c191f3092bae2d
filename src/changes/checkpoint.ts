import type { Sequence } from '../model/change.ts';
import type { Eventually } from '../operators/eventually.ts';

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
