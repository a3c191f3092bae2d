import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import { isHTTPError } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Coalescing } from '../http/coalescing.ts';
import type { Connection } from '../http/connection.ts';
import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import type { Answer, Exchange, RequestSpec } from '../http/exchange.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath } from '../http/url.ts';
import { byWinner, isTombstone } from '../model/document.ts';
import type { Document, Draft } from '../model/document.ts';
import { Batcher, batched } from '../operators/batcher.ts';
import type { BatcherOptions, BatchOutcome } from '../operators/batcher.ts';

type Gatherers = Map<string, unknown>;

const registries = new WeakMap<Connection, Gatherers>();

/**
 * Sends an item together with others of its kind: whatever database objects they were asked of, if
 * they are of one database and one connection.
 *
 * @param kind - Tells what can be sent together: the request but for the items.
 */
export function coalesced<Item, Result>(
  { connection, path }: DatabaseScope,
  options: Coalescing,
  kind: string,
  item: () => Item,
  gathering: Omit<BatcherOptions<Item, Result>, 'maxWait' | 'scheduler'>,
): Observable<Result> {
  const { maxWait, maxSize = gathering.maxSize, scheduler } = options;
  const key = `${kind} ${path} ${maxWait} ${maxSize}`;
  return batched(() => {
    const gatherers: Gatherers = registries.get(connection) ?? new Map<string, unknown>();
    registries.set(connection, gatherers);
    const known = gatherers.get(key) as Batcher<Item, Result> | undefined;
    if (known !== undefined) return known;
    const made = new Batcher<Item, Result>({ ...gathering, maxWait, maxSize, scheduler }, () =>
      gatherers.delete(key),
    );
    gatherers.set(key, made);
    return made;
  }, item);
}

const STATUS: Readonly<Record<string, number>> = {
  not_found: 404,
  conflict: 409,
  forbidden: 403,
  unauthorized: 401,
  bad_request: 400,
  illegal_docid: 400,
  doc_validation: 400,
  document_too_large: 413,
  missing_stub: 412,
};

/** Makes the error that a request of its own would have had: where it would have been sent to. */
export function errorOfOne(
  { error, reason }: { readonly error: string; readonly reason: string },
  { headers }: Exchange,
  { redact, url }: Connection,
  method: 'GET' | 'PUT',
  path: string,
): HTTPError {
  return httpError({
    status: STATUS[error] ?? 500,
    error: redact(error),
    reason: redact(reason),
    headers,
    request: { method, url: redact(url + path) },
  });
}

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
            return ids.map((each, i) => readOutcome<T>(db, each, results[i], exchange));
          },
        )
        .pipe(map(({ value }) => value)),
    // A server may not know of _bulk_get, and a database may not be there: each asks for itself.
    separable: (error) => isHTTPError(error) && SEPARABLE.has(error.status),
  });
}

const SEPARABLE = new Set([400, 404, 405, 413, 501]);

/** Of a document the server answers every leaf; the winner is the one that `get` would have had. */
function readOutcome<T extends object>(
  db: DatabaseScope,
  id: string,
  result: unknown,
  exchange: Exchange,
): BatchOutcome<Read<T>> {
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

/** A document as it was when it was to be written: it may be changed while it waits for others. */
interface QueuedWrite {
  readonly id: string;
  readonly text: string;
}

type WriteAnswer = Answer<{ readonly id: string; readonly rev: string }>;

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
  write: () => QueuedWrite,
): Observable<WriteAnswer> {
  const { connection, path } = db;
  return coalesced<QueuedWrite, WriteAnswer>(db, options, `write${query}`, write, {
    maxSize: 100,
    identity: ({ id }) => id,
    alone: ({ id, text }) =>
      connection.json(
        () => json('PUT', path + documentPath(id) + query, text),
        (body) => writeAnswer(body),
      ),
    together: (writes) =>
      connection
        .json(
          () => json('POST', `${path}/_bulk_docs${query}`, joined(writes)),
          (body, exchange) => {
            const results = asArray(body);
            if (results.length !== writes.length)
              throw new TypeError('expected a result for each document');
            return writes.map((one, i) => writeOutcome(db, one, results[i], exchange));
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

function joined(writes: readonly QueuedWrite[]): string {
  return `{"docs":[${writes.map(({ text }) => text).join(',')}]}`;
}

function writeAnswer(body: unknown): { readonly id: string; readonly rev: string } {
  const { id, rev } = asObject(body);
  if (typeof id !== 'string' || typeof rev !== 'string') throw new TypeError('no revision');
  return { id, rev };
}

function writeOutcome(
  db: DatabaseScope,
  { id }: QueuedWrite,
  answer: unknown,
  exchange: Exchange,
): BatchOutcome<WriteAnswer> {
  const { error, reason = '' } = asObject(answer) as Readonly<Record<string, string | undefined>>;
  const { status: code, headers } = exchange;
  if (error === undefined) return { value: { value: writeAnswer(answer), code, headers } };
  const path = db.path + documentPath(id);
  return { error: errorOfOne({ error, reason }, exchange, db.connection, 'PUT', path) };
}
