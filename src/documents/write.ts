import { catchError, map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isConflict } from '../errors/status-errors.ts';
import type { Conflict } from '../errors/status-errors.ts';
import type { Answer } from '../http/connection.ts';
import { asArray, asObject, stringField } from '../http/decode.ts';
import { count, oneOf, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId } from '../http/url.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { assertJson } from '../model/json.ts';

/** How the server is to write. */
export interface WriteOptions {
  /** `'ok'`: the server answers before it has written, and says no revision. One document only. */
  readonly batch?: 'ok';
  /** How many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
}

const WRITE = { batch: oneOf('batch', 'ok'), w: count('w') };

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
      /** The error of a document that was written alone. */
      readonly exception?: Conflict;
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
export function requireDraft(doc: unknown, what = 'The document'): void {
  if (typeof doc !== 'object' || doc === null || Array.isArray(doc)) {
    const found = doc === null ? 'null' : Array.isArray(doc) ? 'an array' : `a ${typeof doc}`;
    throw new TypeError(`${what} must be an object, not ${found}`);
  }
  const { _id: id } = doc as { _id?: unknown };
  if (id !== undefined) requireId(id, `The _id of ${what.replace(/^The/, 'the')}`);
  assertJson(doc, typeof id === 'string' ? `${what} ${JSON.stringify(id)}` : what);
}

/** Writes one document. A conflict is an outcome; every other failure is an error. */
export function writeOne<T extends object>(
  db: DatabaseScope,
  write: Write<T>,
  options: WriteOptions,
): Observable<Answer<WriteOutcome<T>>> {
  const { id, doc } = write;
  const query = toQuery(WRITE, options, 'save');
  return db.connection
    .json(
      () =>
        isDotSegment(id)
          ? { method: 'POST', path: `${db.path}${query}`, json: withId(write) }
          : { method: 'PUT', path: `${db.path}${documentPath(id)}${query}`, json: doc },
      (body): WriteOutcome<T> => {
        const rev = asObject(body)['rev'];
        if (rev === undefined && options.batch !== 'ok') throw new TypeError('no revision');
        return { ok: true, id: stringField(body, 'id'), rev: rev as string | undefined, doc };
      },
    )
    .pipe(
      catchError((exception: unknown) => {
        if (!isConflict(exception)) return throwError(() => exception);
        const { error, reason, status: code, headers } = exception;
        return of({
          value: { ok: false as const, id, error, reason, doc, exception },
          code,
          headers,
        });
      }),
    );
}

/** Writes several documents in one request. Whatever becomes of each is an outcome, in order. */
export function writeMany<T extends object>(
  db: DatabaseScope,
  writes: readonly Write<T>[],
  options: WriteOptions,
): Observable<Answer<WriteOutcome<T>[]>> {
  const query = toQuery({ w: WRITE.w }, options, 'save of several documents');
  return db.connection
    .json(
      () => ({
        method: 'POST',
        path: `${db.path}/_bulk_docs${query}`,
        json: { docs: writes.map(withId) },
      }),
      (body) => asArray(body),
    )
    .pipe(map((answer) => ({ ...answer, value: match(writes, answer.value) })));
}

function withId<T extends object>({ id, doc }: Write<T>): Draft<T> {
  return doc._id === id ? doc : { ...doc, _id: id };
}

/** Results come in the order of the documents; where a server has it otherwise, the ids tell. */
function match<T extends object>(
  writes: readonly Write<T>[],
  results: readonly unknown[],
): WriteOutcome<T>[] {
  const inOrder = writes.every(({ id }, i) => idOf(results[i]) === id);
  const left = [...results];
  return writes.map(({ id, doc }, i): WriteOutcome<T> => {
    const found = inOrder ? i : left.findIndex((result) => idOf(result) === id);
    const result = inOrder ? results[i] : found === -1 ? undefined : left.splice(found, 1)[0];
    if (result === undefined) {
      return {
        ok: false,
        id,
        error: 'no_answer',
        reason: 'The server did not answer for it.',
        doc,
      };
    }
    const { error, reason, rev } = result as { error?: string; reason?: string; rev?: string };
    if (error !== undefined) return { ok: false, id, error, reason: reason ?? '', doc };
    return { ok: true, id, rev, doc };
  });
}

function idOf(result: unknown): unknown {
  return typeof result === 'object' && result !== null && 'id' in result ? result.id : undefined;
}
