import { stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId } from '../http/url.ts';
import type { DocumentRef } from '../model/document.ts';
import { show } from '../model/must-be.ts';

/** What the deletion of a document answers: the revision is that of its tombstone. */
export interface Deleted {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

export function deleteDocument(db: DatabaseScope, doc: DocumentRef): Operation<Deleted> {
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
    throw new TypeError(`${what} takes a document with _id and _rev, not ${show(doc)}`);
  }
  const { _id: id, _rev: rev } = doc as { _id?: unknown; _rev?: unknown };
  requireId(id, `${what}: the document's _id`);
  if (typeof rev !== 'string' || rev === '') {
    throw new TypeError(`${what}: the document ${JSON.stringify(id)} has no _rev; read it first`);
  }
}
