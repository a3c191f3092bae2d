import { invalidArgument } from '../model/invalid-argument.ts';
import { catchError, mergeMap, of, throwError } from 'rxjs';
import { httpError, redactHeaders } from '../errors/from-response.ts';
import { isNotFound, rawAnswer } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { SERVER, endpoint, nodeAt, segment } from '../http/url.ts';

/** The information that a server returns about itself. */
export interface ServerInfo {
  readonly version: string;
  /** The UUID of the server or its cluster; null if it has none. */
  readonly uuid: string | null;
  /** For example `'partitioned'`, `'reshard'`, `'scheduler'`. */
  readonly features: readonly string[];
  readonly vendor: string | null;
  /** The server's whole response. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function serverInfo(connection: Connection): Operation<ServerInfo> {
  return operation(
    connection,
    () => endpoint(SERVER, '/'),
    (body) => {
      const raw = asObject(body);
      const { uuid, features, vendor } = raw;
      const name = asObject(vendor ?? {})['name'];
      return {
        version: stringField(body, 'version'),
        uuid: typeof uuid === 'string' ? uuid : null,
        features: Array.isArray(features) ? (features as string[]) : [],
        vendor: typeof name === 'string' ? name : null,
        raw,
      };
    },
  );
}

/** The `error` of a 404 with which a running server declines requests. */
const NOT_ACCEPTING: ReadonlySet<string> = new Set(['maintenance_mode', 'nolb', 'seeding']);

export function isUp(connection: Connection): Operation<boolean> {
  const up = operation(
    connection,
    () => endpoint(SERVER, '/_up'),
    (body) => stringField(body, 'status') === 'ok',
  );
  return new Operation(
    up.answers().pipe(
      catchError((error: unknown) => {
        // Any other 404 comes from a proxy and does not tell the state of CouchDB.
        if (!isNotFound(error) || !NOT_ACCEPTING.has(rawAnswer(error).error))
          return throwError(() => error);
        return of<Answer<boolean>>({ value: false, code: error.status, headers: error.headers });
      }),
    ),
  );
}

export function reloadQueryServers(connection: Connection): Operation<true> {
  return operation(
    connection,
    () => ({
      ...endpoint(SERVER, '/_reload_query_servers'),
      method: 'POST',
      repeatable: true,
      headers: { 'content-type': 'application/json' },
      body: '',
    }),
    () => true,
  );
}

/** All statistics, a branch of them, or a leaf: `{ value, type, desc }`. */
export type Statistics = Readonly<Record<string, unknown>>;

export function statistics(
  connection: Connection,
  name?: string,
  node = '_local',
): Operation<Statistics> {
  if (name !== undefined && typeof name !== 'string')
    throw invalidArgument('stats: name', "a path such as 'couchdb/httpd'", name);
  const parts = name === undefined ? [] : name.split('/');
  const path = parts.map((part) => segment(part, 'stats: name')).join('/');
  const stats = endpoint(nodeAt(node, 'stats: node'), '/_stats');
  const read = (rest: string) =>
    connection.json(
      () => (rest === '' ? stats : endpoint(stats, '/*', '', rest)),
      (body, { headers, redact, request }) => ({
        // For an unknown path the server answers null instead of 404.
        statistics: body === null ? null : asObject(body),
        notFound: {
          status: 404,
          error: 'not_found',
          reason: 'no such statistic',
          headers: body === null ? redactHeaders(headers, redact) : {},
          request,
        },
      }),
    );
  const requireFound = (result: {
    readonly statistics: Statistics | null;
    readonly notFound: Parameters<typeof httpError>[0];
  }): Statistics => {
    if (result.statistics === null) throw httpError(result.notFound);
    return result.statistics;
  };
  return new Operation(
    read(path).pipe(
      // CouchDB 1.x had httpd/requests, which is now couchdb/httpd/requests.
      mergeMap((answer) =>
        answer.value.statistics === null ? read(`couchdb/${path}`) : of(answer),
      ),
      mergeMap((answer) => [{ ...answer, value: requireFound(answer.value) }]),
    ),
  );
}

/** A background task of the server. */
export interface ActiveTask {
  /** `'database_compaction'`, `'view_compaction'`, `'indexer'`, `'replication'`… */
  readonly type: string;
  readonly pid: string;
  /** In percent; absent if unknown. */
  readonly progress?: number;
  /** In seconds since 1970. */
  readonly started_on: number;
  /** In seconds since 1970. */
  readonly updated_on: number;
  readonly [detail: string]: unknown;
}

export function activeTasks(connection: Connection): Operation<ActiveTask[]> {
  return operation(
    connection,
    () => endpoint(SERVER, '/_active_tasks'),
    (body) => asArray(body) as ActiveTask[],
  );
}
