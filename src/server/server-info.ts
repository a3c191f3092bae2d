import { catchError, mergeMap, of, throwError } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import { isNotFound } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { segment } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** What a server says of itself. */
export interface ServerInfo {
  readonly version: string;
  /** The id of the server, or of its cluster; null where it has none. */
  readonly uuid: string | null;
  /** What it can do: `'partitioned'`, `'reshard'`, `'scheduler'`… */
  readonly features: readonly string[];
  readonly vendor: string | null;
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function serverInfo(connection: Connection): Operation<ServerInfo> {
  return operation(
    connection,
    () => ({ path: '/' }),
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

/** What a server answers with 404 that is there, and wants no requests. */
const AWAY: ReadonlySet<string> = new Set(['maintenance_mode', 'nolb', 'seeding']);

export function isUp(connection: Connection): Operation<boolean> {
  const asked = operation(
    connection,
    () => ({ path: '/_up' }),
    (body) => stringField(body, 'status') === 'ok',
  );
  return new Operation(
    asked.answers().pipe(
      catchError((error: unknown) => {
        // A 404 of anybody else, as of a proxy that knows no such path, says nothing of CouchDB.
        if (!isNotFound(error) || !AWAY.has(error.error)) return throwError(() => error);
        return of<Answer<boolean>>({ value: false, code: error.status, headers: error.headers });
      }),
    ),
  );
}

export function reloadQueryServers(connection: Connection): Operation<true> {
  return operation(
    connection,
    () => ({
      method: 'POST',
      path: '/_reload_query_servers',
      headers: { 'content-type': 'application/json' },
      body: '',
    }),
    () => true,
  );
}

/** A branch of the statistics, or a leaf: `{ value, type, desc }`. */
export type Statistics = Readonly<Record<string, unknown>>;

export function statistics(
  connection: Connection,
  name?: string,
  node = '_local',
): Operation<Statistics> {
  if (name === '') throw invalidArgument('stats: name', 'a path like httpd/requests', name);
  const path = (name ?? '')
    .split('/')
    .map((part) => (part ? `/${segment(part)}` : ''))
    .join('');
  const read = (below: string) =>
    connection.json(
      () => ({ path: `/_node/${segment(node)}/_stats${below}` }),
      (body, { headers, request }) => ({
        // The server answers null, and not 404, for a path that is not there.
        found: body === null ? null : asObject(body),
        details: { status: 404, error: 'not_found', reason: 'no such statistic', headers, request },
      }),
    );
  const settle = ({
    found,
    details,
  }: {
    found: Statistics | null;
    details: Parameters<typeof httpError>[0];
  }): Statistics => {
    if (found === null) throw httpError(details);
    return found;
  };
  return new Operation(
    read(path).pipe(
      // What CouchDB 1.x called httpd/requests is couchdb/httpd/requests now.
      mergeMap((answer) => (answer.value.found === null ? read(`/couchdb${path}`) : of(answer))),
      mergeMap((answer) => [{ ...answer, value: settle(answer.value) }]),
    ),
  );
}

/** Something that the server is doing in the background. */
export interface ActiveTask {
  /** `'database_compaction'`, `'view_compaction'`, `'indexer'`, `'replication'`… */
  readonly type: string;
  readonly pid: string;
  /** In percent, where it is known. */
  readonly progress?: number;
  /** Seconds since 1970. */
  readonly started_on: number;
  readonly updated_on: number;
  readonly [detail: string]: unknown;
}

export function activeTasks(connection: Connection): Operation<ActiveTask[]> {
  return operation(
    connection,
    () => ({ path: '/_active_tasks' }),
    (body) => asArray(body) as ActiveTask[],
  );
}
