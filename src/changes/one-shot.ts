import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';
import { arrayField, asObject, numberOrNull, sequence, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint } from '../http/url.ts';
import type { Change, ChangesResult, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';

export const CHANGES = '/_changes';

/** Decodes a change: the row as the server sent it, with its sequence as a string. */
export function decodeChange<T extends object>(row: unknown): Change<T> {
  const change = asObject(row) as { seq?: unknown };
  stringField(change, 'id');
  const { seq } = change;
  if (seq !== null && typeof seq !== 'string') change.seq = sequence(seq);
  return change as unknown as Change<T>;
}

/** Returns the last sequence among changes, or null if none of them has one. */
export function lastSequence(
  changes: readonly { readonly seq: Sequence | null }[],
): Sequence | null {
  for (let i = changes.length - 1; i >= 0; i--) {
    const seq = changes[i]?.seq;
    if (seq !== null && seq !== undefined) return seq;
  }
  return null;
}

/** The options of a one-shot request for changes. */
export interface ChangesOptions extends ChangesParameters {
  /** Lists the latest change first. @defaultValue false */
  readonly descending?: boolean;
}

export function readChanges<T extends object = AnyFields>(
  db: DatabaseScope,
  options: ChangesOptions,
): Operation<ChangesResult<T>> {
  const { query, ...request } = changesRequest(options, {}, 'changes', db.connection.codec);
  return operation(
    db.connection,
    () => ({ ...request, ...endpoint(db, CHANGES, query) }),
    (body) => ({
      lastSeq: sequence(asObject(body)['last_seq']),
      pending: numberOrNull(asObject(body)['pending']),
      results: arrayField(body, 'results').map((row) => decodeChange<T>(row)),
    }),
  );
}

/** Reads the sequence of the latest change, which `'now'` stands for at this moment. */
export function readLastSequence(db: DatabaseScope, timeout: number): Operation<Sequence> {
  return operation(
    db.connection,
    () => ({ ...endpoint(db, CHANGES, '?since=now&limit=0'), timeout }),
    (body) => sequence(asObject(body)['last_seq']),
  );
}

/** The end of a list of changes: its last sequence, and how many changes follow. */
export type ChangesSummary = Omit<ChangesResult, 'results'>;

/** Streams the changes up to the present, and completes. */
export function streamChanges<T extends object = AnyFields>(
  db: DatabaseScope,
  options: ChangesOptions,
): RowStream<Change<T>, ChangesSummary> {
  const { query, ...request } = changesRequest(options, {}, 'changeRows', db.connection.codec);
  const spec = { ...request, ...endpoint(db, CHANGES, query) };
  return new RowStream(db.connection, () => spec, {
    field: 'results',
    row: (raw) => decodeChange<T>(raw),
    info: ({ last_seq: last, pending }) => ({
      lastSeq: sequence(last),
      pending: numberOrNull(pending),
    }),
  });
}
