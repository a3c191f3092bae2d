import type { Connection } from '../http/connection.ts';
import { asArray, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, toQuery } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import { databasePath, requireDatabaseName } from '../http/url.ts';

/** The options of `couch.allDbs`, and of `couch.dbsInfo` without names. */
export interface AllDbsOptions {
  readonly startKey?: string;
  readonly endKey?: string;
  readonly inclusiveEnd?: boolean;
  readonly descending?: boolean;
  readonly limit?: number;
  readonly skip?: number;
}

export const ALL_DBS: Parameters = {
  startKey: json,
  endKey: json,
  inclusiveEnd: flag,
  descending: flag,
  limit: count,
  skip: count,
};

export function allDbs(connection: Connection, options: AllDbsOptions): Operation<string[]> {
  const query = toQuery(ALL_DBS, options, 'allDbs');
  return operation(
    connection,
    () => ({ path: `/_all_dbs${query}` }),
    (body) => asArray(body) as string[],
  );
}

export function version(connection: Connection): Operation<string> {
  return operation(
    connection,
    () => ({ path: '/' }),
    (body) => stringField(body, 'version'),
  );
}

/** The options of `couch.create`. */
export interface CreateOptions {
  /** The number of shards. Default: that of the server's configuration. */
  readonly q?: number;
  /** The number of copies of each shard. Default: that of the server's configuration. */
  readonly n?: number;
  /** Whether ids begin with a partition key and a colon. @defaultValue false */
  readonly partitioned?: boolean;
}

const CREATE = { q: count, n: count, partitioned: flag };

export function createDatabase(
  connection: Connection,
  name: string,
  options: CreateOptions,
): Operation<true> {
  requireDatabaseName(name);
  const query = toQuery(CREATE, options, 'create');
  return operation(
    connection,
    () => ({ method: 'PUT', path: `${databasePath(name)}${query}` }),
    () => true,
  );
}

export function deleteDatabase(connection: Connection, name: string): Operation<true> {
  requireDatabaseName(name);
  return operation(
    connection,
    () => ({ method: 'DELETE', path: databasePath(name) }),
    () => true,
  );
}
