import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './hostile/random.ts';
import type { Interest, Written } from './relay-listener.ts';
import { rawFetch } from './server.ts';

// The documents that are written while listeners of a relay listen, and the filters by which they want some.

const WRITES = 50;

/** The filters of the interests. */
export const design = {
  _id: '_design/f',
  filters: {
    typed: 'function (doc, req) { return doc.type === req.query.type; }',
    // The relay cannot tell that all users have the same answer, so each listener has a feed of its own.
    own: "function (doc, req) { return req.userCtx !== null && doc.type === 'a'; }",
  },
};

const ids = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, n) => `doc-${from + n}`);
export const isDesign = ({ _id }: Written): boolean => _id.startsWith('_design/');
const selector = (value: object): Pick<Interest, 'query' | 'body'> => ({
  query: { filter: '_selector' },
  body: { selector: value },
});

/** Returns the changes that a listener wants, with the filter that selects them. */
export function interestOf(random: Random): Interest {
  const from = random.int(0, 20);
  const some = ids(from, from + random.int(1, 12));
  const type = random.pick(['a', 'b']);
  const isOne = ({ _id }: Written): boolean => some.includes(_id);
  const isTyped = (doc: Written): boolean => doc.type === type;
  return random.pick<Interest>([
    { name: 'all', query: {}, wants: () => true },
    { name: 'design', query: { filter: '_design' }, wants: isDesign },
    {
      name: 'ids in the query',
      query: { filter: '_doc_ids', doc_ids: JSON.stringify(some) },
      wants: isOne,
    },
    {
      name: 'ids',
      query: { filter: '_doc_ids' },
      body: { doc_ids: some },
      wants: isOne,
    },
    { name: 'selector', ...selector({ type }), wants: isTyped },
    {
      name: 'selector of a range',
      ...selector({ n: { $gt: from } }),
      wants: ({ n = -1 }) => n > from,
    },
    // Only CouchDB compares letters beyond ASCII.
    {
      name: 'selector of texts',
      ...selector({ color: { $gt: 'm' } }),
      wants: ({ color = '' }) => color > 'm',
    },
    { name: 'named', query: { filter: 'f/typed', type }, wants: isTyped },
    { name: 'own', query: { filter: 'f/own' }, wants: (doc) => doc.type === 'a' },
  ]);
}

/** Writes, updates and deletes documents, and knows all that were written, by `id rev`. */
export class Writer {
  readonly written = new Map<string, Written>();
  /** The last revision of each document. */
  readonly last = new Map<string, Written>();
  readonly #path: string;
  readonly #random: Random;
  readonly #pad: string;
  #isDone = false;

  constructor(name: string, random: Random, isLarge: boolean) {
    this.#path = `/${name}`;
    this.#random = random;
    this.#pad = isLarge ? 'x'.repeat(300_000) : '';
  }

  async put(doc: Omit<Written, '_rev'> & { readonly _rev?: string }): Promise<void> {
    const response = await rawFetch(`${this.#path}/${doc._id}`, {
      method: 'PUT',
      body: { ...doc, ...(this.#pad !== '' && !isDesign(doc as Written) && { pad: this.#pad }) },
    });
    const { rev } = (await response.json()) as { rev: string };
    if (!response.ok) throw new Error(`${doc._id} was refused with ${response.status}`);
    const written = { ...doc, _rev: rev };
    this.written.set(`${doc._id} ${rev}`, written);
    this.last.set(doc._id, written);
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  async writeAll(): Promise<void> {
    const random = this.#random;
    for (let n = 0; n < WRITES; n += 1) {
      const known = [...this.last.values()].filter((doc) => !isDesign(doc) && !doc._deleted);
      const isNew = known.length === 0 || random.chance(0.7);
      const before = isNew ? { _id: `doc-${n}` } : random.pick(known);
      const content = {
        type: random.pick(['a', 'b']),
        n: random.int(0, 40),
        color: random.pick(['blue', 'red', 'rosé']),
      };
      const isDeletion = !isNew && random.chance(0.3);
      await this.put({
        _id: before._id,
        ...('_rev' in before && { _rev: before._rev }),
        ...(isDeletion ? { _deleted: true } : content),
      });
      await sleep(random.int(0, 60));
    }
    this.#isDone = true;
  }
}
