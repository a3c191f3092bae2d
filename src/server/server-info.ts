import { catchError, of, throwError } from 'rxjs';
import { isNotFound } from '../errors/status-errors.ts';
import type { Connection } from '../http/connection.ts';
import { asObject, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';

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
