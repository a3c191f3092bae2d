import { catchError, map, mergeMap, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { isHTTPError, rawAnswer } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Redact } from '../errors/redact.ts';
import type { Answer } from '../http/exchange.ts';
import { asArray, asObject, requireSameId } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { verifyWrites } from '../http/verify-writes.ts';
import { mayBeWritten } from '../errors/connection-error.ts';
import type { SentWrite, WrittenRevision } from '../http/verify-writes.ts';
import { BULK_DOCS, endpoint } from '../http/url.ts';
import { withId, writeQuery } from './write.ts';
import type { Write, WriteOptions, WriteOutcome } from './write.ts';

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
 *
 * @param isRepeated - Whether an earlier attempt may have written some: a conflict with the same content
 * is a success then.
 */
export function writeMany<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
  isRepeated = false,
): Observable<BulkAnswer<T>> {
  const { rules } = db;
  if (rules !== null) writes.forEach(({ doc }, i) => rules.requireValid(doc, `docs[${i}]`));
  const written = writeBatch(db, writes, options, null);
  if (!isRepeated) return written;
  return written.pipe(mergeMap((answer) => recogniseOwnWrites(db, writes, answer, null)));
}

/** @param refusal - The error of an earlier request, which may have written some of them; or null. */
function writeBatch<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
  refusal: CorduroyError | null,
): Observable<BulkAnswer<T>> {
  return sendBulkDocs(db, writes, options).pipe(
    mergeMap((answer) =>
      refusal === null ? of(answer) : recogniseOwnWrites(db, writes, answer, refusal),
    ),
    catchError((error: unknown) => {
      const failure = error as CorduroyError;
      if (options.allOrNothing !== true && refusesOneDocument(error))
        return isolateRefusal(db, writes, options, error, refusal !== null);
      if (!mayBeWritten(error) && !mayRefuseOneDocument(error)) return throwError(() => error);
      return verifyWrites(db, writes, options.newEdits === false).pipe(
        catchError(() => of<readonly WrittenRevision[]>([])),
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

/** Tells whether a refusal may concern one document of several, others of which may be written. */
function mayRefuseOneDocument(error: unknown): error is HTTPError {
  if (!isHTTPError(error) || error.transient) return false;
  return error.status === 400 || error.status === 412 || error.status === 413;
}

/** Tells whether CouchDB refused a whole request for one of its documents, and said so. */
function refusesOneDocument(error: unknown): error is HTTPError {
  if (!mayRefuseOneDocument(error)) return false;
  // A proxy refuses the size of a request too, in its own words.
  return error.error !== '' || error.status === 413;
}

/** Finds the document that was refused by writing halves, and writes the others. */
function isolateRefusal<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
  error: HTTPError,
  afterRefusal: boolean,
): Observable<BulkAnswer<T>> {
  const { status: code, headers } = error;
  // CouchDB and proxies refuse a size before a document is written.
  const mayBeStored = afterRefusal || code !== 413;
  const isNamed = ({ id }: Write<T>): boolean => code === 413 && id === rawAnswer(error).reason;
  const refused = (write: Write<T>): Observable<BulkAnswer<T>> => {
    const { id, doc } = write;
    const tooLarge = code === 413;
    const reason = tooLarge ? 'the document is larger than the server accepts' : error.reason;
    const name = tooLarge ? 'document_too_large' : error.error;
    const answer = { value: [{ ok: false, id, doc, error: name, reason } as const], code, headers };
    if (!afterRefusal || isNamed(write)) return of(answer);
    // An earlier request may have written it, and was refused for another document.
    const conflict = { ok: false, id, doc, error: 'conflict', reason: '' } as const;
    return recogniseOwnWrites(db, [write], { ...answer, value: [conflict] }, error).pipe(
      map((present) => {
        if (present.failure !== undefined || present.value[0]?.ok === true) return present;
        // The size of this request says nothing about the earlier one.
        return tooLarge ? { ...answerOf([write], [], error), code, headers } : answer;
      }),
    );
  };
  const [only] = writes;
  if (only === undefined) return throwError(() => error);
  if (writes.length === 1) return refused(only);
  const named = writes.findIndex(isNamed);
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
            const next =
              first !== undefined && first === writes[named]
                ? refused(first)
                : writePart(db, part, options, before, mayBeStored ? error : null);
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
  refusal: CorduroyError | null,
): Observable<BulkAnswer<T>> {
  // After a failure nothing more is sent.
  if (failure !== undefined) return of(answerOf(writes, [], failure));
  return writeBatch(db, writes, options, refusal).pipe(
    catchError((error: unknown) => of(answerOf(writes, [], error as CorduroyError))),
  );
}

/**
 * A conflict with what an earlier request has written itself is a success.
 *
 * @param refusal - The error of that request, for the documents of which nothing tells; null: those are in
 * conflict.
 */
function recogniseOwnWrites<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  answer: BulkAnswer<T>,
  refusal: CorduroyError | null,
): Observable<BulkAnswer<T>> {
  const indexes = answer.value.flatMap((outcome, i) =>
    outcome.ok || outcome.error !== 'conflict' ? [] : [i],
  );
  if (indexes.length === 0) return of(answer);
  const unclear = new Set<SentWrite>();
  const conflicts = indexes.map((i) => writes[i] as Write<T>);
  return verifyWrites(db, conflicts, false, { unclear }).pipe(
    map((revs) => {
      const value = [...answer.value];
      indexes.forEach((i, n) => {
        const { id, doc } = writes[i] as Write<T>;
        const rev = revs[n] ?? null;
        if (rev !== null) value[i] = { ok: true, id, doc, rev };
        else if (refusal !== null && unclear.has(conflicts[n] as SentWrite))
          value[i] = { ok: false, id, doc, error: 'unknown', reason: UNKNOWN };
      });
      const isUnclear = refusal !== null && unclear.size > 0;
      return isUnclear ? { ...answer, value, failure: refusal } : { ...answer, value };
    }),
    catchError((error: unknown) => {
      const value = [...answer.value];
      for (const i of indexes) {
        const { id, doc } = writes[i] as Write<T>;
        value[i] = { ok: false, id, doc, error: 'unknown', reason: UNKNOWN };
      }
      return of<BulkAnswer<T>>({ ...answer, value, failure: error as CorduroyError });
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
      ...endpoint(db, BULK_DOCS, query),
      method: 'POST',
      json: {
        ...(options.allOrNothing === true && { all_or_nothing: true }),
        ...(options.newEdits === false && { new_edits: false }),
        docs: writes.map(withId),
      },
    }),
    (body, { redact }) =>
      options.newEdits === false
        ? replicatedOutcomes(writes, asArray(body), redact)
        : editOutcomes(writes, asArray(body), redact),
  );
}

/** Decodes the results of new edits: CouchDB sends one for each document, in their order. */
function editOutcomes<T extends object>(
  writes: readonly Write<T>[],
  results: readonly unknown[],
  redact: Redact,
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
    return error === undefined
      ? { ok: true, id, rev, doc }
      : { ok: false, id, ...shownFailure(error, reason, redact), doc };
  });
}

/** Decodes the results of `newEdits: false`: CouchDB sends only the revisions that it did not write. */
function replicatedOutcomes<T extends object>(
  writes: readonly Write<T>[],
  results: readonly unknown[],
  redact: Redact,
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
    return error === undefined
      ? { ok: true, id, rev, doc }
      : { ok: false, id, ...shownFailure(error, reason, redact), doc };
  });
}

/** The error codes that decide what happens to a document. A credential may be such a word. */
const CODES = new Set(['conflict', 'forbidden', 'unauthorized', 'document_too_large']);

/** Returns CouchDB's explanation without credentials. */
function shownFailure(
  error: unknown,
  reason: unknown,
  redact: Redact,
): { readonly error: string; readonly reason: string } {
  const show = (value: unknown): string =>
    redact(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''), 2000);
  const isCode = typeof error === 'string' && CODES.has(error);
  return { error: isCode ? error : show(error), reason: show(reason ?? '') };
}
