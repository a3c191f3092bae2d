import { byWinner } from '../model/document.ts';
import type { LiveChange, LiveEntry } from './live-entry.ts';

/** The maximum number of revisions that are remembered for documents that no query holds. */
const MAX_REMEMBERED = 10_000;

/**
 * The documents that the live queries of a database hold. All queries hold the same object for a
 * document, and one that it needs no request for. Pure: it sends nothing, and has no clock.
 *
 * A query retains the documents of its result, and releases those that leave it.
 */
export class DocumentCache {
  readonly #entries = new Map<string, LiveEntry>();
  /** How many queries hold a document, if there are several: most are in one query alone. */
  readonly #shares = new Map<string, number>();
  /** The latest revisions of documents that no query may hold, the latest change last. */
  readonly #revs = new Map<string, string>();

  /** Returns the entry of a document that a query holds. */
  get(id: string): LiveEntry | undefined {
    return this.#entries.get(id);
  }

  /** Returns the latest known revision; undefined if none is known. */
  revOf(id: string): string | undefined {
    return this.#entries.get(id)?.rev ?? this.#revs.get(id);
  }

  /**
   * Returns whether a revision is certainly not older than the known one: it is the same revision, or
   * it wins. A losing revision is uncertain: it may be old, or it may win now because the former winner
   * was deleted.
   */
  isNotOlder(id: string, rev: string | null): boolean {
    const known = this.revOf(id);
    return known === undefined || (rev !== null && byWinner(rev, known) <= 0);
  }

  /** Records the revision of a document that no query may hold. Forgets the oldest records. */
  record(id: string, rev: string | null): void {
    if (rev === null || this.#entries.has(id)) return;
    // A map iterates in the order of insertion. Deleting first moves the document to the end.
    this.#revs.delete(id);
    this.#revs.set(id, rev);
    if (this.#revs.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#revs.keys()) {
      this.#revs.delete(oldest);
      return;
    }
  }

  /** Records the present state of a document, and returns it as a change of the former one. */
  update(entry: LiveEntry): LiveChange {
    const { id, rev, conflicts } = entry;
    const before = this.#entries.get(id);
    if (before === undefined) {
      if (rev === null) this.#revs.delete(id);
      else this.record(id, rev);
      return { before, after: entry };
    }
    // Only the conflicts changed: the document keeps its identity.
    const after = before.rev === rev ? { id, rev, conflicts, doc: before.doc } : entry;
    this.#entries.set(id, after);
    return { before, after };
  }

  /** Holds a document for one query more. The first query decides the object. */
  retain(entry: LiveEntry): void {
    const { id } = entry;
    if (this.#entries.has(id)) this.#shares.set(id, (this.#shares.get(id) ?? 1) + 1);
    else this.#entries.set(id, entry);
  }

  /** Holds a document for one query less. */
  release(id: string): void {
    const shares = this.#shares.get(id) ?? 1;
    if (shares > 2) this.#shares.set(id, shares - 1);
    else if (shares === 2) this.#shares.delete(id);
    else {
      const entry = this.#entries.get(id);
      this.#entries.delete(id);
      if (entry !== undefined) this.record(id, entry.rev);
    }
  }

  /** The number of documents that queries hold. */
  get size(): number {
    return this.#entries.size;
  }

  /** Forgets the revisions of documents that no query holds. */
  forget(): void {
    this.#revs.clear();
  }
}
