import { defer, map, mergeMap, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Connection } from './connection.ts';
import { arrayField } from './decode.ts';
import type { Answer } from './exchange.ts';
import { Operation } from './operation.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** CouchDB refuses to make more at once (`[uuids] max_count`). */
const MOST_AT_ONCE = 1000;

/** Asks the server for ids: several times, where it would not give that many at once. */
export function uuids(connection: Connection, wanted: number): Operation<string[]> {
  if (!Number.isSafeInteger(wanted) || wanted < 1) {
    throw invalidArgument('uuids: count', 'a whole number from 1', wanted, RangeError);
  }
  const gather = (had: readonly string[]): Observable<Answer<string[]>> =>
    ask(connection, Math.min(wanted - had.length, MOST_AT_ONCE)).pipe(
      mergeMap((answer) => {
        const value = [...had, ...answer.value];
        return value.length < wanted ? gather(value) : of({ ...answer, value });
      }),
    );
  return new Operation(defer(() => gather([])));
}

function ask(connection: Connection, count: number): Observable<Answer<readonly string[]>> {
  return connection.json(
    () => ({ path: `/_uuids?count=${count}` }),
    (body) => {
      const ids = arrayField(body, 'uuids') as readonly string[];
      if (ids.length === 0) throw new TypeError('no ids');
      return ids;
    },
  );
}

/** How many ids are asked for at once to give to documents that are saved one by one. */
const BATCH = 50;
const pools = new WeakMap<Connection, string[]>();

/** Takes ids for new documents from a batch that is kept for each connection. Cold. */
export function takeIds(connection: Connection, wanted: number): Observable<readonly string[]> {
  return defer(() => {
    const pool = pools.get(connection) ?? [];
    pools.set(connection, pool);
    if (pool.length >= wanted) return of(pool.splice(0, wanted));
    return uuids(connection, Math.max(BATCH, wanted - pool.length)).pipe(
      map((fresh) => {
        pool.push(...fresh);
        return pool.splice(0, wanted);
      }),
    );
  });
}
