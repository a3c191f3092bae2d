import { describe, expect, it } from '@jest/globals';
import { DocumentCache } from '../src/live/document-cache.ts';
import {
  FoundEntry,
  entryOfChange,
  entryOfDocument,
  missingEntry,
  wins,
} from '../src/live/live-entry.ts';
import type { LiveEntry } from '../src/live/live-entry.ts';
import { keepEqual } from '../src/live/live-result.ts';
import { KeyedList } from '../src/live/keyed-list.ts';
import { QueryIndex } from '../src/live/query-index.ts';
import type { Interest } from '../src/live/query-index.ts';
import { SortedList } from '../src/live/sorted-list.ts';
import type { Comparison, ListRules } from '../src/live/sorted-list.ts';
import type { Document } from '../src/model/document.ts';
import type { Verdict } from '../src/queries/verdict.ts';

type Doc = Document & { readonly rank?: number | string };

const doc = (id: string, rev: string, rank: number | string = 0): Doc => ({
  _id: id,
  _rev: rev,
  rank,
});
const entry = (one: Doc, conflicts: readonly string[] = []): LiveEntry => ({
  id: one._id,
  rev: one._rev,
  doc: one,
  conflicts,
});
const deleted = (id: string, rev: string): LiveEntry => ({ id, rev, doc: null, conflicts: [] });

describe('the cache of documents', () => {
  it('holds the first object of a document until the last query has released it', () => {
    const cache = new DocumentCache();
    const [first, other] = [entry(doc('a', '1-a')), entry(doc('a', '1-a'))];
    for (const one of [first, other, other]) cache.retain(one);
    expect([cache.get('a'), cache.size]).toEqual([first, 1]);
    cache.release('a');
    cache.release('a');
    expect(cache.get('a')).toBe(first);
    cache.release('a');
    expect([cache.get('a'), cache.size, cache.revOf('a')]).toEqual([undefined, 0, '1-a']);
    cache.retain(other);
    expect(cache.get('a')).toBe(other);
    cache.release('a');
    expect(cache.get('a')).toBeUndefined();
    cache.release('unknown');
    expect(cache.revOf('unknown')).toBeUndefined();
  });

  it('tells which revisions are certainly not older', () => {
    const cache = new DocumentCache();
    expect([cache.isNotOlder('a', '1-a'), cache.isNotOlder('a', null)]).toEqual([true, true]);
    cache.record('a', '2-b');
    const known = ['1-z', '2-a', '2-b', '2-c', '3-a', null].map((rev) =>
      cache.isNotOlder('a', rev),
    );
    expect(known).toEqual([false, false, true, true, true, false]);
    cache.forget();
    expect(cache.revOf('a')).toBeUndefined();
  });

  it('records no revision of a missing document, nor of one that it holds', () => {
    const cache = new DocumentCache();
    cache.record('a', '2-a');
    cache.record('a', null);
    expect(cache.revOf('a')).toBe('2-a');
    cache.retain(entry(doc('b', '1-b')));
    cache.record('b', '9-x');
    expect(cache.revOf('b')).toBe('1-b');
    cache.forget();
    expect(cache.revOf('b')).toBe('1-b');
  });

  it('remembers the 10,000 latest revisions', () => {
    const cache = new DocumentCache();
    for (let i = 0; i < 10_000; i++) cache.record(`d${i}`, '1-a');
    cache.record('d0', '2-a');
    expect(cache.revOf('d1')).toBe('1-a');
    cache.record('new', '1-a');
    expect(['d0', 'd1', 'd2', 'new'].map((id) => cache.revOf(id))).toEqual([
      '2-a',
      undefined,
      '1-a',
      '1-a',
    ]);
  });

  it('updates what it holds, and keeps the object if only the conflicts changed', () => {
    const cache = new DocumentCache();
    const [before, after] = [entry(doc('a', '1-a')), entry(doc('a', '2-a'))];
    expect(cache.update(before)).toEqual({ before: undefined, after: before });
    expect([cache.get('a'), cache.revOf('a')]).toEqual([undefined, '1-a']);
    expect(cache.update(missingEntry('a')).after.rev).toBeNull();
    expect(cache.revOf('a')).toBeUndefined();
    cache.retain(before);
    const change = cache.update(entry(doc('a', '1-a'), ['1-b']));
    expect(change.before).toBe(before);
    expect(change.after.doc).toBe(before.doc);
    expect(change.after).toEqual({ ...before, conflicts: ['1-b'] });
    expect(cache.update(after)).toEqual({ before: change.after, after });
    expect(cache.get('a')).toBe(after);
  });
});

describe('the state of a document', () => {
  it('comes from a document, with or without its conflicts', () => {
    const plain = doc('a', '1-a');
    expect(entryOfDocument(plain)).toEqual(entry(plain));
    expect(entryOfDocument(plain).doc).toBe(plain);
    expect(entryOfDocument({ ...plain, _conflicts: ['1-b'] })).toEqual(entry(plain, ['1-b']));
    expect(entryOfDocument({ _id: 'a' } as Document).rev).toBeNull();
    const { id, rev, conflicts, doc: found } = new FoundEntry(plain);
    expect([id, rev, conflicts, found]).toEqual(['a', '1-a', [], plain]);
  });

  it('comes from a change, if the server could read its document', () => {
    const change = { seq: '1', id: 'a', changes: [{ rev: '2-a' }] };
    const gone = deleted('a', '2-a');
    expect(entryOfChange({ ...change, doc: doc('a', '2-a') })).toEqual(entry(doc('a', '2-a')));
    expect(
      entryOfChange({ ...change, deleted: true, doc: { _id: 'a', _rev: '2-a', _deleted: true } }),
    ).toEqual(gone);
    expect(entryOfChange({ ...change, doc: { _id: 'a', _rev: '2-a', _deleted: true } })).toEqual(
      gone,
    );
    expect([
      entryOfChange({ ...change, doc: null }),
      entryOfChange(change),
      entryOfChange({ ...change, changes: [] }),
    ]).toEqual([null, null, null]);
    expect(entryOfChange({ ...change, deleted: true })).toEqual(gone);
  });

  it.each([
    ['2-a', '1-z', true],
    ['1-a', '1-a', false],
    ['1-a', '1-b', false],
    ['1-a', null, true],
    [null, null, false],
    [null, '1-a', false],
  ])('of the revision %p wins over %p: %p', (rev, other, expected) => {
    expect(wins(rev, other)).toBe(expected);
  });
});

describe('an answer that is like the list', () => {
  interface Item {
    readonly key: string;
    readonly value: number;
  }
  const item = (key: string, value = 0): Item => ({ key, value });
  const keep = (present: readonly Item[], answer: readonly Item[]): readonly Item[] =>
    keepEqual(
      present,
      answer,
      ({ key }) => key,
      (a, b) => a.key === b.key && a.value === b.value,
    );
  const present = [item('a'), item('b'), item('b', 1), item('c')];

  it('is the list itself', () => {
    expect(
      keep(
        present,
        present.map((one) => ({ ...one })),
      ),
    ).toBe(present);
    const empty: readonly Item[] = [];
    expect(keep(empty, [])).toBe(empty);
    const answer = [item('a')];
    expect(keep(empty, answer)).toBe(answer);
  });

  it.each<[what: string, answer: Item[], kept: (number | null)[]]>([
    ['shorter', [item('a'), item('b')], [0, 1]],
    ['empty', [], []],
    ['longer', [...present, item('d')], [0, 1, 2, 3, null]],
    ['moved', [item('c'), item('a'), item('b', 1), item('b')], [3, 0, 2, 1]],
    ['changed in one place', [item('a'), item('b', 5), item('b', 1), item('c')], [0, null, 2, 3]],
    ['the same item twice', [item('c'), item('c')], [3, null]],
    ['without the first', [item('b'), item('b', 1), item('c')], [1, 2, 3]],
  ])('keeps the objects of equal items if it is %s', (_, answer, kept) => {
    const fresh = answer.map((one) => ({ ...one }));
    const found = keep(present, fresh);
    expect(found).toEqual(answer);
    expect(found.map((one) => (fresh.includes(one) ? null : present.indexOf(one)))).toEqual(kept);
  });
});

describe('the index of queries', () => {
  const change = (
    after: LiveEntry,
    before?: LiveEntry,
  ): Parameters<QueryIndex<string>['affected']>[0] => [{ before, after }];
  const index = (
    interests: Record<string, Interest>,
  ): ((after: LiveEntry, before?: LiveEntry) => string[]) => {
    const queries = new QueryIndex<string>();
    for (const [name, interest] of Object.entries(interests)) queries.add(name, interest);
    return (after, before) => [...queries.affected(change(after, before)).keys()].sort();
  };
  const fields = (...pairs: [string, unknown[]][]): Interest => ({ fields: new Map(pairs) });
  const ranked = (rank: unknown, id = 'x'): LiveEntry =>
    entry({ _id: id, _rev: '1-a', rank } as Doc);

  it('finds queries by id, by a value, or for all changes', () => {
    const affected = index({
      all: 'all',
      none: { ids: [] },
      byId: { ids: ['x', 'y'] },
      anyField: fields(),
      one: fields(['rank', [1]]),
      two: fields(['rank', [2, 3]]),
      text: fields(['rank', ['a']]),
    });
    expect(affected(ranked(1))).toEqual(['all', 'anyField', 'byId', 'one']);
    expect(affected(ranked(3, 'z'))).toEqual(['all', 'anyField', 'two']);
    expect(affected(ranked(4, 'z'))).toEqual(['all', 'anyField']);
    expect(affected(deleted('z', '2-a'))).toEqual(['all', 'anyField']);
    // The former value counts too.
    expect(affected(deleted('z', '2-a'), ranked(1, 'z'))).toEqual(['all', 'anyField', 'one']);
    expect(affected(ranked(2, 'z'), ranked(1, 'z'))).toEqual(['all', 'anyField', 'one', 'two']);
    // A bigint equals its number; two texts beyond ASCII may be equal for CouchDB.
    expect(affected(ranked(1n, 'z'))).toEqual(['all', 'anyField', 'one']);
    expect(affected(ranked('a', 'z'))).toEqual(['all', 'anyField', 'text']);
    expect(affected(ranked('é', 'z'))).toEqual(['all', 'anyField', 'one', 'text', 'two']);
  });

  it('gives a query each change once, in order', () => {
    const queries = new QueryIndex<string>();
    queries.add('q', fields(['rank', [1, 2]]));
    const changes = [
      { before: ranked(1), after: ranked(2) },
      { before: ranked(3, 'y'), after: ranked(1, 'y') },
    ];
    expect(queries.affected(changes).get('q')).toEqual(changes);
  });

  it('files a query by the field that distinguishes it best, and removes it', () => {
    const queries = new QueryIndex<string>();
    queries.add('a', fields(['type', ['t']]));
    const remove = queries.add('b', fields(['type', ['t']], ['rank', [1]]));
    const both = (rank: number): LiveEntry => entry({ _id: 'x', _rev: '1-a', rank, type: 't' });
    expect([...queries.affected(change(both(1))).keys()].sort()).toEqual(['a', 'b']);
    expect([...queries.affected(change(both(2))).keys()]).toEqual(['a']);
    remove();
    expect([...queries.affected(change(both(1))).keys()]).toEqual(['a']);
    const removeAll = queries.add('c', 'all');
    removeAll();
    const removeById = queries.add('d', { ids: ['x'] });
    removeById();
    removeById();
    expect([...queries.affected(change(both(1))).keys()]).toEqual(['a']);
  });
});

describe('a sorted list', () => {
  /** Only the server knows the order of texts, and whether a rank of NaN belongs into the list. */
  const byRank: Comparison<Doc> = (a, b) =>
    typeof a.rank === 'string' || typeof b.rank === 'string'
      ? a.rank === b.rank
        ? 0
        : undefined
      : (a.rank ?? 0) - (b.rank ?? 0) || (a._id < b._id ? -1 : Number(a._id > b._id));
  const start = (answer: Doc[], own: Partial<ListRules<Doc>> = {}) => {
    const cache = new DocumentCache();
    const list = new SortedList<Doc>(
      {
        idOf: ({ _id }) => _id,
        revOf: ({ _rev }) => _rev,
        versionOf: ({ _rev }) => _rev,
        itemOf: (one) => one.doc as Doc,
        accepts: ({ doc: one }): Verdict =>
          one !== null && (Number.isNaN((one as Doc).rank) ? undefined : (one as Doc).rank !== -1),
        orderOf: () => byRank,
        placesNew: true,
        limit: Infinity,
        skip: 0,
        entryOf: (one) => entry(one),
        ...own,
      },
      cache,
    );
    const first = list.answer(answer, new Map());
    const heard = (...entries: LiveEntry[]): ReadonlyMap<string, LiveEntry> =>
      new Map(entries.map((one) => [one.id, one]));
    const ids = (): string => list.value.map(({ _id, _rev }) => `${_id}${_rev[0]}`).join(' ');
    const apply = (...entries: LiveEntry[]) => list.apply(entries.map((one) => cache.update(one)));
    return { cache, list, first, heard, ids, apply };
  };
  const [a, b, c] = [doc('a', '1-a', 1), doc('b', '1-b', 2), doc('c', '1-c', 3)];

  it('emits nothing if an answer is the same, and keeps the objects', () => {
    const { list, first } = start([a, b]);
    expect(first).toEqual({ changed: true, reread: false, refetch: [] });
    const { value } = list;
    expect(list.answer([{ ...a }, { ...b }], new Map())).toEqual({
      changed: false,
      reread: false,
      refetch: [],
    });
    expect(list.value).toBe(value);
    expect(list.answer([{ ...a }], new Map()).changed).toBe(true);
    expect(list.value).toEqual([a]);
    expect(list.value[0]).toBe(value[0]);
    expect(start([]).first).toEqual({ changed: false, reread: false, refetch: [] });
  });

  it('takes newer revisions that were heard of while the answer was under way', () => {
    const { list, heard, ids } = start([]);
    const newer = entry(doc('b', '2-b', 9));
    expect(list.answer([a, b, c], heard(newer))).toEqual({
      changed: true,
      reread: false,
      refetch: [],
    });
    expect(ids()).toBe('a1 c1 b2');
    const other = start([]);
    expect(other.list.answer([a, c], other.heard(deleted('c', '2-c'))).refetch).toEqual([]);
    expect(other.ids()).toBe('a1');
  });

  it('fetches a document whose present revision loses, or that an answer does not contain', () => {
    const { list, heard, ids, cache } = start([doc('b', '2-b', 2)]);
    expect(list.answer([a, doc('b', '3-b', 2)], heard()).refetch).toEqual(['b']);
    expect(ids()).toBe('a1 b2');
    cache.record('c', '5-c');
    expect(list.answer([a, doc('b', '2-b', 2), c], heard()).refetch).toEqual(['c']);
    expect(
      list.answer([a], heard(entry(doc('n', '1-n', 5)), entry(doc('m', '1-m', -1)))).refetch,
    ).toEqual(['n']);
    // In a part of the result, only the server knows the place.
    const limited = start([a, b], { limit: 2 });
    expect(limited.list.answer([a, b], heard(entry(c)))).toMatchObject({
      reread: true,
      refetch: [],
    });
    const skipping = start([a, b], { skip: 1 });
    expect(skipping.list.answer([a, b], heard(entry(c)))).toMatchObject({
      reread: true,
      refetch: [],
    });
  });

  it('reads again if a document has left a part of the result during the read', () => {
    const left = (own: Partial<ListRules<Doc>>): boolean => {
      const { list, heard } = start([], own);
      return list.answer([a, b], heard(deleted('b', '2-b'))).reread;
    };
    expect([left({}), left({ limit: 2 }), left({ limit: 3 }), left({ skip: 1 })]).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });

  it('shows its former value while only the server knows the next one', () => {
    const { list, apply, ids } = start([a, b], { limit: 2 });
    expect(apply(deleted('a', '2-a'))).toEqual({ changed: false, reread: true, refetch: [] });
    expect(ids()).toBe('a1 b1');
    // Until the answer arrives.
    expect(apply(entry(doc('b', '2-b', 2))).changed).toBe(false);
    expect(ids()).toBe('a1 b1');
    expect(list.answer([doc('b', '2-b', 2), c], new Map()).changed).toBe(true);
    expect(ids()).toBe('b2 c1');
    expect(apply(entry(doc('b', '3-b', 2))).changed).toBe(true);
    expect(ids()).toBe('b3 c1');
  });

  it('leaves the order of some documents, and whether some belong into it, to the server', () => {
    const { list, apply, ids } = start([a, b, c]);
    // The order is unknown: the document keeps its place until the answer arrives.
    expect(apply(entry(doc('b', '2-b', 'text')))).toEqual({
      changed: false,
      reread: true,
      refetch: [],
    });
    expect(apply(entry(doc('b', '3-b', 'more')))).toMatchObject({ changed: false, reread: true });
    expect(apply(deleted('a', '2-a'))).toMatchObject({ changed: false, reread: false });
    list.answer([c, doc('b', '3-b', 'more')], new Map());
    expect(ids()).toBe('c1 b3');
    // Whether it belongs into the list is unknown.
    expect(apply(entry(doc('c', '2-c', NaN)))).toMatchObject({ reread: true });
    expect(start([a]).apply(entry(doc('n', '1-n', NaN)))).toMatchObject({
      changed: false,
      reread: true,
    });
    expect(start([a]).apply(entry(doc('n', '1-n', 'text')))).toMatchObject({
      changed: false,
      reread: true,
    });
    expect(start([a]).apply(entry(doc('n', '1-n', -1)))).toEqual({
      changed: false,
      reread: false,
      refetch: [],
    });
  });

  it('applies a large batch as many small ones', () => {
    const docs = Array.from({ length: 60 }, (_, i) =>
      doc(`d${String(i).padStart(2, '0')}`, '1-a', i),
    );
    for (const count of [1, 2, 7, 15, 16, 17, 18, 40]) {
      const large = start(docs);
      const small = start(docs);
      const changes = docs
        .slice(0, count)
        .flatMap(({ _id }, i): LiveEntry[] =>
          i % 3 === 0
            ? [deleted(_id, '2-a')]
            : [entry(doc(_id, '2-a', (i * 37) % 70)), entry(doc(`n${_id}`, '1-a', (i * 11) % 64))],
        );
      large.apply(...changes);
      for (const change of changes) small.apply(change);
      expect(large.ids()).toBe(small.ids());
      expect(large.cache.size).toBe(large.list.value.length);
    }
  });

  it('cuts what comes after the limit, and emits nothing if that is all', () => {
    const { list, apply, ids, cache } = start([a, b, c], { limit: 4 });
    const { value } = list;
    expect(apply(entry(doc('d', '1-d', 0)), entry(doc('e', '1-e', 9))).changed).toBe(true);
    expect([ids(), cache.size]).toEqual(['d1 a1 b1 c1', 4]);
    expect(list.value).not.toBe(value);
    // The list is now a part of the result.
    const present = list.value;
    expect(apply(entry(doc('f', '1-f', 10)))).toEqual({
      changed: false,
      reread: false,
      refetch: [],
    });
    expect(list.value).toBe(present);
    expect(apply(deleted('d', '2-d')).reread).toBe(true);
  });

  it('places no new document in a limited list without an order, or behind skipped ones', () => {
    for (const own of [{ limit: 3, placesNew: false }, { skip: 1 }]) {
      const { apply, ids } = start([a, b], own);
      expect(apply(entry(doc('n', '1-n', 0)))).toEqual({
        changed: false,
        reread: true,
        refetch: [],
      });
      expect(ids()).toBe('a1 b1');
    }
    // A document that was changed may have been skipped; one that was created was not.
    const skipping = start([a, b], { skip: 1 });
    expect(skipping.apply(entry(doc('n', '2-n', -1))).reread).toBe(true);
    expect(skipping.apply(entry(doc('m', '1-m', -1))).reread).toBe(false);
    expect(start([a]).apply(entry(doc('n', '2-n', -1))).reread).toBe(false);
    expect(
      start([a, b], { limit: 3, placesNew: false }).apply(entry(doc('b', '2-b', 2))),
    ).toMatchObject({ changed: true, reread: false });
  });

  it('without documents finds its items by id', () => {
    const { list, cache, apply, ids } = start([a, b], { entryOf: null });
    expect([cache.size, cache.revOf('a')]).toEqual([0, '1-a']);
    expect(apply(entry(doc('b', '2-b', 2))).changed).toBe(true);
    expect(ids()).toBe('a1 b2');
    list.answer([a], new Map([['a', entry(doc('a', '2-a', 1))]]));
    expect(ids()).toBe('a2');
    list.clear();
    expect(ids()).toBe('');
  });
});

describe('a list of certain documents', () => {
  const start = (ids: string[], holds = true) => {
    const cache = new DocumentCache();
    const list = new KeyedList<LiveEntry>(
      { ids, holds, itemOf: (one) => one, entryOf: (one) => one },
      cache,
    );
    return { cache, list };
  };
  const [a, b] = [entry(doc('a', '1-a')), entry(doc('b', '2-b'))];

  it('has an item for each id, also for one that occurs twice', () => {
    const { cache, list } = start(['a', 'b', 'a']);
    expect(list.value).toEqual([]);
    expect(list.answer([a, b, a], new Map())).toEqual({
      changed: true,
      reread: false,
      refetch: [],
    });
    expect([list.value, cache.size]).toEqual([[a, b, a], 2]);
    const newer = entry(doc('a', '2-a'));
    expect(list.apply([cache.update(newer)])).toEqual({
      changed: true,
      reread: false,
      refetch: [],
    });
    expect(list.value).toEqual([newer, b, newer]);
    // Neither another document nor the same revision is a change.
    const { value } = list;
    expect(
      list.apply([
        { before: undefined, after: newer },
        { before: undefined, after: entry(doc('x', '1-x')) },
      ]).changed,
    ).toBe(false);
    expect(list.value).toBe(value);
    list.clear();
    list.clear();
    expect([list.value, cache.size]).toEqual([[], 0]);
  });

  it('keeps what the queries hold, or have heard of, and fetches what may be newer', () => {
    const { cache, list } = start(['a', 'b', 'c']);
    cache.retain(b);
    cache.record('c', '5-c');
    const same = entry(doc('b', '2-b'));
    const c = entry(doc('c', '1-c'));
    expect(list.answer([a, same, c], new Map()).refetch).toEqual(['c']);
    expect(list.value[1]).toBe(b);
    const newer = entry(doc('a', '2-a'));
    const other = start(['a', 'b']);
    expect(other.list.answer([a, b], new Map([['a', newer]])).refetch).toEqual([]);
    expect(other.list.value).toEqual([newer, b]);
    const loses = entry(doc('b', '1-b'));
    expect(start(['b']).list.answer([b], new Map([['b', loses]])).refetch).toEqual(['b']);
  });

  it('records revisions alone if its items contain no documents', () => {
    const { cache, list } = start(['a', 'b'], false);
    cache.retain(b);
    const same = entry(doc('b', '2-b'));
    list.answer([a, same], new Map());
    expect([cache.size, cache.revOf('a'), list.value[1]]).toEqual([1, '1-a', same]);
    expect(list.value[1]).toBe(same);
    list.clear();
    expect(cache.get('b')).toBe(b);
  });
});
