import { catchError, concat, map, of, reduce, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isPayloadTooLarge } from '../errors/http-error.ts';
import type { Answer } from '../http/exchange.ts';
import { asArray, asObject, stringField } from '../http/decode.ts';
import { count, flag, oneOf, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId } from '../http/url.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { assertJson, nameOf } from '../model/json.ts';
import type { ValueName } from '../model/json.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { canBeTogether, writeTogether } from './coalesce.ts';

/** How the server is to write. */
export interface WriteOptions {
  /** `'ok'`: the server answers before it has written, and says no revision. One document only. */
  readonly batch?: 'ok';
  /**
   * Has a list written whole or not at all, without looking for conflicts, as CouchDB 1.x did.
   * CouchDB 3 cannot, and refuses: nothing is written, and the save errors with status 417.
   * @deprecated no CouchDB since 2.0 has it
   */
  readonly allOrNothing?: boolean;
  /** How many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
  /**
   * False writes revisions as they are, as a replicator does: the `_rev` of each document is kept, and
   * becomes a leaf beside others where it is not the next of the winner. There are no conflicts.
   * `_revisions` (see `revs` of `get`) tells the ancestry. @defaultValue true
   */
  readonly newEdits?: boolean;
}

const WRITE = { batch: oneOf('ok'), w: count, newEdits: flag };

/** What became of one document. */
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

/** A document and the id it is written under, which need not be in it yet. */
export interface Write<T extends object = AnyFields> {
  readonly id: string;
  readonly doc: Draft<T>;
}

/**
 * Refuses what cannot be saved, before anything is sent.
 *
 * @throws TypeError that names the document and the path to what is wrong.
 */
export function requireDraft(doc: unknown, what: ValueName = 'The document'): void {
  requireShape(doc, what);
  const { _id: id } = doc as { _id?: unknown };
  assertJson(doc, () => (id === undefined ? nameOf(what) : `${nameOf(what)} ${describeValue(id)}`));
}

/** Refuses what is no object, or has an `_id` that is none. */
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
 * @throws TypeError for those that do not go with one document, or with many.
 */
export function writeQuery(options: WriteOptions, which: 'one' | 'many'): string {
  if (which === 'one') return toQuery(WRITE, options, 'save');
  const { allOrNothing: _body, newEdits, ...rest } = options;
  if (newEdits !== undefined) flag(newEdits, 'save of several documents: newEdits');
  return toQuery({ w: WRITE.w }, rest, 'save of several documents');
}

/** Writes one document, alone; a failure is an error. */
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
    canBeTogether(id, doc)
  ) {
    const asText = (): { readonly id: string; readonly text: string } => {
      const body = withId(write);
      assertJson(body, 'The body');
      return { id, text: connection.codec.stringify(body) };
    };
    return writeTogether(db, coalescing, query, asText).pipe(
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
      if (rev === undefined && options.batch !== 'ok') throw new TypeError('no revision');
      return { ok: true, id: stringField(body, 'id'), rev: rev as string | undefined, doc };
    },
  );
}

/**
 * Writes several documents in one request. Whatever becomes of each is an outcome, in order; one that
 * is too large, for which CouchDB refuses the whole request, is left out of the next.
 */
export function writeMany<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
): Observable<Answer<WriteOutcome<T>[]>> {
  return writeAll(db, writes, options).pipe(
    catchError((error: unknown) => {
      if (!isPayloadTooLarge(error)) return throwError(() => error);
      const named = writes.findIndex(({ id }) => id === error.reason);
      if (named === -1 && writes.length > 1) {
        // It is the request that is too large, for something on the way: half of it may pass.
        const half = writes.length >> 1;
        return joined(
          writeMany(db, writes.slice(0, half), options),
          writeMany(db, writes.slice(half), options),
        );
      }
      const place = Math.max(named, 0);
      const { id, doc } = writes[place] as Write<T>;
      const reason = 'it is larger than the server takes';
      const refused: WriteOutcome<T> = { ok: false, id, doc, error: 'document_too_large', reason };
      const { status: code, headers } = error;
      const others = writes.filter((_, i) => i !== place);
      const rest =
        others.length === 0 ? of({ value: [], code, headers }) : writeMany<T>(db, others, options);
      return rest.pipe(
        map((answer) => {
          const value = [...answer.value];
          value.splice(place, 0, refused);
          return { ...answer, value };
        }),
      );
    }),
  );
}

function joined<T extends object>(
  first: Observable<Answer<WriteOutcome<T>[]>>,
  second: Observable<Answer<WriteOutcome<T>[]>>,
): Observable<Answer<WriteOutcome<T>[]>> {
  return concat(first, second).pipe(
    reduce((all, { value, ...head }) => ({ ...head, value: [...all.value, ...value] })),
  );
}

function writeAll<T extends object>(
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
      options.newEdits === false ? matchKept(writes, asArray(body)) : match(writes, asArray(body)),
  );
}

function withId<T extends object>({ id, doc }: Write<T>): Draft<T> {
  return doc._id === id ? doc : { ...doc, _id: id };
}

/** Results come in the order of the documents. */
function match<T extends object>(
  writes: readonly Write<T>[],
  results: readonly unknown[],
): WriteOutcome<T>[] {
  if (results.length !== writes.length) throw new TypeError('expected a result for each document');
  return writes.map(({ id, doc }, i): WriteOutcome<T> => {
    const { error, reason = '', rev } = asObject(results[i]) as Readonly<Record<string, string>>;
    return error === undefined ? { ok: true, id, rev, doc } : { ok: false, id, error, reason, doc };
  });
}

/** Of revisions that are kept the server names only those that it did not write. */
function matchKept<T extends object>(
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

/** Refuses a document that does not say which revision it is, where revisions are kept. */
export function requireRevision(doc: unknown, what: string): void {
  const { _id: id, _rev: rev } = doc as { _id?: unknown; _rev?: unknown };
  if (typeof id !== 'string' || typeof rev !== 'string' || rev === '')
    throw new TypeError(`save: with newEdits: false ${what} must have _id and _rev`);
}
