import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Subject, map, of } from 'rxjs';
import { asPatches } from 'corduroy';
import type { ListPatch } from 'corduroy';
import { randomly } from './helpers/random.ts';
import { marbles } from './helpers/run.ts';

interface Doc {
  readonly _id: string;
  readonly n: number;
}
const doc = (_id: string, n = 0): Doc => ({ _id, n });

/** Applies a patch in the documented order. */
function apply<Item>(before: readonly Item[], patch: ListPatch<Item>): readonly Item[] {
  const gone = new Set([
    ...patch.removed.map(({ index }) => index),
    ...patch.moved.map(({ from }) => from),
  ]);
  const list = before.filter((_, i) => !gone.has(i));
  const entering = [...patch.added, ...patch.moved].sort((a, b) => a.index - b.index);
  for (const { item, index } of entering) list.splice(index, 0, item);
  for (const { item, index } of patch.changed) list[index] = item;
  return list;
}

/** Returns the patches between lists. */
function patches(...lists: readonly (readonly Doc[])[]): readonly ListPatch<Doc>[] {
  const all: ListPatch<Doc>[] = [];
  of(...lists)
    .pipe(asPatches())
    .subscribe((patch) => all.push(patch));
  return all;
}

describe('asPatches', () => {
  it(
    'emits a patch for each list, and ends with its source',
    marbles(({ cold, expectObservable }) => {
      const [a, b, c] = [doc('a'), doc('b'), doc('c')];
      const lists = { 1: [a, b], 2: [a, c, b], 3: [b] };
      const described = cold<readonly Doc[]>('1-2-3-#', lists).pipe(
        asPatches(),
        map(({ added, removed, moved, changed }) =>
          [added, removed, moved, changed]
            .map((part) => part.map(({ item, index }) => `${item._id}${index}`).join())
            .join('|'),
        ),
      );
      expectObservable(described).toBe('1-2-3-#', {
        1: 'a0,b1|||',
        2: 'c1|||',
        3: '|a0,c1||',
      });
    }),
  );

  it('tells one move from the items that shift', () => {
    const docs = Array.from({ length: 100 }, (_, i) => doc(`d${i}`));
    const moved = [...docs.slice(0, 10), docs[90] as Doc, ...docs.slice(10, 90), ...docs.slice(91)];
    const [, patch] = patches(docs, moved);
    expect(patch).toMatchObject({ added: [], removed: [], changed: [] });
    expect(patch?.moved).toEqual([{ item: docs[90], index: 10, from: 90 }]);
  });

  it('tells changed content, also of an item that moves', () => {
    const [a, b, c] = [doc('a'), doc('b'), doc('c')];
    const [, second, third] = patches(
      [a, b, c],
      [a, doc('b', 1), c],
      [doc('c', 2), a, doc('b', 1)],
    );
    expect(second?.changed).toEqual([{ item: doc('b', 1), index: 1 }]);
    expect(second?.moved).toEqual([]);
    expect(third?.moved).toEqual([{ item: doc('c', 2), index: 0, from: 2 }]);
    expect(third?.changed.map(({ index }) => index)).toEqual([0, 2]);
  });

  it('uses the id and the key of rows, and a key function', () => {
    const rows = [
      { id: 'a', key: 1, value: 0 },
      { id: 'a', key: 2, value: 0 },
    ];
    const source = new Subject<typeof rows>();
    const seen: ListPatch<(typeof rows)[number]>[] = [];
    const byValue: ListPatch<(typeof rows)[number]>[] = [];
    source.pipe(asPatches()).subscribe((patch) => seen.push(patch));
    source.pipe(asPatches(({ value }) => value)).subscribe((patch) => byValue.push(patch));
    source.next(rows);
    source.next(rows.map((row) => ({ ...row, value: 1 })));
    expect(seen[1]).toMatchObject({ added: [], removed: [], moved: [] });
    expect(seen[1]?.changed).toHaveLength(2);
    expect(byValue[1]?.added).toHaveLength(2);
    expect(() => asPatches('_id' as never)).toThrow(TypeError);
  });

  it('reads few keys, wherever the changes are', () => {
    let reads = 0;
    const docs = Array.from({ length: 1_000 }, (_, i) => doc(`d${i}`));
    const next = [doc('new'), ...docs];
    next[500] = doc('d499', 1);
    next.splice(20, 0, ...next.splice(900, 1));
    next.splice(980, 1);
    const seen: ListPatch<Doc>[] = [];
    const key = ({ _id }: Doc): string => {
      reads += 1;
      return _id;
    };
    const source = new Subject<readonly Doc[]>();
    source.pipe(asPatches(key)).subscribe((patch) => seen.push(patch));
    source.next(docs);
    reads = 0;
    source.next(next);
    const [, patch] = seen;
    expect(patch?.added.map(({ item }) => item._id)).toEqual(['new']);
    expect(patch?.moved.map(({ item, from }) => [item._id, from])).toEqual([['d899', 899]]);
    expect(patch?.changed.map(({ item }) => item._id)).toEqual(['d499']);
    expect(patch?.removed.map(({ item }) => item._id)).toEqual(['d979']);
    expect(reads).toBeLessThan(30);
  });

  it('moves as few items as possible', () => {
    const numbers = fc.uniqueArray(fc.nat(60), { maxLength: 30 });
    fc.assert(
      fc.property(numbers, fc.infiniteStream(fc.nat()), (values, order) => {
        const docs = values.map((n) => doc(`d${n}`));
        const next = docs
          .map((item) => ({ item, place: order.next().value as number }))
          .sort((a, b) => a.place - b.place)
          .map(({ item }) => item);
        const [, patch] = patches(docs, next);
        expect(apply(docs, patch as ListPatch<Doc>)).toEqual(next);
        // The length of a longest subsequence in order, by a quadratic search.
        const lengths: number[] = [];
        next.forEach((item, i) => {
          const below = next.slice(0, i).map((other, k) => {
            return docs.indexOf(other) < docs.indexOf(item) ? (lengths[k] as number) : 0;
          });
          lengths.push(1 + Math.max(0, ...below));
        });
        expect(patch?.moved).toHaveLength(next.length - Math.max(0, ...lengths));
      }),
    );
  });

  it('describes random changes, with equal keys too, so that they can be applied', () => {
    const random = randomly(7);
    let list: readonly Doc[] = [];
    const source = new Subject<readonly Doc[]>();
    let patch: ListPatch<Doc> | undefined;
    source.pipe(asPatches()).subscribe((next) => (patch = next));
    for (let round = 0; round < 2000; round++) {
      const next = [...list];
      for (let n = random(6); n >= 0; n--) {
        const at = random(next.length + 1);
        const kind = random(4);
        if (kind === 0 || next.length < 5) next.splice(at, 0, doc(`d${random(40)}`, round));
        else if (kind === 1) next.splice(at, 1);
        else if (kind === 2) next.splice(random(next.length), 0, ...next.splice(at, 1));
        else if (at < next.length) next[at] = doc((next[at] as Doc)._id, round);
      }
      source.next(next);
      const applied = apply(list, patch as ListPatch<Doc>);
      expect(applied).toHaveLength(next.length);
      expect(applied.every((item, i) => item === next[i])).toBe(true);
      list = next;
    }
  });
});
