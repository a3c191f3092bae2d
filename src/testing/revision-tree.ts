import { toText } from './reply.ts';
import { byWinner, generation } from '../model/document.ts';

/** The fields of a document without those of CouchDB. */
export type Fields = Readonly<Record<string, unknown>>;

/** One revision of a document. */
export interface Revision {
  readonly rev: string;
  readonly parent: string | null;
  readonly deleted: boolean;
  /** Null if only its place in the history is known. */
  readonly fields: Fields | null;
}

/** The revision tree of a document. */
export class RevisionTree {
  readonly #revisions = new Map<string, Revision>();

  /** The leaves: live leaves before deleted ones, the winner first. */
  get leaves(): readonly Revision[] {
    const parents = new Set([...this.#revisions.values()].map(({ parent }) => parent));
    return [...this.#revisions.values()]
      .filter(({ rev }) => !parents.has(rev))
      .sort((a, b) => Number(a.deleted) - Number(b.deleted) || byWinner(a.rev, b.rev));
  }

  get winner(): Revision {
    const [winner] = this.leaves;
    if (winner === undefined) throw new Error('a revision tree without a revision');
    return winner;
  }

  find(rev: string): Revision | undefined {
    return this.#revisions.get(rev);
  }

  /** Returns the leaf that descends from a revision, which may be the revision itself. */
  latest(rev: string): Revision | undefined {
    return this.leaves.find((leaf) => this.ancestry(leaf.rev).includes(rev));
  }

  /** Returns a revision and its ancestors, the newest first. */
  ancestry(rev: string): readonly string[] {
    const revs: string[] = [];
    for (let at = this.find(rev); at !== undefined; at = this.find(at.parent ?? ''))
      revs.push(at.rev);
    return revs;
  }

  /** Adds a revision with its ancestors, the newest first. Returns whether it is new. */
  add(rev: string, ancestors: readonly string[], fields: Fields, deleted: boolean): boolean {
    const known = this.find(rev);
    if (known !== undefined && known.fields !== null) return false;
    this.#revisions.set(rev, { rev, parent: ancestors[0] ?? null, deleted, fields });
    ancestors.forEach((ancestor, i) => {
      if (this.#revisions.has(ancestor)) return;
      const parent = ancestors[i + 1] ?? null;
      this.#revisions.set(ancestor, { rev: ancestor, parent, deleted: false, fields: null });
    });
    return true;
  }
}

/**
 * Computes a revision from its content and its parent, so that an edit has the same revision in
 * every run of a test.
 */
export function computeRevision(parent: string | null, deleted: boolean, fields: Fields): string {
  const number = parent === null ? 1 : generation(parent) + 1;
  return `${number}-${digest(toText([parent, deleted, fields]))}`;
}

/** Returns a hash of 32 hexadecimal digits: FNV-1a with four seeds. */
export function digest(text: string): string {
  let hex = '';
  for (let seed = 0; seed < 4; seed++) {
    let hash = 0x811c9dc5 ^ (seed * 0x9e3779b1);
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    }
    hex += (hash >>> 0).toString(16).padStart(8, '0');
  }
  return hex;
}
