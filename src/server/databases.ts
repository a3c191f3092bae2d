import { EMPTY, defer, expand, map, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { isNotFound } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject, sequence, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { count, flag, json, toQuery } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { SERVER, databaseAt, endpoint, requireDatabaseName } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';

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
    () => endpoint(SERVER, '/_all_dbs', query),
    (body) => asArray(body) as string[],
  );
}

export function version(connection: Connection): Operation<string> {
  return operation(
    connection,
    () => endpoint(SERVER, '/'),
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
    () => ({ ...endpoint(databaseAt(name), '', query), method: 'PUT' }),
    () => true,
  );
}

export function deleteDatabase(connection: Connection, name: string): Operation<true> {
  requireDatabaseName(name);
  return operation(
    connection,
    () => ({ ...databaseAt(name), method: 'DELETE' }),
    () => true,
  );
}

/** The information that the server returns about a database. */
export interface DatabaseInfo {
  readonly name: string;
  readonly docCount: number;
  readonly deletedDocCount: number;
  readonly updateSeq: Sequence;
  /** The sequence of purges: it changes with each; null if the server does not tell. */
  readonly purgeSeq: Sequence | null;
  readonly compactRunning: boolean;
  /** In bytes: on disk, of the live data, and of the live data uncompressed. */
  readonly sizes: { readonly file: number; readonly active: number; readonly external: number };
  readonly partitioned: boolean;
  /** The server's whole response. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function databaseInfo(db: DatabaseScope): Operation<DatabaseInfo> {
  return operation(
    db.connection,
    () => endpoint(db, ''),
    (body) => decodeDatabaseInfo(db.name, body),
  );
}

export function decodeDatabaseInfo(name: string, body: unknown): DatabaseInfo {
  const raw = asObject(body);
  const sizes = (raw['sizes'] ?? {}) as Partial<DatabaseInfo['sizes']>;
  const props = (raw['props'] ?? {}) as { partitioned?: boolean };
  return {
    name,
    docCount: Number(raw['doc_count']),
    deletedDocCount: Number(raw['doc_del_count'] ?? 0),
    updateSeq: sequence(raw['update_seq']),
    purgeSeq: raw['purge_seq'] === undefined ? null : sequence(raw['purge_seq']),
    compactRunning: raw['compact_running'] === true,
    sizes: { file: 0, active: 0, external: 0, ...sizes },
    partitioned: props.partitioned === true,
    raw,
  };
}

export function databaseExists(db: DatabaseScope): Operation<boolean> {
  const head = operation(
    db.connection,
    () => ({ ...endpoint(db, ''), method: 'HEAD' }),
    () => true,
  );
  return new Operation(
    head.status().pipe(
      map((status) => {
        if (status.ok) return { value: true, code: status.code, headers: status.headers };
        // 401, 403 and 500 do not tell whether the database exists.
        if (!isNotFound(status.exception)) throw status.exception;
        return { value: false, code: status.code, headers: status.headers };
      }),
    ),
  );
}

/** CouchDB refuses longer lists (`[chttpd] max_db_number_for_dbs_info_req`). */
const MAX_KEYS = 100;
const DBS_INFO = '/_dbs_info';

export function listDatabasesInfo(
  connection: Connection,
  options: AllDbsOptions,
): Operation<DatabaseInfo[]> {
  const query = toQuery(ALL_DBS, options, 'dbsInfo');
  return operation(
    connection,
    () => endpoint(SERVER, DBS_INFO, query),
    // A database that is deleted during the request has no info.
    (body) => readRows(body).filter((info) => info !== null),
  );
}

/** Reads the information of databases by name. Sends several requests if the server limits one. */
export function databasesInfo(
  connection: Connection,
  names: readonly string[],
): Operation<(DatabaseInfo | null)[]> {
  for (const name of names) requireDatabaseName(name);
  type Infos = Answer<(DatabaseInfo | null)[]>;
  const readFrom = (keys: readonly string[], start: number): Observable<Infos> =>
    connection.json(
      () => ({
        ...endpoint(SERVER, DBS_INFO),
        method: 'POST',
        reads: true,
        json: { keys: keys.slice(start, start + MAX_KEYS) },
      }),
      readRows,
    );
  return new Operation(
    defer(() => {
      const keys = [...names];
      return readFrom(keys, 0).pipe(
        expand((_, index) => {
          const next = (index + 1) * MAX_KEYS;
          return next < keys.length ? readFrom(keys, next) : EMPTY;
        }),
        reduce((all, { value, code, headers }) => ({
          value: [...all.value, ...value],
          code,
          headers,
        })),
      );
    }),
  );
}

function readRows(body: unknown): (DatabaseInfo | null)[] {
  return asArray(body).map((row) => {
    const { info } = asObject(row);
    return info === undefined ? null : decodeDatabaseInfo(stringField(row, 'key'), info);
  });
}
