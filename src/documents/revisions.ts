import { catchError, of, throwError } from 'rxjs';
import { isNotFound } from '../errors/http-error.ts';
import { asArray, asObject, sequence, stringField } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId, segment } from '../http/url.ts';
import type { DocumentRef } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** The revisions of a document that the server knows of, the newest first. */
export function revisions(db: DatabaseScope, id: string): Operation<string[]> {
  requireId(id);
  return operation(
    db.connection,
    () => ({ path: `${db.path}${documentPath(id)}?revs=true` }),
    (body) => {
      const { start, ids } = asObject(asObject(body)['_revisions']);
      return asArray(ids).map((hash, i) => `${Number(start) - i}-${String(hash)}`);
    },
  );
}

/** The revision that a document is at, read from the head of an answer without a body. */
export function currentRevision(db: DatabaseScope, id: string): Operation<string | null> {
  requireId(id);
  if (isDotSegment(id))
    throw new TypeError(`revs.current: no URL can hold the id ${describeValue(id)}`);
  const path = `${db.path}${documentPath(id)}`;
  return new Operation(
    operation(
      db.connection,
      () => ({ method: 'HEAD', path }),
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

/** Where a document is, or is to be: an id, or a document with `_id` and, to overwrite, `_rev`. */
export type CopyRef = string | { readonly _id: string; readonly _rev?: string };

/** A document that was written: its id and its new revision. */
export interface WriteResult {
  readonly id: string;
  readonly rev: string;
}

export function copyDocument(
  db: DatabaseScope,
  source: CopyRef,
  target: CopyRef,
): Operation<WriteResult> {
  readEnd(source, 'source');
  readEnd(target, 'dest');
  return operation(
    db.connection,
    () => {
      const from = readEnd(source, 'source');
      const to = readEnd(target, 'dest');
      // The id is decoded once more than the path of a request would be.
      const destination = `${segment(to.id)}${revision(to.rev)}`;
      const path = `${db.path}${documentPath(from.id)}${revision(from.rev)}`;
      return { method: 'COPY', path, headers: { destination } };
    },
    (body) => ({ id: stringField(body, 'id'), rev: stringField(body, 'rev') }),
  );
}

function readEnd(end: unknown, what: string): { readonly id: string; readonly rev: unknown } {
  if (typeof end === 'object' && end !== null && '_id' in end) {
    requireId(end._id, `copy: the _id of ${what}`);
    return { id: end._id, rev: '_rev' in end ? end._rev : undefined };
  }
  if (typeof end !== 'string') throw invalidArgument(`copy: ${what}`, 'an id or a document', end);
  requireId(end, `copy: ${what}`);
  return { id: end, rev: undefined };
}

function revision(rev: unknown): string {
  return typeof rev === 'string' ? `?rev=${segment(rev)}` : '';
}

/** What was purged. */
export interface PurgeResult {
  /** Null on CouchDB 3. */
  readonly purgeSeq: string | null;
  /** The revisions that were purged, by document id. */
  readonly purged: Readonly<Record<string, readonly string[]>>;
}

export function purge(db: DatabaseScope, docs: readonly DocumentRef[]): Operation<PurgeResult> {
  if (!Array.isArray(docs)) throw invalidArgument('purge: docs', 'a list of documents', docs);
  docs.forEach((doc, i) => requireRef(doc, `purge: docs[${i}]`));
  return operation(
    db.connection,
    () => {
      const json: Record<string, string[]> = {};
      for (const { _id: id, _rev: rev } of docs) (json[id] ??= []).push(rev);
      return { method: 'POST', path: `${db.path}/_purge`, json };
    },
    (body) => {
      const { purge_seq: seq = null, purged } = asObject(body);
      return {
        purgeSeq: seq === null ? null : sequence(seq),
        purged: asObject(purged) as PurgeResult['purged'],
      };
    },
  );
}

/** What the deletion of a document answers: the revision is that of its tombstone. */
export interface DeleteResult {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

export function deleteDocument(db: DatabaseScope, doc: DocumentRef): Operation<DeleteResult> {
  requireRef(doc, 'delete');
  return operation(
    db.connection,
    () => {
      requireRef(doc, 'delete');
      const { _id: id, _rev: rev } = doc;
      if (isDotSegment(id)) {
        return { method: 'POST', path: db.path, json: { _id: id, _rev: rev, _deleted: true } };
      }
      const query = `?rev=${encodeURIComponent(rev)}`;
      return { method: 'DELETE', path: `${db.path}${documentPath(id)}${query}` };
    },
    (body) => ({ ok: true, id: stringField(body, 'id'), rev: stringField(body, 'rev') }),
  );
}

/** Refuses what does not name a revision of a document. */
export function requireRef(doc: unknown, what: string): asserts doc is DocumentRef {
  if (typeof doc !== 'object' || doc === null) {
    throw new TypeError(`${what} takes a document with _id and _rev, not ${describeValue(doc)}`);
  }
  const { _id: id, _rev: rev } = doc as { _id?: unknown; _rev?: unknown };
  requireId(id, `${what}: the document's _id`);
  if (typeof rev !== 'string' || rev === '') {
    throw new TypeError(`${what}: the document ${JSON.stringify(id)} has no _rev; read it first`);
  }
}
