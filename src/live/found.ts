import type { Change } from '../model/change.ts';
import { isTombstone } from '../model/document.ts';
import type { AnyFields, Document } from '../model/document.ts';

/** What is known of a document: its winning revision, and the document itself. */
export interface Found<T extends object = AnyFields> {
  readonly id: string;
  /** The winning revision, that of a tombstone too; null where there never was a document. */
  readonly rev: string | null;
  /** Null where it is missing or deleted. */
  readonly doc: Document<T> | null;
  /** The live leaf revisions that lost, where there are any. */
  readonly conflicts: readonly string[];
}

const NONE: readonly string[] = [];

/** Makes what is known of a document that was read with `conflicts: true`. */
export function foundDocument(doc: Document): Found {
  const { _id: id, _rev: rev, _conflicts: conflicts = NONE } = doc;
  if (!('_conflicts' in doc)) return { id, rev, doc, conflicts };
  const { _conflicts: _lost, ...rest } = doc;
  return { id, rev, doc: rest, conflicts };
}

/** Reads a change with its document; null where the document was gone before it could be sent. */
export function foundIn({ id, changes, deleted, doc }: Change): Found | null {
  const rev = changes[0]?.rev;
  if (rev === undefined) return null;
  if (deleted === true || (doc && isTombstone(doc))) {
    return { id, rev, doc: null, conflicts: NONE };
  }
  return doc ? foundDocument(doc) : null;
}
