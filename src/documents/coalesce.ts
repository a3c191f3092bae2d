import { catchError, map, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { errorFromAnswer } from '../errors/from-response.ts';
import { isHTTPError } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Coalescing } from '../http/connection-options.ts';
import type { Connection } from '../http/connection.ts';
import { arrayField, asArray, asObject, stringField, requireSameId } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import type { Exchange, RequestSpec } from '../http/link.ts';
import type { DatabaseScope } from '../http/scope.ts';
import {
  BULK_DOCS,
  BULK_GET,
  documentAt,
  documentPath,
  endpoint,
  isDotSegment,
  readByPost,
} from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { byWinner, isTombstone } from '../model/document.ts';
import type { Document, Draft } from '../model/document.ts';
import { verifyWrites } from '../http/verify-writes.ts';
import { mayBeWritten } from '../errors/connection-error.ts';
import { Batcher, batched } from '../operators/batcher.ts';
import type { BatcherOptions, BatchOutcome } from '../operators/batcher.ts';

type Batchers = Map<string, unknown>;

const batchersOf = new WeakMap<Connection, Batchers>();

/**
 * Sends an item in one request with other items of its kind. All `Database` objects of one database and
 * one connection share the requests.
 *
 * @param kind - Identifies requests that differ in their items only.
 */
function coalesce<Item, Result>(
  { connection, path }: DatabaseScope,
  options: Coalescing,
  kind: string,
  item: () => Item,
  batching: Omit<BatcherOptions<Item, Result>, 'maxWait' | 'scheduler'>,
): Observable<Result> {
  const { maxWait, maxSize = batching.maxSize, scheduler } = options;
  const key = `${kind} ${path} ${maxWait} ${maxSize}`;
  return batched(() => {
    const batchers: Batchers = batchersOf.get(connection) ?? new Map<string, unknown>();
    batchersOf.set(connection, batchers);
    const existing = batchers.get(key) as Batcher<Item, Result> | undefined;
    if (existing !== undefined) return existing;
    const created = new Batcher<Item, Result>({ ...batching, maxWait, maxSize, scheduler }, () =>
      batchers.delete(key),
    );
    batchers.set(key, created);
    return created;
  }, item);
}

const STATUS: ReadonlyMap<string, number> = new Map([
  ['not_found', 404],
  ['conflict', 409],
  ['forbidden', 403],
  ['unauthorized', 401],
  ['bad_request', 400],
  ['illegal_docid', 400],
  ['doc_validation', 400],
  ['document_too_large', 413],
  ['missing_stub', 412],
]);

/** Makes the error that a separate request for this item would have had, with its method and URL. */
export function itemError(
  { error, reason }: { readonly error: string; readonly reason: string },
  { headers }: Pick<Exchange, 'headers'>,
  { redact, redactPath, url }: Connection,
  method: 'GET' | 'PUT',
  path: string,
): HTTPError {
  const status = STATUS.get(error) ?? 500;
  const request = { method, url: url + redactPath(path) };
  return errorFromAnswer(status, headers, { error, reason }, request, redact);
}

type ReadAnswer<T extends object> = Answer<Document<T>>;

/** Reads a document in one `_bulk_get` with the other documents that are read in the same turn. */
export function coalesceRead<T extends object>(
  db: DatabaseScope,
  options: Coalescing,
  id: string,
  alone: (id: string) => Observable<ReadAnswer<T>>,
): Observable<ReadAnswer<T>> {
  const { connection } = db;
  return coalesce<string, ReadAnswer<T>>(db, options, 'read', () => id, {
    maxSize: 32,
    alone,
    together: (ids) =>
      connection
        .json(
          () => readByPost(endpoint(db, BULK_GET), { docs: ids.map((docId) => ({ id: docId })) }),
          (body, exchange) => {
            const results = arrayField(body, 'results');
            if (results.length !== ids.length) throw new TypeError('expected a result for each id');
            return ids.map((docId, i) => readOutcome<T>(db, docId, results[i], exchange));
          },
        )
        .pipe(map(({ value }) => value)),
    // The server may lack _bulk_get, or the database: each document then gets its own request and error.
    separable: (error) => isHTTPError(error) && SEPARABLE.has(error.status),
  });
}

const SEPARABLE = new Set([400, 404, 405, 413, 501]);

/** Picks the winner, as `get` does: `_bulk_get` without a revision answers with every leaf. */
function readOutcome<T extends object>(
  db: DatabaseScope,
  id: string,
  result: unknown,
  exchange: Exchange,
): BatchOutcome<ReadAnswer<T>> {
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
  return { error: itemError(failure, exchange, db.connection, 'GET', path) };
}

/** A document as text, as it was at the subscription: the object may change while the write waits. */
interface QueuedWrite {
  readonly id: string;
  readonly text: string;
}

type WriteAnswer = Answer<{ readonly id: string; readonly rev: string }>;

/**
 * Returns whether a document can be written in one request with others. Documents with attachments
 * cannot: if CouchDB refuses one of them, it fails the request, and may have written some documents.
 */
export function canCoalesceWrite(id: string, doc: Draft): boolean {
  return !id.startsWith('_') && !isDotSegment(id) && doc._attachments === undefined;
}

/** Writes a document in one `_bulk_docs` with the other documents that are saved in the same turn. */
export function coalesceWrite(
  db: DatabaseScope,
  options: Coalescing,
  query: string,
  write: () => QueuedWrite,
): Observable<WriteAnswer> {
  const { connection } = db;
  return coalesce<QueuedWrite, WriteAnswer>(db, options, `write${query}`, write, {
    maxSize: 100,
    identity: ({ id }) => id,
    alone: (queued) =>
      connection
        .json(
          () => jsonRequest('PUT', documentAt(db, queued.id, query), queued.text),
          (body) => {
            const answer = writeAnswer(body);
            requireSameId(queued.id, answer.id);
            return answer;
          },
        )
        .pipe(
          catchError((error: unknown) =>
            outcomesDespite(error, db, [queued]).pipe(
              map(([outcome]) => {
                if (outcome !== undefined && 'value' in outcome) return outcome.value;
                throw error;
              }),
            ),
          ),
        ),
    together: (writes) =>
      connection
        .json(
          () => jsonRequest('POST', endpoint(db, BULK_DOCS, query), bulkBody(writes)),
          (body, exchange) => {
            const results = asArray(body);
            if (results.length !== writes.length)
              throw new TypeError('expected a result for each document');
            return writes.map((queued, i) => writeOutcome(db, queued, results[i], exchange));
          },
        )
        .pipe(
          map(({ value }) => value),
          catchError((error: unknown) => outcomesDespite(error, db, writes)),
        ),
    // CouchDB checks all documents before it writes the first: it has written nothing.
    separable: (error) => isHTTPError(error) && (error.status === 400 || error.status === 413),
  });
}

/** Finds out which writes have been carried out although their request failed. */
function outcomesDespite(
  error: unknown,
  db: DatabaseScope,
  writes: readonly QueuedWrite[],
): Observable<readonly BatchOutcome<WriteAnswer>[]> {
  if (!mayBeWritten(error)) return throwError(() => error);
  const { codec } = db.connection;
  const sent = writes.map(({ id, text }) => ({ id, doc: codec.parse(text) as Draft<object> }));
  return verifyWrites(db, sent).pipe(
    catchError(() => throwError(() => error)),
    map((revs) =>
      writes.map(({ id }, i): BatchOutcome<WriteAnswer> => {
        const rev = revs[i] ?? null;
        return rev === null ? { error } : { value: { value: { id, rev }, code: 201, headers: {} } };
      }),
    ),
  );
}

function jsonRequest(method: string, address: Endpoint, body: string): RequestSpec {
  return { ...address, method, body, headers: { 'content-type': 'application/json' } };
}

function bulkBody(writes: readonly QueuedWrite[]): string {
  return `{"docs":[${writes.map(({ text }) => text).join(',')}]}`;
}

function writeAnswer(body: unknown): { readonly id: string; readonly rev: string } {
  const { id, rev } = asObject(body);
  if (typeof id !== 'string' || typeof rev !== 'string')
    throw new TypeError('expected an id and a revision');
  return { id, rev };
}

function writeOutcome(
  db: DatabaseScope,
  { id }: QueuedWrite,
  answer: unknown,
  exchange: Exchange,
): BatchOutcome<WriteAnswer> {
  const {
    id: written,
    error,
    reason = '',
  } = asObject(answer) as Readonly<Record<string, string | undefined>>;
  const { status: code, headers } = exchange;
  if (written !== undefined) requireSameId(id, written);
  if (error === undefined) return { value: { value: writeAnswer(answer), code, headers } };
  const path = db.path + documentPath(id);
  return { error: itemError({ error, reason }, exchange, db.connection, 'PUT', path) };
}
