import { defer, map, mergeMap, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Connection } from './connection.ts';
import { arrayField } from './decode.ts';
import type { Answer } from './exchange.ts';
import { Operation } from './operation.ts';
import { SERVER, endpoint } from './url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** The limit of one request in CouchDB's default configuration (`[uuids] max_count`). */
const MAX_COUNT = 1000;

/** Requests ids from the server, in several requests if their number exceeds the server's limit. */
export function uuids(connection: Connection, count: number): Operation<string[]> {
  if (!Number.isSafeInteger(count) || count < 1) {
    throw invalidArgument('uuids: count', 'a whole number from 1', count, RangeError);
  }
  const requestRest = (previous: readonly string[]): Observable<Answer<string[]>> =>
    requestIds(connection, Math.min(count - previous.length, MAX_COUNT)).pipe(
      mergeMap((answer) => {
        const value = [...previous, ...answer.value];
        return value.length < count ? requestRest(value) : of({ ...answer, value });
      }),
    );
  return new Operation(defer(() => requestRest([])));
}

function requestIds(connection: Connection, count: number): Observable<Answer<readonly string[]>> {
  return connection.json(
    () => endpoint(SERVER, '/_uuids', `?count=${count}`),
    (body) => {
      const ids = arrayField(body, 'uuids') as readonly string[];
      if (ids.length === 0) throw new TypeError('no ids');
      return ids;
    },
  );
}

/** The number of ids in one request for documents that are saved one by one. */
const POOL_SIZE = 50;
const pools = new WeakMap<object, string[]>();

/** Emits ids for new documents, from a pool of the connection that it refills. Cold. */
export function takeIds(connection: Connection, count: number): Observable<readonly string[]> {
  return defer(() => {
    const pool = pools.get(connection.shared) ?? [];
    pools.set(connection.shared, pool);
    if (pool.length >= count) return of(pool.splice(0, count));
    return uuids(connection, Math.max(POOL_SIZE, count - pool.length)).pipe(
      map((fresh) => {
        pool.push(...fresh);
        return pool.splice(0, count);
      }),
    );
  });
}
