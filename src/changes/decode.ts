import { asObject, sequence, stringField } from '../http/decode.ts';
import type { Change, Sequence } from '../model/change.ts';

/** Reads a change: the row as the server sent it, with its sequence made a string. */
export function decodeChange<T extends object>(row: unknown): Change<T> {
  const change = asObject(row) as { seq?: unknown };
  stringField(change, 'id');
  const { seq } = change;
  if (seq !== null && typeof seq !== 'string') change.seq = sequence(seq);
  return change as unknown as Change<T>;
}

/** Returns the last sequence among changes, or null where none of them has one. */
export function lastSequence(
  changes: readonly { readonly seq: Sequence | null }[],
): Sequence | null {
  for (let i = changes.length - 1; i >= 0; i--) {
    const seq = changes[i]?.seq;
    if (seq !== null && seq !== undefined) return seq;
  }
  return null;
}
