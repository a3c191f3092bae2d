import { EMPTY, defer, expand, map, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { isNotFound } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject, sequence, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireDatabaseName } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { ALL_DBS } from './databases.ts';
import type { AllDbsOptions } from './databases.ts';

/** The information that the server returns about a database. */
export interface DatabaseInfo {
  readonly name: string;
  readonly docCount: number;
  readonly deletedDocCount: number;
  readonly updateSeq: Sequence;
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
    () => ({ path: db.path }),
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
    compactRunning: raw['compact_running'] === true,
    sizes: { file: 0, active: 0, external: 0, ...sizes },
    partitioned: props.partitioned === true,
    raw,
  };
}

export function databaseExists(db: DatabaseScope): Operation<boolean> {
  const head = operation(
    db.connection,
    () => ({ method: 'HEAD', path: db.path }),
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

export function listDatabasesInfo(
  connection: Connection,
  options: AllDbsOptions,
): Operation<DatabaseInfo[]> {
  const query = toQuery(ALL_DBS, options, 'dbsInfo');
  return operation(
    connection,
    () => ({ path: `/_dbs_info${query}` }),
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
        method: 'POST',
        path: '/_dbs_info',
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
