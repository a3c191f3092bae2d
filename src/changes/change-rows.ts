import { numberOrNull, sequence } from '../http/decode.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change, ChangesResult } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { decodeChange } from './decode.ts';
import type { ChangesOptions } from './one-shot.ts';
import { changesRequest } from './parameters.ts';

/** Where a list of changes ended. */
export type ChangesEnd = Omit<ChangesResult, 'results'>;

/** Streams the changes that there are. */
export function streamChanges<T extends object = AnyFields>(
  db: DatabaseScope,
  options: ChangesOptions,
): RowStream<Change<T>, ChangesEnd> {
  const { query, ...request } = changesRequest(options, {}, 'changeRows');
  const path = `${db.path}/_changes${query}`;
  return new RowStream(db.connection, () => ({ ...request, path }), {
    field: 'results',
    row: (raw) => decodeChange<T>(raw),
    info: ({ last_seq: last, pending }) => ({
      lastSeq: sequence(last),
      pending: numberOrNull(pending),
    }),
  });
}
