import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import type { HTTPError } from '../errors/http-error.ts';
import type { Answer } from '../http/exchange.ts';
import { asObject, requireSameId, stringField } from '../http/decode.ts';
import { count, flag, oneOf, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt, documentPath, endpoint, isDotSegment, requireId } from '../http/url.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { assertJson, equal, hasToJson, nameOf } from '../model/json.ts';
import type { JsonCodec, ValueName } from '../model/json.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { canCoalesceWrite, coalesceWrite, itemError } from './coalesce.ts';
import { orVerified } from '../http/verify-writes.ts';
import type { SentWrite } from '../http/verify-writes.ts';

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
 * @param codec - The codec that will write the document.
 * @throws TypeError that names the document and the path to the invalid value.
 */
export function requireDraft(
  doc: unknown,
  codec: JsonCodec,
  what: ValueName = 'The document',
): void {
  requireShape(doc, what);
  const { _id: id } = doc as { _id?: unknown };
  const name = (): string =>
    id === undefined ? nameOf(what) : `${nameOf(what)} ${describeValue(id)}`;
  assertJson(doc, name, codec);
}

/** Throws a TypeError for a value that is not an object, or that has an invalid `_id`. */
export function requireShape(doc: unknown, what: ValueName): void {
  if (typeof doc !== 'object' || doc === null || Array.isArray(doc)) {
    throw invalidArgument(nameOf(what), 'an object', doc);
  }
  const { _id: id } = doc as { _id?: unknown };
  if (id !== undefined) requireId(id, () => `The _id of ${nameOf(what).replace(/^The/, 'the')}`);
  const { _id: written } = plainDraft(doc, what) as { _id?: unknown };
  if (written !== id)
    throw invalidArgument(
      `The _id that toJSON of ${nameOf(what).replace(/^The/, 'the')} returns`,
      'the _id of the document itself',
      written,
    );
}

/**
 * Returns the fields of a document that is about to be copied. A copy has no methods of a class, so the
 * result of `toJSON` takes the place of a document that has this method. It keeps the `_id` and `_rev`
 * that a save records on the document.
 *
 * @throws TypeError if `toJSON` returns no object.
 */
export function plainDraft<T>(doc: T, what: ValueName = 'The document'): T {
  if (typeof doc !== 'object' || doc === null || !hasToJson(doc)) return doc;
  const written = doc.toJSON('');
  if (typeof written !== 'object' || written === null || Array.isArray(written)) {
    const owner = nameOf(what).replace(/^The/, 'the');
    throw invalidArgument(`The result of toJSON of ${owner}`, 'an object', written);
  }
  const { _id, _rev } = doc as { readonly _id?: unknown; readonly _rev?: unknown };
  const { toJSON: _method, ...fields } = written as { readonly toJSON?: unknown };
  return {
    ...(_id !== undefined && { _id }),
    ...(_rev !== undefined && { _rev }),
    ...fields,
  } as unknown as T;
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
  const { coalescing, connection, rules } = db;
  if (rules !== null) rules.requireValid(doc);
  const { batch, newEdits } = options;
  if (
    coalescing?.writes === true &&
    batch === undefined &&
    newEdits !== false &&
    canCoalesceWrite(id, doc)
  ) {
    const encode = (): { readonly id: string; readonly text: string } => {
      const body = withId(write);
      assertJson(body, 'The body', connection.codec);
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
        ? { ...endpoint(db, '', query), method: 'POST', json: withId(write) }
        : { ...documentAt(db, id, query), method: 'PUT', json: plainDraft(doc) },
    (body): WriteOutcome<T> => {
      const rev = asObject(body)['rev'];
      if (rev === undefined && batch !== 'ok') throw new TypeError('expected a revision');
      requireSameId(id, stringField(body, 'id'));
      return { ok: true, id, rev: rev as string | undefined, doc };
    },
  );
  if (batch === 'ok') return answer;
  const sent = (): SentWrite => ({ id, doc: plainDraft(doc) });
  const written = (rev: string): WriteOutcome<T> => ({ ok: true, id, rev, doc });
  return answer.pipe(orVerified(db, sent, written, { keptRevisions: newEdits === false }));
}

/** Makes the error that a refused document would have had if it had been saved alone. */
export function refusalOf(
  db: DatabaseScope,
  { id, error, reason }: { readonly id: string; readonly error: string; readonly reason: string },
): HTTPError {
  const path = db.path + documentPath(id);
  return itemError({ error, reason }, { headers: {} }, db.connection, 'PUT', path);
}

/** Throws a TypeError for a document without `_id` or `_rev`, which `newEdits: false` needs. */
export function requireRevision(doc: unknown, what: string): void {
  const { _id: id, _rev: rev } = doc as { _id?: unknown; _rev?: unknown };
  if (typeof id !== 'string' || typeof rev !== 'string' || rev === '')
    throw new TypeError(`save: with newEdits: false, ${what} must have _id and _rev`);
}

/** Returns the document with its id. */
export function withId<T extends object>({ id, doc }: Write<T>): Draft<T> {
  const plain = plainDraft(doc);
  return plain._id === id ? plain : { ...plain, _id: id };
}

/** Makes an object hold the fields of another. Returns false, and changes nothing, if it cannot. */
export function copyFields(local: object, saved: object): boolean {
  if (!Object.isExtensible(local)) return false;
  // A class with toJSON may name its fields in another way than its JSON.
  if (hasToJson(local)) return equal(contentOf(plainDraft(local)), contentOf(saved));
  const removed = Object.keys(local).filter((name) => !Object.hasOwn(saved, name));
  // A getter may depend on other fields, so this decides before the first field changes.
  const changed = Object.entries(saved).filter(
    ([name, value]) =>
      name !== '_rev' && !(Object.hasOwn(local, name) && equal(Reflect.get(local, name), value)),
  );
  if (!removed.every((name) => isRemovable(local, name))) return false;
  if (!changed.every(([name]) => isWritable(local, name))) return false;
  for (const name of removed) Reflect.deleteProperty(local, name);
  for (const [name, value] of changed) Reflect.set(local, name, value);
  return true;
}

function contentOf(doc: Draft<object>): object {
  const { _id, _rev, ...content } = doc;
  return content;
}

function isRemovable(object: object, name: string): boolean {
  return Reflect.getOwnPropertyDescriptor(object, name)?.configurable !== false;
}

/** Tells whether a field can be set: it is not read-only, and not a getter without a setter. */
function isWritable(object: object, name: string): boolean {
  for (let owner: object | null = object; owner !== null; owner = Reflect.getPrototypeOf(owner)) {
    const descriptor = Reflect.getOwnPropertyDescriptor(owner, name);
    if (descriptor !== undefined) return descriptor.writable ?? descriptor.set !== undefined;
  }
  return true;
}
