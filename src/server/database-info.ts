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

/** What the server knows of a database. */
export interface DatabaseInfo {
  readonly name: string;
  readonly docCount: number;
  readonly deletedDocCount: number;
  readonly updateSeq: Sequence;
  readonly compactRunning: boolean;
  /** In bytes: on disk, of live data, and of the same uncompressed. */
  readonly sizes: { readonly file: number; readonly active: number; readonly external: number };
  readonly partitioned: boolean;
  /** The answer as the server gave it, for what else it holds. */
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
        // 401, 403 and 500 say nothing of whether it exists.
        if (!isNotFound(status.exception)) throw status.exception;
        return { value: false, code: status.code, headers: status.headers };
      }),
    ),
  );
}

/** CouchDB refuses more at once (`[chttpd] max_db_number_for_dbs_info_req`). */
const MOST_AT_ONCE = 100;

export function listDatabasesInfo(
  connection: Connection,
  options: AllDbsOptions,
): Operation<DatabaseInfo[]> {
  const query = toQuery(ALL_DBS, options, 'dbsInfo');
  return operation(
    connection,
    () => ({ path: `/_dbs_info${query}` }),
    // One that was deleted while the list was being made has no info.
    (body) => readRows(body).filter((info) => info !== null),
  );
}

/** Asks for databases by name: several times, where the server would not tell of that many at once. */
export function databasesInfo(
  connection: Connection,
  names: readonly string[],
): Operation<(DatabaseInfo | null)[]> {
  for (const name of names) requireDatabaseName(name);
  type Infos = Answer<(DatabaseInfo | null)[]>;
  const ask = (asked: readonly string[], from: number): Observable<Infos> =>
    connection.json(
      () => ({
        method: 'POST',
        path: '/_dbs_info',
        json: { keys: asked.slice(from, from + MOST_AT_ONCE) },
      }),
      readRows,
    );
  return new Operation(
    defer(() => {
      const asked = [...names];
      return ask(asked, 0).pipe(
        expand((_, turn) => {
          const next = (turn + 1) * MOST_AT_ONCE;
          return next < asked.length ? ask(asked, next) : EMPTY;
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
