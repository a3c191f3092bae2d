import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import { isHTTPError } from '../errors/http-error.ts';
import type { Coalescing } from '../http/coalescing.ts';
import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import type { Answer, Exchange } from '../http/exchange.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath } from '../http/url.ts';
import { isTombstone } from '../model/document.ts';
import type { Document } from '../model/document.ts';
import { byWinner } from '../model/revision.ts';
import type { Settled } from '../operators/gather.ts';
import { coalesced, errorOfOne } from './coalesce.ts';

type Read<T extends object> = Answer<Document<T>>;

/** Reads a document together with others that are asked for in the same turn, by `_bulk_get`. */
export function readTogether<T extends object>(
  db: DatabaseScope,
  options: Coalescing,
  id: string,
  alone: (id: string) => Observable<Read<T>>,
): Observable<Read<T>> {
  const { connection, path } = db;
  return coalesced<string, Read<T>>(db, options, 'read', () => id, {
    maxSize: 32,
    alone,
    together: (ids) =>
      connection
        .json(
          () => ({
            method: 'POST',
            path: `${path}/_bulk_get`,
            json: { docs: ids.map((each) => ({ id: each })) },
          }),
          (body, exchange) => {
            const results = arrayField(body, 'results');
            if (results.length !== ids.length) throw new TypeError('expected a result for each id');
            return ids.map((each, i) => settle<T>(db, each, results[i], exchange));
          },
        )
        .pipe(map(({ value }) => value)),
    // A server may not know of _bulk_get, and a database may not be there: each asks for itself.
    separable: (error) => isHTTPError(error) && SEPARABLE.has(error.status),
  });
}

const SEPARABLE = new Set([400, 404, 405, 413, 501]);

/** Of a document the server answers every leaf; the winner is the one that `get` would have had. */
function settle<T extends object>(
  db: DatabaseScope,
  id: string,
  result: unknown,
  exchange: Exchange,
): Settled<Read<T>> {
  const answers = asArray(asObject(result)['docs']).map(asObject);
  const leaves = answers.flatMap(({ ok }) => (ok === undefined ? [] : [ok as Document<T>]));
  const [winner] = leaves
    .filter((leaf) => !isTombstone(leaf))
    .sort((a, b) => byWinner(a._rev, b._rev));
  const { status: code, headers } = exchange;
  if (winner !== undefined) {
    stringField(winner, '_id');
    return { value: { value: winner, code, headers } };
  }
  const { error = { error: 'not_found', reason: 'missing' } } = (answers[0] ?? {}) as {
    readonly error?: { readonly error: string; readonly reason: string };
  };
  const failure = leaves.length === 0 ? error : { error: 'not_found', reason: 'deleted' };
  const path = db.path + documentPath(id);
  return { error: errorOfOne(failure, exchange, db.connection, 'GET', path) };
}
