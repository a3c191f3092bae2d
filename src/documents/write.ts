import { catchError, concat, map, of, reduce, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isPayloadTooLarge, rawAnswer } from '../errors/http-error.ts';
import type { Redact } from '../errors/redact.ts';
import type { Answer } from '../http/exchange.ts';
import { asArray, asObject, stringField } from '../http/decode.ts';
import { count, flag, oneOf, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId } from '../http/url.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { assertJson, nameOf } from '../model/json.ts';
import type { ValueName } from '../model/json.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { canCoalesceWrite, coalesceWrite } from './coalesce.ts';

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
  return connection.json(
    () =>
      isDotSegment(id)
        ? { method: 'POST', path: `${db.path}${query}`, json: withId(write) }
        : { method: 'PUT', path: `${db.path}${documentPath(id)}${query}`, json: doc },
    (body): WriteOutcome<T> => {
      const rev = asObject(body)['rev'];
      if (rev === undefined && options.batch !== 'ok') throw new TypeError('expected a revision');
      return { ok: true, id: stringField(body, 'id'), rev: rev as string | undefined, doc };
    },
  );
}

/**
 * Writes several documents in one request. Returns an outcome for each document, in order.
 *
 * CouchDB refuses the whole request for a document that is too large: a second request writes the others.
 */
export function writeMany<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
): Observable<Answer<WriteOutcome<T>[]>> {
  return sendBulkDocs(db, writes, options).pipe(
    catchError((error: unknown) => {
      if (!isPayloadTooLarge(error)) return throwError(() => error);
      const namedIndex = writes.findIndex(({ id }) => id === rawAnswer(error).reason);
      if (namedIndex === -1 && writes.length > 1) {
        // CouchDB names the document. A proxy does not: it refuses the size of the request.
        const half = writes.length >> 1;
        return concatAnswers(
          writeMany(db, writes.slice(0, half), options),
          writeMany(db, writes.slice(half), options),
        );
      }
      const index = Math.max(namedIndex, 0);
      const { id, doc } = writes[index] as Write<T>;
      const reason = 'the document is larger than the server accepts';
      const tooLarge: WriteOutcome<T> = { ok: false, id, doc, error: 'document_too_large', reason };
      const { status: code, headers } = error;
      const others = writes.filter((_, i) => i !== index);
      const rest =
        others.length === 0 ? of({ value: [], code, headers }) : writeMany<T>(db, others, options);
      return rest.pipe(
        map((answer) => {
          const value = [...answer.value];
          value.splice(index, 0, tooLarge);
          return { ...answer, value };
        }),
      );
    }),
  );
}

function concatAnswers<T extends object>(
  first: Observable<Answer<WriteOutcome<T>[]>>,
  second: Observable<Answer<WriteOutcome<T>[]>>,
): Observable<Answer<WriteOutcome<T>[]>> {
  return concat(first, second).pipe(
    reduce((all, { value, ...head }) => ({ ...head, value: [...all.value, ...value] })),
  );
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
    (body, { redact }) =>
      options.newEdits === false
        ? replicatedOutcomes(writes, asArray(body), redact)
        : editOutcomes(writes, asArray(body), redact),
  );
}

function withId<T extends object>({ id, doc }: Write<T>): Draft<T> {
  return doc._id === id ? doc : { ...doc, _id: id };
}

/** Decodes the results of new edits: CouchDB sends one for each document, in their order. */
function editOutcomes<T extends object>(
  writes: readonly Write<T>[],
  results: readonly unknown[],
  redact: Redact,
): WriteOutcome<T>[] {
  if (results.length !== writes.length) throw new TypeError('expected a result for each document');
  return writes.map(({ id, doc }, i): WriteOutcome<T> => {
    const { error, reason, rev } = asObject(results[i]) as Readonly<Record<string, string>>;
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
    const { error, reason } = failed.get(`${id} ${rev}`) ?? {};
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
  return { error: isCode ? error : show(error), reason: show(reason) };
}

/** Throws a TypeError for a document without `_id` or `_rev`, which `newEdits: false` needs. */
export function requireRevision(doc: unknown, what: string): void {
  const { _id: id, _rev: rev } = doc as { _id?: unknown; _rev?: unknown };
  if (typeof id !== 'string' || typeof rev !== 'string' || rev === '')
    throw new TypeError(`save: with newEdits: false, ${what} must have _id and _rev`);
}
