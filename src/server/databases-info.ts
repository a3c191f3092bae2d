import { EMPTY, defer, expand, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { toQuery } from '../http/query.ts';
import { requireDatabaseName } from '../http/url.ts';
import { decodeDatabaseInfo } from './database-info.ts';
import type { DatabaseInfo } from './database-info.ts';
import { ALL_DBS } from './databases.ts';
import type { AllDbsOptions } from './databases.ts';

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
