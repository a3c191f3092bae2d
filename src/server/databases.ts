/**
 * The server room: what concerns the server as a whole. It sees http and below.
 */
import type { Connection } from '../http/connection.ts';
import { asArray, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, toQuery } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import { databasePath, requireDatabaseName } from '../http/url.ts';

/** Which names `allDbs` lists. */
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

/** How a new database is laid out. */
export interface CreateOptions {
  /** How many shards it has. Default: the server's. */
  readonly q?: number;
  /** How many copies of each shard there are. Default: the server's. */
  readonly n?: number;
  /** Whether ids begin with a partition key and a colon. Default: false. */
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
