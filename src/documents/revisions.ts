import { catchError, of, throwError } from 'rxjs';
import { isNotFound } from '../errors/http-error.ts';
import { asArray, asObject, requireSameId, sequence, stringField } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import {
  documentAt,
  documentPath,
  encodeText,
  endpoint,
  isDotSegment,
  requireId,
  revQuery,
} from '../http/url.ts';
import type { DocumentRef } from '../model/document.ts';
import { orVerified } from '../http/verify-writes.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** Reads the known revisions of a document, the newest first. */
export function revisions(db: DatabaseScope, id: string): Operation<string[]> {
  requireId(id);
  const address = documentAt(db, id, '?revs=true', 'revisions: id');
  return operation(
    db.connection,
    () => address,
    (body) => {
      const { _id: received = id, _revisions: known } = asObject(body);
      requireSameId(id, String(received));
      const { start, ids } = asObject(known);
      return asArray(ids).map((hash, i) => `${Number(start) - i}-${String(hash)}`);
    },
  );
}

/** Reads the current revision of a document from the headers of an answer without a body. */
export function currentRevision(db: DatabaseScope, id: string): Operation<string | null> {
  requireId(id);
  const address = documentAt(db, id, '', 'revs.current: id');
  return new Operation(
    operation(
      db.connection,
      () => ({ ...address, method: 'HEAD' }),
      (_, { headers: { etag } }): string | null => {
        if (etag === undefined) throw new TypeError('expected an ETag');
        return etag.replace(/^(?:W\/)?"(.*)"$/, '$1');
      },
    )
      .answers()
      .pipe(
        catchError((error: unknown) =>
          isNotFound(error)
            ? of({ value: null, code: error.status, headers: error.headers })
            : throwError(() => error),
        ),
      ),
  );
}

/** The source or the target of a copy: an id, or a document with `_id` and, to overwrite it, `_rev`. */
export type CopyRef = string | { readonly _id: string; readonly _rev?: string };

/** The id and the new revision of a written document. */
export interface WriteResult {
  readonly id: string;
  readonly rev: string;
}

/** Copies a document on the server, with its attachments. */
export function copyDocument(
  db: DatabaseScope,
  source: CopyRef,
  target: CopyRef,
): Operation<WriteResult> {
  // Validate now: throws at the call.
  parseRef(source, 'source');
  parseRef(target, 'dest');
  return operation(
    db.connection,
    () => {
      const from = parseRef(source, 'source');
      const to = parseRef(target, 'dest');
      // CouchDB decodes the whole header before it parses it, so all of the id is encoded.
      const destination = `${encodeText(to.id, 'copy: dest')}${revQuery(to.rev)}`;
      const address = documentAt(db, from.id, revQuery(from.rev));
      return { ...address, method: 'COPY', headers: { destination } };
    },
    (body) => {
      const id = stringField(body, 'id');
      requireSameId(parseRef(target, 'dest').id, id);
      return { id, rev: stringField(body, 'rev') };
    },
  );
}

function parseRef(ref: unknown, what: string): { readonly id: string; readonly rev: unknown } {
  const parsed = readRef(ref, what);
  // A copy with an id that no URL can hold could be neither read nor copied again.
  documentPath(parsed.id, `copy: ${what}`);
  return parsed;
}

function readRef(ref: unknown, what: string): { readonly id: string; readonly rev: unknown } {
  if (typeof ref === 'object' && ref !== null && '_id' in ref) {
    requireId(ref._id, `copy: the _id of ${what}`);
    return { id: ref._id, rev: '_rev' in ref ? ref._rev : undefined };
  }
  if (typeof ref !== 'string') throw invalidArgument(`copy: ${what}`, 'an id or a document', ref);
  requireId(ref, `copy: ${what}`);
  return { id: ref, rev: undefined };
}

/** The result of a purge. */
export interface PurgeResult {
  /** The purge sequence; null on CouchDB 3. */
  readonly purgeSeq: string | null;
  /** The purged revisions, by document id. */
  readonly purged: Readonly<Record<string, readonly string[]>>;
}

/**
 * Removes revisions from the database for good.
 *
 * @param onPurged - Called with the ids after each purge, because no feed reports it.
 */
export function purge(
  db: DatabaseScope,
  docs: readonly DocumentRef[],
  onPurged: (ids: readonly string[]) => void = () => {},
): Operation<PurgeResult> {
  if (!Array.isArray(docs)) throw invalidArgument('purge: docs', 'an array of documents', docs);
  docs.forEach((doc, i) => requireRef(doc, `purge: docs[${i}]`));
  return operation(
    db.connection,
    () => {
      const revs = new Map<string, string[]>();
      for (const { _id: id, _rev: rev } of docs) revs.set(id, [...(revs.get(id) ?? []), rev]);
      return { ...endpoint(db, '/_purge'), method: 'POST', json: Object.fromEntries(revs) };
    },
    (body) => {
      const { purge_seq: seq = null, purged: raw } = asObject(body);
      const purged = asObject(raw) as PurgeResult['purged'];
      onPurged(Object.keys(purged));
      return { purgeSeq: seq === null ? null : sequence(seq), purged };
    },
  );
}

/** The result of deleting a document: `rev` is the revision of the tombstone. */
export interface DeleteResult {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

/** Deletes a document: writes a tombstone as its next revision. */
export function deleteDocument(db: DatabaseScope, doc: DocumentRef): Operation<DeleteResult> {
  requireRef(doc, 'delete');
  const answer = operation(
    db.connection,
    () => {
      requireRef(doc, 'delete');
      const { _id: id, _rev: rev } = doc;
      if (isDotSegment(id)) {
        const json = { _id: id, _rev: rev, _deleted: true };
        return { ...endpoint(db, ''), method: 'POST', json };
      }
      return { ...documentAt(db, id, revQuery(rev)), method: 'DELETE' };
    },
    (body): DeleteResult => {
      requireSameId(doc._id, stringField(body, 'id'));
      return { ok: true, id: doc._id, rev: stringField(body, 'rev') };
    },
  );
  return new Operation(
    answer.answers().pipe(
      orVerified(
        db,
        () => ({ id: doc._id, doc: { _id: doc._id, _rev: doc._rev, _deleted: true } }),
        (rev): DeleteResult => ({ ok: true, id: doc._id, rev }),
        { code: 200 },
      ),
    ),
  );
}

/** Throws a TypeError for a value that does not name a revision of a document. */
function requireRef(doc: unknown, what: string): asserts doc is DocumentRef {
  if (typeof doc !== 'object' || doc === null) {
    throw invalidArgument(`${what}: the document`, 'an object with _id and _rev', doc);
  }
  const { _id: id, _rev: rev } = doc as { _id?: unknown; _rev?: unknown };
  requireId(id, `${what}: the document's _id`);
  if (typeof rev !== 'string' || rev === '') {
    throw new TypeError(`${what}: the document ${JSON.stringify(id)} has no _rev; read it first`);
  }
}
