import type { Change } from '../model/change.ts';
import { byWinner, isTombstone } from '../model/document.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { equal } from '../model/json.ts';

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
  const { _id: id, _rev: rev, _conflicts: conflicts = NO_CONFLICTS } = doc;
  if (!('_conflicts' in doc)) return { id, rev, doc, conflicts };
  const { _conflicts: _lost, ...rest } = doc;
  return { id, rev, doc: rest, conflicts };
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

/**
 * Returns an answer in which items of the present list replace equal ones, so that they keep their
 * identity. Returns the present list itself if all its items are equal.
 */
export function keepEqual<Item>(
  present: readonly Item[],
  answer: readonly Item[],
  keyOf: (item: Item) => string,
): readonly Item[] {
  const known = new Map<string, Item>();
  for (const item of present) known.set(keyOf(item), item);
  const kept = answer.map((item) => {
    const before = known.get(keyOf(item));
    return before !== undefined && equal(before, item) ? before : item;
  });
  const same = kept.length === present.length && kept.every((item, i) => item === present[i]);
  return same ? present : kept;
}

/** The maximum number of documents whose revision is remembered. */
const MAX_REMEMBERED = 10_000;

/**
 * Remembers the newest revision of each document, because clusters repeat changes and answers
 * arrive out of order. Forgets the documents that changed longest ago.
 */
export class KnownRevisions {
  readonly #revs = new Map<string, string>();

  get(id: string): string | undefined {
    return this.#revs.get(id);
  }

  set({ id, rev }: LiveEntry): void {
    if (rev === null) return;
    // A map iterates in the order of insertion. Deleting first moves the document to the end.
    this.#revs.delete(id);
    this.#revs.set(id, rev);
    if (this.#revs.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#revs.keys()) {
      this.#revs.delete(oldest);
      return;
    }
  }

  /**
   * Returns whether an entry is certainly not older than the known revision: it is the same revision,
   * or it wins. A losing revision is uncertain: it may be old, or it may win now because the former
   * winner was deleted.
   */
  isNotOlder({ id, rev }: LiveEntry): boolean {
    const known = this.#revs.get(id);
    return known === undefined || (rev !== null && byWinner(rev, known) <= 0);
  }

  clear(): void {
    this.#revs.clear();
  }
}
