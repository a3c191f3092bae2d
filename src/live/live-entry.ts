import type { Change } from '../model/change.ts';
import { byWinner, isTombstone } from '../model/document.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { equal } from '../model/json.ts';

/** What is known of a document: its winning revision, and the document itself. */
export interface LiveEntry<T extends object = AnyFields> {
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
export function entryOfDocument(doc: Document): LiveEntry {
  const { _id: id, _rev: rev, _conflicts: conflicts = NONE } = doc;
  if (!('_conflicts' in doc)) return { id, rev, doc, conflicts };
  const { _conflicts: _lost, ...rest } = doc;
  return { id, rev, doc: rest, conflicts };
}

/** Reads a change with its document; null where the document was gone before it could be sent. */
export function entryOfChange({ id, changes, deleted, doc }: Change): LiveEntry | null {
  const rev = changes[0]?.rev;
  if (rev === undefined) return null;
  if (deleted === true || (doc && isTombstone(doc))) {
    return { id, rev, doc: null, conflicts: NONE };
  }
  return doc ? entryOfDocument(doc) : null;
}

/**
 * Makes the next list of the present one and an answer: what is equal stays the same object, and the
 * list does where all of it is.
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

/** How many documents are remembered: those that were heard of last. */
const MEMORY = 10_000;

/**
 * The newest revision that was heard of, document by document: clusters repeat changes, and answers
 * overtake each other.
 */
export class KnownRevisions {
  readonly #revs = new Map<string, string>();

  get(id: string): string | undefined {
    return this.#revs.get(id);
  }

  set({ id, rev }: LiveEntry): void {
    if (rev === null) return;
    // A map keeps the order of insertion: the first is the one not heard of for the longest time.
    this.#revs.delete(id);
    this.#revs.set(id, rev);
    if (this.#revs.size <= MEMORY) return;
    for (const oldest of this.#revs.keys()) {
      this.#revs.delete(oldest);
      return;
    }
  }

  /**
   * Tells whether something is surely no older than what is known: the same revision, or one that
   * wins over it. What loses may be old, or what is left after the winner was deleted.
   */
  admits({ id, rev }: LiveEntry): boolean {
    const known = this.#revs.get(id);
    return known === undefined || (rev !== null && byWinner(rev, known) <= 0);
  }

  clear(): void {
    this.#revs.clear();
  }
}
