import { byWinner, generation } from '../model/document.ts';

/** The fields of a document without those of CouchDB's own. */
export type Fields = Readonly<Record<string, unknown>>;

/** One revision of a document. */
export interface Revision {
  readonly rev: string;
  readonly parent: string | null;
  readonly deleted: boolean;
  /** Null where it is known only as the ancestor of another. */
  readonly fields: Fields | null;
}

/** The revisions of one document, and which of them wins. */
export class RevisionTree {
  readonly #revisions = new Map<string, Revision>();

  /** The leaves: live before deleted, and the winner first. */
  get leaves(): readonly Revision[] {
    const parents = new Set([...this.#revisions.values()].map(({ parent }) => parent));
    return [...this.#revisions.values()]
      .filter(({ rev }) => !parents.has(rev))
      .sort((a, b) => Number(a.deleted) - Number(b.deleted) || byWinner(a.rev, b.rev));
  }

  get winner(): Revision {
    const [winner] = this.leaves;
    if (winner === undefined) throw new Error('a document without a revision');
    return winner;
  }

  find(rev: string): Revision | undefined {
    return this.#revisions.get(rev);
  }

  /** The leaf that came of a revision: itself, where nothing did. */
  latest(rev: string): Revision | undefined {
    return this.leaves.find((leaf) => this.ancestry(leaf.rev).includes(rev));
  }

  /** A revision and its ancestors, the newest first. */
  ancestry(rev: string): readonly string[] {
    const line: string[] = [];
    for (let at = this.find(rev); at !== undefined; at = this.find(at.parent ?? ''))
      line.push(at.rev);
    return line;
  }

  /** Adds a revision with its ancestors, the newest first. Tells whether it is new. */
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
 * Makes the name of a revision of what is in it and before it: the same edit has the same name in
 * every run of a test.
 */
export function nameRevision(parent: string | null, deleted: boolean, fields: Fields): string {
  const number = parent === null ? 1 : generation(parent) + 1;
  return `${number}-${digest(JSON.stringify([parent, deleted, fields]))}`;
}

/** A hash of 32 hexadecimal digits: FNV-1a, from four beginnings. */
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
