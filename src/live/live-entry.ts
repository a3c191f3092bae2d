import type { Change } from '../model/change.ts';
import { byWinner, isTombstone } from '../model/document.ts';
import type { AnyFields, Document } from '../model/document.ts';

/** The known state of a document: its winning revision, and the document itself. */
export interface LiveEntry<T extends object = AnyFields> {
  readonly id: string;
  /** The winning revision, also that of a tombstone; null if there never was a document. */
  readonly rev: string | null;
  /** Null if the document is missing or deleted. */
  readonly doc: Document<T> | null;
  /** The losing leaf revisions that are not deleted. */
  readonly conflicts: readonly string[];
}

const NO_CONFLICTS: readonly string[] = [];

/** Converts a document that was read with `conflicts: true`. */
export function entryOfDocument(doc: Document): LiveEntry {
  const { _id: id, _conflicts: conflicts = NO_CONFLICTS } = doc;
  // Not every server is CouchDB.
  const rev = (doc as { readonly _rev?: string })._rev ?? null;
  if (!('_conflicts' in doc)) return { id, rev, doc, conflicts };
  const { _conflicts: _lost, ...rest } = doc;
  return { id, rev, doc: rest, conflicts };
}

/**
 * The entry of a document that was found without its conflicts. Large lists have one for each document, so
 * it holds nothing but the document.
 */
export class FoundEntry implements LiveEntry {
  readonly doc: Document;

  constructor(doc: Document) {
    this.doc = doc;
  }

  get id(): string {
    return this.doc._id;
  }

  get rev(): string {
    return this.doc._rev;
  }

  get conflicts(): readonly string[] {
    return NO_CONFLICTS;
  }
}

/** Returns the state of a document that the server does not have. */
export function missingEntry(id: string): LiveEntry {
  return { id, rev: null, doc: null, conflicts: NO_CONFLICTS };
}

/** Converts a change with its document; null if the server could not read the document any more. */
export function entryOfChange({ id, changes, deleted, doc }: Change): LiveEntry | null {
  const rev = changes[0]?.rev;
  if (rev === undefined) return null;
  if (deleted === true || (doc && isTombstone(doc))) {
    return { id, rev, doc: null, conflicts: NO_CONFLICTS };
  }
  return doc ? entryOfDocument(doc) : null;
}

/** A change of one document. */
export interface LiveChange {
  /** The state that the live queries hold; undefined if none holds the document. */
  readonly before: LiveEntry | undefined;
  readonly after: LiveEntry;
}

/** Returns whether a revision wins over another one, so that it is newer. */
export function wins(rev: string | null, other: string | null): boolean {
  return rev !== null && (other === null || byWinner(rev, other) < 0);
}
