import { rawFetch } from './server.ts';

/** The documents of the oracle. Fields may be missing. */
export interface Item {
  kind?: string;
  n?: number;
  city?: string;
  open?: boolean;
  tags?: string[];
  nested?: { x?: number | string };
  note?: string;
}

/** How many documents the oracle writes. Few, so that most queries see most writes. */
const POOL = 48;

export const idOf = (i: number): string => `item-${String(i).padStart(2, '0')}`;

interface Leaves {
  readonly rev: string;
  readonly deleted: boolean;
  readonly conflicts: readonly string[];
}

interface Row {
  readonly key: string;
  readonly value?: { readonly rev: string; readonly deleted?: boolean };
  readonly doc?: { readonly _conflicts?: readonly string[] } | null;
}

/** Random writes of another client: it writes directly to the server. The same seed writes the same. */
export class OracleWriter {
  readonly #random: () => number;
  readonly #database: string;
  /** The writes of the present round, for reports. */
  readonly log: string[] = [];

  constructor(database: string, random: () => number) {
    this.#database = database;
    this.#random = random;
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  /** Writes some documents at once: saves, deletions, conflicts and deletions of winners. */
  async write(count: number): Promise<void> {
    const ids = new Set<string>();
    while (ids.size < count) ids.add(idOf(this.below(POOL)));
    const present = await this.#leaves([...ids]);
    const edits: object[] = [];
    const replicated: object[] = [];
    for (const id of ids) {
      const leaves = present.get(id);
      const roll = this.#random();
      if (leaves !== undefined && !leaves.deleted && roll < 0.2) {
        // Where there is a conflict, another leaf wins now.
        edits.push({ _id: id, _rev: leaves.rev, _deleted: true });
      } else if (leaves !== undefined && leaves.conflicts.length < 3 && roll < 0.32) {
        replicated.push({ ...this.#item(), _id: id, _rev: this.#leaf(leaves.rev) });
      } else if (leaves?.conflicts[0] !== undefined && roll < 0.5) {
        edits.push({ _id: id, _rev: leaves.conflicts[0], _deleted: true });
      } else {
        const current = leaves !== undefined && !leaves.deleted && { _rev: leaves.rev };
        edits.push({ ...this.#item(), _id: id, ...current });
      }
    }
    await this.#post('_bulk_docs', { docs: edits });
    if (replicated.length > 0)
      await this.#post('_bulk_docs', { docs: replicated, new_edits: false });
    for (const doc of [...edits, ...replicated]) this.log.push(JSON.stringify(doc));
  }

  /** A leaf of the generation before, the same, or the next one. */
  #leaf(rev: string): string {
    const generation = Math.max(1, Number.parseInt(rev, 10) + this.below(3) - 1);
    const hash = Array.from({ length: 32 }, () => this.below(16).toString(16)).join('');
    return `${generation}-${hash}`;
  }

  #item(): Item {
    const pick = <V>(...values: V[]): V => values[this.below(values.length)] as V;
    return {
      ...(this.chance(0.9) && { kind: pick('a', 'b', 'c') }),
      // Few values, so that there are ties.
      ...(this.chance(0.9) && { n: this.below(40) }),
      ...(this.chance(0.9) && { city: pick('bonn', 'graz', 'lund', 'oslo', 'riga') }),
      ...(this.chance(0.7) && { open: this.chance(0.5) }),
      ...(this.chance(0.7) && {
        tags: Array.from({ length: this.below(4) }, () => pick('red', 'blue', 'green')),
      }),
      ...(this.chance(0.6) && { nested: pick({}, { x: this.below(9) }, { x: 'text' }) }),
    };
  }

  async #leaves(ids: readonly string[]): Promise<Map<string, Leaves>> {
    const path = '_all_docs?include_docs=true&conflicts=true';
    const { rows } = (await this.#post(path, { keys: ids })) as { rows: Row[] };
    const leaves = new Map<string, Leaves>();
    for (const { key, value, doc } of rows) {
      if (value === undefined) continue;
      const { rev, deleted = false } = value;
      leaves.set(key, { rev, deleted, conflicts: doc?._conflicts ?? [] });
    }
    return leaves;
  }

  async #post(path: string, body: object): Promise<unknown> {
    const response = await rawFetch(`/${this.#database}/${path}`, { method: 'POST', body });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }
}
