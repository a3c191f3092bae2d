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

describe('a sorted list, step by step', () => {
  type Rank = number | string;
  type Item = Document<{ readonly rank: Rank }>;
  const item = (id: string, rank: Rank, rev = '1-a'): Item => ({ _id: id, _rev: rev, rank });
  const entry = (id: string, rank: Rank | null, rev = '1-a'): LiveEntry => ({
    id,
    rev,
    doc: rank === null ? null : (item(id, rank, rev) as unknown as Document),
    conflicts: [],
  });
  const byText = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

  /** A list by rank. Only the server knows the order of ranks that are texts. */
  function listOf(
    ranks: readonly (readonly [id: string, rank: Rank])[],
    more: Partial<ListRules<Item>> = {},
  ): { readonly list: SortedList<Item>; readonly cache: DocumentCache; ids(): string } {
    const cache = new DocumentCache();
    const list = new SortedList<Item>(
      {
        idOf: ({ _id }) => _id,
        revOf: ({ _rev }) => _rev,
        versionOf: ({ _rev }) => _rev,
        itemOf: ({ doc }) => doc as unknown as Item,
        entryOf: (doc) => entryOf(doc as unknown as Doc),
        accepts: ({ doc }) => doc !== null,
        orderOf: () => (a, b) =>
          typeof a.rank === 'string' || typeof b.rank === 'string'
            ? a.rank === b.rank
              ? byText(a._id, b._id)
              : undefined
            : a.rank - b.rank || byText(a._id, b._id),
        placesNew: true,
        limit: Infinity,
        skip: 0,
        ...more,
      },
      cache,
    );
    list.answer(
      ranks.map(([id, rank]) => item(id, rank)),
      new Map(),
    );
    return { list, cache, ids: () => list.value.map(({ _id }) => _id).join('') };
  }

  /** Applies the present states of documents, as a feed tells them. */
  const apply = (
    { list, cache }: { readonly list: SortedList<Item>; readonly cache: DocumentCache },
    ...entries: readonly LiveEntry[]
  ): ReturnType<SortedList<Item>['apply']> => list.apply(entries.map((one) => cache.update(one)));

  it('moves, inserts and removes, one document or many', () => {
    const one = listOf([
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['d', 4],
    ]);
    expect(apply(one, entry('a', 3.5, '2-a')).changed).toBe(true);
    expect(one.ids()).toBe('bcad');
    apply(one, entry('d', 0, '2-d'));
    expect(one.ids()).toBe('dbca');
    apply(one, entry('b', null, '2-b'), entry('e', 2.5), entry('f', 9));
    expect(one.ids()).toBe('decaf');
    const letters = Array.from('ghijklmnopqrstuvwxyz');
    apply(one, entry('c', null, '2-c'), ...letters.map((id, i) => entry(id, i / 10)));
    expect(one.ids()).toBe('dghijklmnopqrstuvwxyzeaf');
    expect(apply(one, entry('d', 0, '2-d')).changed).toBe(false);
  });

  it('replaces a document that keeps its place, and keeps the others', () => {
    const one = listOf([
      ['a', 1],
      ['b', 2],
    ]);
    const [, before] = one.list.value;
    expect(apply(one, entry('a', 1, '2-a'))).toEqual({ changed: true, reread: false, refetch: [] });
    expect(one.list.value.map(({ _rev }) => _rev)).toEqual(['2-a', '1-a']);
    expect(one.list.value[1]).toBe(before);
  });

  it('keeps the place of a document whose order only the server knows, and reads again', () => {
    const one = listOf([
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ]);
    expect(apply(one, entry('b', 'x', '2-b')).reread).toBe(true);
    // The list may be out of order now, and documents are found all the same.
    expect(apply(one, entry('c', null, '2-c')).reread).toBe(false);
    expect(one.list.answer([item('a', 1), item('b', 'x', '2-b')], new Map()).reread).toBe(false);
    expect(one.ids()).toBe('ab');
    expect(apply(one, entry('d', 5)).reread).toBe(true);
  });

  it('fills a limit, and cuts beyond it', () => {
    const one = listOf(
      [
        ['a', 1],
        ['b', 2],
      ],
      { limit: 3 },
    );
    expect(apply(one, entry('c', 3), entry('d', 4)).reread).toBe(false);
    expect(one.ids()).toBe('abc');
    const full = one.list.value;
    expect(apply(one, entry('e', 5)).changed).toBe(false);
    expect(one.list.value).toBe(full);
    expect(apply(one, entry('f', 0)).changed).toBe(true);
    expect(one.ids()).toBe('fab');
    expect(apply(one, entry('a', null, '2-a')).reread).toBe(true);
  });

  it('reads again below skipped documents, but not for a document that never was there', () => {
    const one = listOf([['a', 1]], { skip: 1 });
    expect(apply(one, entry('b', 5)).reread).toBe(true);
    const other = listOf([['a', 1]], { skip: 1 });
    expect(apply(other, entry('z', null, '1-z')).reread).toBe(false);
    expect(apply(other, entry('y', null, '2-y')).reread).toBe(true);
    expect(apply(other, entry('a', null, '2-a')).reread).toBe(true);
  });

  it('keeps its value if an answer is equal, with documents and without', () => {
    for (const more of [{}, { entryOf: null }] as readonly Partial<ListRules<Item>>[]) {
      const one = listOf(
        [
          ['a', 1],
          ['b', 2],
        ],
        more,
      );
      const before = one.list.value;
      const again = one.list.answer([item('a', 1), item('b', 2)], new Map());
      expect(again).toEqual({ changed: false, reread: false, refetch: [] });
      expect(one.list.value).toBe(before);
      const newer = one.list.answer([item('a', 1), item('b', 2, '2-b')], new Map());
      expect(one.list.value[0]).toBe(before[0]);
      // Other queries may hold the document: it changes for all of them when it was fetched.
      const isHeld = more.entryOf === undefined;
      expect(newer.refetch).toEqual(isHeld ? ['b'] : []);
      expect(one.list.value[1]?._rev).toBe(isHeld ? '1-a' : '2-b');
    }
  });

  it('asks for documents that it heard of during a read, or reads again below a limit', () => {
    const heard = new Map([
      ['b', entry('b', 2)],
      ['c', entry('c', null, '2-c')],
    ]);
    const one = listOf([]);
    expect(one.list.answer([item('a', 1)], heard)).toMatchObject({ reread: false, refetch: ['b'] });
    const limited = listOf([], { limit: 5 });
    expect(limited.list.answer([item('a', 1)], heard)).toMatchObject({ reread: true, refetch: [] });
    const old = listOf([['a', 1]]);
    old.cache.update(entry('a', 1, '3-a'));
    expect(old.list.answer([item('a', 1, '2-a')], new Map()).refetch).toEqual([]);
  });

  it('removes a document that left during a read, and reads again if another moves up', () => {
    const gone = new Map([['a', entry('a', null, '2-a')]]);
    const answer = [item('a', 1), item('b', 2)];
    const one = listOf([]);
    expect(one.list.answer(answer, gone).reread).toBe(false);
    expect(one.ids()).toBe('b');
    const limited = listOf([], { limit: 2 });
    expect(limited.list.answer(answer, gone).reread).toBe(true);
    const skipping = listOf([], { skip: 1 });
    expect(skipping.list.answer(answer, gone).reread).toBe(true);
  });
});
