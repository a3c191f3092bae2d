import { describe, expect, it } from '@jest/globals';
import { DocumentCache } from '../src/live/document-cache.ts';
import type { LiveEntry } from '../src/live/live-entry.ts';
import { QueryIndex } from '../src/live/query-index.ts';
import { SortedList } from '../src/live/sorted-list.ts';
import type { ListRules } from '../src/live/sorted-list.ts';
import type { Document } from '../src/model/document.ts';
import { randomly } from './helpers/random.ts';

// The engine of live queries, against a naive one: filter, sort and slice the whole database.

interface Fields {
  readonly group: number;
  readonly rank: number;
}
type Doc = Document<Fields>;

interface Query {
  readonly group: number | null;
  readonly sorted: boolean;
  readonly limit: number;
  readonly skip: number;
}

const byIdOf = (a: Doc, b: Doc): number => (a._id < b._id ? -1 : Number(a._id > b._id));
const byRank = (a: Doc, b: Doc): number => a.rank - b.rank || byIdOf(a, b);

const matches =
  ({ group }: Query) =>
  (doc: Doc): boolean =>
    group === null || doc.group === group;

function expected(database: ReadonlyMap<string, Doc>, query: Query): readonly Doc[] {
  const { sorted, skip, limit } = query;
  return [...database.values()]
    .filter(matches(query))
    .sort(sorted ? byRank : byIdOf)
    .slice(skip, skip + limit);
}

function rules(query: Query): ListRules<Doc> {
  return {
    idOf: ({ _id }) => _id,
    revOf: ({ _rev }) => _rev,
    versionOf: ({ _rev }) => _rev,
    itemOf: ({ doc }) => doc as unknown as Doc,
    entryOf: (doc) => entryOf(doc),
    accepts: ({ doc }) => doc !== null && matches(query)(doc as unknown as Doc),
    orderOf: () => (query.sorted ? byRank : byIdOf),
    placesNew: query.sorted,
    limit: query.limit,
    skip: query.skip,
  };
}

const entryOf = (doc: Doc): LiveEntry => ({
  id: doc._id,
  rev: doc._rev,
  doc: doc as unknown as Document,
  conflicts: [],
});

/** Runs queries against random writes. Returns how many changes reached a query, and the answers. */
function simulate(seed: number, queries: readonly Query[], rounds: number) {
  const random = randomly(seed);
  const cache = new DocumentCache();
  const index = new QueryIndex<number>();
  const database = new Map<string, Doc>();
  const revs = new Map<string, number>();
  const lists = queries.map((query) => new SortedList<Doc>(rules(query), cache));
  const shown: (readonly Doc[])[] = queries.map(() => []);
  const counts = { delivered: 0, reads: 0 };
  const write = (): LiveEntry => {
    const id = `d${random(60)}`;
    const generation = (revs.get(id) ?? 0) + 1;
    revs.set(id, generation);
    const rev = `${generation}-x`;
    if (database.has(id) && random(4) === 0) {
      database.delete(id);
      return { id, rev, doc: null, conflicts: [] };
    }
    const doc: Doc = { _id: id, _rev: rev, group: random(4), rank: random(12) };
    database.set(id, doc);
    return entryOf(doc);
  };
  const show = (i: number): void => {
    const { value } = lists[i] as SortedList<Doc>;
    // No emission without a change.
    expect(value).not.toEqual(shown[i]);
    shown[i] = value;
  };
  const read = (i: number): void => {
    counts.reads += 1;
    const answer = expected(database, queries[i] as Query).map((doc) => ({ ...doc }));
    if (lists[i]?.answer(answer, new Map()).changed === true) show(i);
  };
  for (let n = 0; n < 30; n++) write();
  queries.forEach((query, i) => {
    const fields = new Map<string, readonly unknown[]>();
    if (query.group !== null && query.skip === 0) fields.set('group', [query.group]);
    index.add(i, { fields });
    read(i);
  });
  for (let round = 0; round < rounds; round++) {
    const batch = new Map<string, LiveEntry>();
    const size = random(10) === 0 ? 40 : 1 + random(3);
    for (let n = 0; n < size; n++) {
      const entry = write();
      batch.set(entry.id, entry);
    }
    const changes = [...batch.values()].map((entry) => cache.update(entry));
    const unread = new Set<number>();
    for (const [i, relevant] of index.affected(changes)) {
      counts.delivered += relevant.length;
      const outcome = lists[i]?.apply(relevant);
      if (outcome?.changed === true) show(i);
      if (outcome?.reread === true) unread.add(i);
    }
    for (const i of unread) read(i);
    queries.forEach((query, i) => expect(lists[i]?.value).toEqual(expected(database, query)));
    expectOneObject(lists.map(({ value }) => value));
  }
  const held = new Set(lists.flatMap(({ value }) => value.map(({ _id }) => _id)));
  expect(cache.size).toBe(held.size);
  for (const list of lists) list.clear();
  expect(cache.size).toBe(0);
  return counts;
}

/** Expects that all lists contain the same object for a document. */
function expectOneObject(lists: readonly (readonly Doc[])[]): void {
  const objects = new Map<string, Doc>();
  for (const doc of lists.flat()) {
    const other = objects.get(doc._id) ?? doc;
    if (other !== doc) expect(`${doc._id} is two objects`).toBe('one object');
    objects.set(doc._id, doc);
  }
}

const all = { group: null, sorted: true, limit: Infinity, skip: 0 };

describe('the engine of live queries', () => {
  it.each([
    ['sorted', all],
    ['sorted by id', { ...all, sorted: false }],
    ['filtered', { ...all, group: 1 }],
    ['limited', { ...all, limit: 5 }],
    ['limited and filtered', { ...all, limit: 5, group: 2 }],
    ['limited without a sort', { ...all, sorted: false, limit: 7 }],
    ['limited to more than there is', { ...all, group: 3, limit: 40 }],
    ['skipping', { ...all, limit: 5, skip: 3 }],
    ['skipping without a limit', { ...all, group: 1, skip: 4 }],
  ])('gives the answers of a naive one: %s', (_, query) => {
    for (let seed = 1; seed <= 20; seed++) simulate(seed, [query], 60);
  });

  it('gives the answers of a naive one for many queries that share their documents', () => {
    const queries = [0, 1, 2, 3, null].flatMap((group) =>
      [true, false].flatMap((sorted) =>
        [Infinity, 6].map((limit) => ({ group, sorted, limit, skip: 0 })),
      ),
    );
    for (let seed = 1; seed <= 10; seed++) simulate(seed, queries, 60);
  });

  it('leads a change only to the queries whose documents have, or had, its value', () => {
    const query = (group: number): Query => ({ ...all, group });
    const { delivered } = simulate(1, [query(0), query(1), query(2), query(3)], 200);
    const { delivered: everywhere } = simulate(1, [all, all, all, all], 200);
    expect(delivered).toBeLessThan(everywhere / 2);
  });

  it('reads again only if a document may move up into a limited list', () => {
    expect(simulate(3, [all], 200).reads).toBe(1);
    const { reads } = simulate(3, [{ ...all, limit: 20 }], 200);
    expect(reads).toBeGreaterThan(1);
    expect(reads).toBeLessThan(150);
  });
});
