import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, sequence, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, toQuery } from '../http/query.ts';
import type { Sequence } from '../model/change.ts';
import { place } from './parameters.ts';

/** What happened to a database of the server. */
export interface DbUpdate {
  readonly dbName: string;
  readonly type: 'created' | 'updated' | 'deleted';
  readonly seq: Sequence;
}

/** What a one-shot request for the server's databases can be given. */
export interface ReadDbUpdatesOptions {
  /** Only what happened after this place; `0` is the beginning, `'now'` the end. */
  readonly since?: Sequence | 0;
  /** How many at most. */
  readonly limit?: number;
  /** Lists the latest first. @defaultValue false */
  readonly descending?: boolean;
}

/** What happened to databases, and the sequence after the last. */
export interface DbUpdatesResult {
  readonly lastSeq: Sequence;
  readonly results: readonly DbUpdate[];
}

const DB_UPDATES = { since: place, limit: count, descending: flag };

export function readDbUpdates(
  connection: Connection,
  options: ReadDbUpdatesOptions,
): Operation<DbUpdatesResult> {
  const query = toQuery(DB_UPDATES, options, 'dbUpdates');
  return operation(
    connection,
    () => ({ path: `/_db_updates${query}` }),
    (body) => ({
      lastSeq: sequence(asObject(body)['last_seq']),
      results: arrayField(body, 'results').map(decodeDbUpdate),
    }),
  );
}

export function decodeDbUpdate(row: unknown): DbUpdate {
  return {
    dbName: stringField(row, 'db_name'),
    type: stringField(row, 'type') as DbUpdate['type'],
    seq: sequence(asObject(row)['seq']),
  };
}
