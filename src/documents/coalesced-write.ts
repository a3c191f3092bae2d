import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import { isHTTPError } from '../errors/http-error.ts';
import type { Coalescing } from '../http/coalescing.ts';
import { asArray, asObject } from '../http/decode.ts';
import type { Answer, Exchange, RequestSpec } from '../http/exchange.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath } from '../http/url.ts';
import type { Draft } from '../model/document.ts';
import type { Settled } from '../operators/gather.ts';
import { coalesced, errorOfOne } from './coalesce.ts';

/** A document as it was when it was to be written: it may be changed while it waits for others. */
interface Written {
  readonly id: string;
  readonly text: string;
}

type Wrote = Answer<{ readonly id: string; readonly rev: string }>;

/**
 * Tells whether a document can be written together with others. Where the server refuses one with
 * attachments, it refuses all, and may have written some by then.
 */
export function canBeTogether(id: string, doc: Draft): boolean {
  return !id.startsWith('_') && doc._attachments === undefined;
}

/** Writes a document together with others that are saved in the same turn, by `_bulk_docs`. */
export function writeTogether(
  db: DatabaseScope,
  options: Coalescing,
  query: string,
  write: () => Written,
): Observable<Wrote> {
  const { connection, path } = db;
  return coalesced<Written, Wrote>(db, options, `write${query}`, write, {
    maxSize: 100,
    identity: ({ id }) => id,
    alone: ({ id, text }) =>
      connection.json(
        () => json('PUT', path + documentPath(id) + query, text),
        (body) => result(body),
      ),
    together: (writes) =>
      connection
        .json(
          () => json('POST', `${path}/_bulk_docs${query}`, joined(writes)),
          (body, exchange) => {
            const results = asArray(body);
            if (results.length !== writes.length)
              throw new TypeError('expected a result for each document');
            return writes.map((one, i) => settle(db, one, results[i], exchange));
          },
        )
        .pipe(map(({ value }) => value)),
    // The server looks at all of them before it writes the first: nothing has been written.
    separable: (error) => isHTTPError(error) && (error.status === 400 || error.status === 413),
  });
}

function json(method: string, path: string, body: string): RequestSpec {
  return { method, path, body, headers: { 'content-type': 'application/json' } };
}

function joined(writes: readonly Written[]): string {
  return `{"docs":[${writes.map(({ text }) => text).join(',')}]}`;
}

function result(body: unknown): { readonly id: string; readonly rev: string } {
  const { id, rev } = asObject(body);
  if (typeof id !== 'string' || typeof rev !== 'string') throw new TypeError('no revision');
  return { id, rev };
}

function settle(
  db: DatabaseScope,
  { id }: Written,
  answer: unknown,
  exchange: Exchange,
): Settled<Wrote> {
  const { error, reason = '' } = asObject(answer) as Readonly<Record<string, string | undefined>>;
  const { status: code, headers } = exchange;
  if (error === undefined) return { value: { value: result(answer), code, headers } };
  const path = db.path + documentPath(id);
  return { error: errorOfOne({ error, reason }, exchange, db.connection, 'PUT', path) };
}
