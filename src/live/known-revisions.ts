import { byWinner } from '../model/revision.ts';
import type { Found } from './found.ts';

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

  set({ id, rev }: Found): void {
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
  admits({ id, rev }: Found): boolean {
    const known = this.#revs.get(id);
    return known === undefined || (rev !== null && byWinner(rev, known) <= 0);
  }

  clear(): void {
    this.#revs.clear();
  }
}
