import { catchError, map, mergeMap, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { isHTTPError } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Answer } from '../http/exchange.ts';
import { asArray, asObject, requireSameId, stringField } from '../http/decode.ts';
import { count, flag, oneOf, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId } from '../http/url.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { assertJson, nameOf } from '../model/json.ts';
import type { ValueName } from '../model/json.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { canCoalesceWrite, coalesceWrite, itemError } from './coalesce.ts';
import { mayBeWritten, verifyWrites } from './verify-writes.ts';
import type { SentWrite, WrittenRevision } from './verify-writes.ts';

/** Options for writing documents. */
export interface WriteOptions {
  /** `'ok'`: the server answers before it writes, without a revision. For a single document only. */
  readonly batch?: 'ok';
  /**
   * Writes all documents of a list or none, and ignores conflicts, as CouchDB 1.x did. CouchDB 3 refuses
   * it: it writes nothing, and the save errors with status 417.
   * @deprecated CouchDB 2.0 removed it.
   */
  readonly allOrNothing?: boolean;
  /** The write quorum: how many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
  /**
   * `false` writes revisions as a replicator does: each document keeps its `_rev`. A revision that is not
   * the successor of the winner becomes another leaf, and no save conflicts. `_revisions` (see the
   * option `revs` of `get`) holds the ancestry. @defaultValue true
   */
  readonly newEdits?: boolean;
}

const WRITE = { batch: oneOf('ok'), w: count, newEdits: flag };

/** The outcome of writing one document. */
export type WriteOutcome<T extends object = AnyFields> =
  | {
      readonly ok: true;
      readonly id: string;
      readonly rev: string | undefined;
      readonly doc: Draft<T>;
    }
  | {
      readonly ok: false;
      readonly id: string;
      readonly error: string;
      readonly reason: string;
      readonly doc: Draft<T>;
    };

/** A document and the id to write it under, which the document may not have yet. */
export interface Write<T extends object = AnyFields> {
  readonly id: string;
  readonly doc: Draft<T>;
}

/**
 * Checks that a value can be saved as a document, before anything is sent.
 *
 * @throws TypeError that names the document and the path to the invalid value.
 */
export function requireDraft(doc: unknown, what: ValueName = 'The document'): void {
  requireShape(doc, what);
  const { _id: id } = doc as { _id?: unknown };
  assertJson(doc, () => (id === undefined ? nameOf(what) : `${nameOf(what)} ${describeValue(id)}`));
}

/** Throws a TypeError for a value that is not an object, or that has an invalid `_id`. */
export function requireShape(doc: unknown, what: ValueName): void {
  if (typeof doc !== 'object' || doc === null || Array.isArray(doc)) {
    throw invalidArgument(nameOf(what), 'an object', doc);
  }
  const { _id: id } = doc as { _id?: unknown };
  if (id !== undefined) requireId(id, () => `The _id of ${nameOf(what).replace(/^The/, 'the')}`);
}

/**
 * Writes the options of a save as a query string.
 *
 * @throws TypeError for an option that is not available for one document, or for many.
 */
export function writeQuery(options: WriteOptions, which: 'one' | 'many'): string {
  if (which === 'one') return toQuery(WRITE, options, 'save');
  const { allOrNothing: _body, newEdits, ...rest } = options;
  if (newEdits !== undefined) flag(newEdits, 'save of several documents: newEdits');
  return toQuery({ w: WRITE.w }, rest, 'save of several documents');
}

/** Writes one document. A failure is an error. */
export function writeOne<T extends object>(
  db: DatabaseScope,
  write: Write<T>,
  options: WriteOptions,
): Observable<Answer<WriteOutcome<T>>> {
  const { id, doc } = write;
  const query = writeQuery(options, 'one');
  const { coalescing, connection } = db;
  const { batch, newEdits } = options;
  if (
    coalescing?.writes === true &&
    batch === undefined &&
    newEdits !== false &&
    canCoalesceWrite(id, doc)
  ) {
    const encode = (): { readonly id: string; readonly text: string } => {
      const body = withId(write);
      assertJson(body, 'The body');
      return { id, text: connection.codec.stringify(body) };
    };
    return coalesceWrite(db, coalescing, query, encode).pipe(
      map(({ value: { id: written, rev }, code, headers }) => ({
        value: { ok: true, id: written, rev, doc },
        code,
        headers,
      })),
    );
  }
  const answer = connection.json(
    () =>
      isDotSegment(id)
        ? { method: 'POST', path: `${db.path}${query}`, json: withId(write) }
        : { method: 'PUT', path: `${db.path}${documentPath(id)}${query}`, json: doc },
    (body): WriteOutcome<T> => {
      const rev = asObject(body)['rev'];
      if (rev === undefined && batch !== 'ok') throw new TypeError('expected a revision');
      requireSameId(id, stringField(body, 'id'));
      return { ok: true, id, rev: rev as string | undefined, doc };
    },
  );
  if (batch === 'ok') return answer;
  return answer.pipe(
    catchError((error: unknown) =>
      writtenDespite(error, db, write, newEdits === false).pipe(
        map((rev): Answer<WriteOutcome<T>> => ({
          value: { ok: true, id, rev, doc },
          code: 201,
          headers: {},
        })),
      ),
    ),
  );
}

/**
 * Finds out whether a write that failed has been carried out. Emits its revision if it has; otherwise
 * errors with the error of the write.
 */
export function writtenDespite(
  error: unknown,
  db: DatabaseScope,
  write: SentWrite,
  keptRevisions = false,
): Observable<string> {
  if (!mayBeWritten(error)) return throwError(() => error);
  return verifyWrites(db, [write], keptRevisions).pipe(
    catchError(() => throwError(() => error)),
    map(([rev]) => {
      if (typeof rev !== 'string') throw error;
      return rev;
    }),
  );
}

/** Makes the error that a refused document would have had if it had been saved alone. */
export function refusalOf(
  db: DatabaseScope,
  { id, error, reason }: { readonly id: string; readonly error: string; readonly reason: string },
): HTTPError {
  const path = db.path + documentPath(id);
  return itemError({ error, reason }, { headers: {} }, db.connection, 'PUT', path);
}

/** The outcomes of several writes, and the error that kept some of them from being known. */
export interface BulkAnswer<T extends object> extends Answer<WriteOutcome<T>[]> {
  readonly failure?: CorduroyError;
}

/**
 * Writes several documents in one request. Emits an outcome for each document, in order.
 *
 * - CouchDB refuses the whole request for one document that it cannot write (400, 412, 413), after it
 *   may have written others. Further requests find that document, and write the others.
 * - If the answer is lost, a read finds out which documents were written. The other outcomes have the
 *   error `'unknown'`, and `failure` holds the error of the request.
 *
 * Errors if nothing was written.
 */
export function writeMany<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
): Observable<BulkAnswer<T>> {
  return writeBatch(db, writes, options, false);
}

/** @param afterRefusal - An earlier request, which was refused, may have written some of them. */
function writeBatch<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
  afterRefusal: boolean,
): Observable<BulkAnswer<T>> {
  return sendBulkDocs(db, writes, options).pipe(
    mergeMap((answer) => (afterRefusal ? recogniseOwnWrites(db, writes, answer) : of(answer))),
    catchError((error: unknown) => {
      const failure = error as CorduroyError;
      if (options.allOrNothing !== true && refusesOneDocument(error))
        return isolateRefusal(db, writes, options, error);
      if (!mayBeWritten(error)) return throwError(() => error);
      return verifyWrites(db, writes, options.newEdits === false).pipe(
        catchError(() => of(writes.map(() => null))),
        map((revs) => answerOf(writes, revs, failure)),
      );
    }),
  );
}

/** Makes the answer of writes of which some are known to be written. */
function answerOf<T extends object>(
  writes: readonly Write<T>[],
  revs: readonly WrittenRevision[],
  failure: CorduroyError,
): BulkAnswer<T> {
  const value = writes.map(({ id, doc }, i): WriteOutcome<T> => {
    const rev = revs[i] ?? null;
    return rev === null
      ? { ok: false, id, doc, error: 'unknown', reason: UNKNOWN }
      : { ok: true, id, doc, rev };
  });
  const answer = { value, code: 201, headers: {} };
  return value.every(({ ok }) => ok) ? answer : { ...answer, failure };
}

/** The reason of a write whose outcome is not known. */
export const UNKNOWN = 'the request failed, and it is not known whether the document was written';

/** Tells whether CouchDB refused a whole request for one of its documents. */
function refusesOneDocument(error: unknown): error is HTTPError {
  if (!isHTTPError(error) || error.transient) return false;
  return error.status === 400 || error.status === 412 || error.status === 413;
}

/** Finds the document that was refused by writing halves, and writes the others. */
function isolateRefusal<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
  error: HTTPError,
): Observable<BulkAnswer<T>> {
  const { status: code, headers } = error;
  const refused = ({ id, doc }: Write<T>): BulkAnswer<T> => {
    const tooLarge = code === 413;
    const reason = tooLarge ? 'the document is larger than the server accepts' : error.reason;
    const name = tooLarge ? 'document_too_large' : error.error || 'bad_request';
    return { value: [{ ok: false, id, doc, error: name, reason }], code, headers };
  };
  const [only] = writes;
  if (only === undefined) return throwError(() => error);
  if (writes.length === 1) return of(refused(only));
  const named = code === 413 ? writes.findIndex(({ id }) => id === error.reason) : -1;
  const parts =
    named === -1
      ? [writes.slice(0, writes.length >> 1), writes.slice(writes.length >> 1)]
      : [writes.slice(0, named), writes.slice(named, named + 1), writes.slice(named + 1)];
  return parts
    .filter((part) => part.length > 0)
    .reduce<Observable<BulkAnswer<T>>>(
      (earlier, part) =>
        earlier.pipe(
          mergeMap((before) => {
            const [first] = part;
            const isNamed = first !== undefined && first === writes[named];
            const next = isNamed ? of(refused(first)) : writePart(db, part, options, before);
            return next.pipe(map((answer) => join(before, answer)));
          }),
        ),
      of<BulkAnswer<T>>({ value: [], code, headers }),
    );
}

/** Writes a part of a refused request, of which some documents may have been written already. */
function writePart<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
  { failure }: BulkAnswer<T>,
): Observable<BulkAnswer<T>> {
  const unknown = writes.map(() => null);
  // After a failure nothing more is sent.
  if (failure !== undefined) return of(answerOf(writes, unknown, failure));
  return writeBatch(db, writes, options, true).pipe(
    catchError((error: unknown) => of(answerOf(writes, unknown, error as CorduroyError))),
  );
}

/** A conflict with what the refused request has written itself is a success. */
function recogniseOwnWrites<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  answer: BulkAnswer<T>,
): Observable<BulkAnswer<T>> {
  const indexes = answer.value.flatMap((outcome, i) =>
    outcome.ok || outcome.error !== 'conflict' ? [] : [i],
  );
  if (indexes.length === 0) return of(answer);
  return verifyWrites(
    db,
    indexes.map((i) => writes[i] as Write<T>),
  ).pipe(
    catchError(() => of(indexes.map(() => null))),
    map((revs) => {
      const value = [...answer.value];
      indexes.forEach((i, n) => {
        const { id, doc } = writes[i] as Write<T>;
        const rev = revs[n] ?? null;
        if (rev !== null) value[i] = { ok: true, id, doc, rev };
      });
      return { ...answer, value };
    }),
  );
}

function join<T extends object>(first: BulkAnswer<T>, second: BulkAnswer<T>): BulkAnswer<T> {
  const failure = first.failure ?? second.failure;
  const value = [...first.value, ...second.value];
  return { ...second, value, ...(failure !== undefined && { failure }) };
}

function sendBulkDocs<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
): Observable<Answer<WriteOutcome<T>[]>> {
  const query = writeQuery(options, 'many');
  return db.connection.json(
    () => ({
      method: 'POST',
      path: `${db.path}/_bulk_docs${query}`,
      json: {
        ...(options.allOrNothing === true && { all_or_nothing: true }),
        ...(options.newEdits === false && { new_edits: false }),
        docs: writes.map(withId),
      },
    }),
    (body) =>
      options.newEdits === false
        ? replicatedOutcomes(writes, asArray(body))
        : editOutcomes(writes, asArray(body)),
  );
}

function withId<T extends object>({ id, doc }: Write<T>): Draft<T> {
  return doc._id === id ? doc : { ...doc, _id: id };
}

/** Decodes the results of new edits: CouchDB sends one for each document, in their order. */
function editOutcomes<T extends object>(
  writes: readonly Write<T>[],
  results: readonly unknown[],
): WriteOutcome<T>[] {
  if (results.length !== writes.length) throw new TypeError('expected a result for each document');
  return writes.map(({ id, doc }, i): WriteOutcome<T> => {
    const {
      id: written,
      error,
      reason = '',
      rev,
    } = asObject(results[i]) as Readonly<Record<string, string>>;
    if (written !== undefined) requireSameId(id, written);
    return error === undefined ? { ok: true, id, rev, doc } : { ok: false, id, error, reason, doc };
  });
}

/** Decodes the results of `newEdits: false`: CouchDB sends only the revisions that it did not write. */
function replicatedOutcomes<T extends object>(
  writes: readonly Write<T>[],
  results: readonly unknown[],
): WriteOutcome<T>[] {
  const failed = new Map<string, Readonly<Record<string, string>>>();
  for (const result of results) {
    const failure = asObject(result) as Readonly<Record<string, string>>;
    const { id, rev, error } = failure;
    if (error !== undefined) failed.set(`${id} ${rev}`, failure);
  }
  return writes.map(({ id, doc }): WriteOutcome<T> => {
    const rev = doc._rev;
    const { error, reason = '' } = failed.get(`${id} ${rev}`) ?? {};
    return error === undefined ? { ok: true, id, rev, doc } : { ok: false, id, error, reason, doc };
  });
}

/** Throws a TypeError for a document without `_id` or `_rev`, which `newEdits: false` needs. */
export function requireRevision(doc: unknown, what: string): void {
  const { _id: id, _rev: rev } = doc as { _id?: unknown; _rev?: unknown };
  if (typeof id !== 'string' || typeof rev !== 'string' || rev === '')
    throw new TypeError(`save: with newEdits: false, ${what} must have _id and _rev`);
}
