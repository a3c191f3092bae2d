import { beforeAll, describe, expect, it } from '@jest/globals';
import { BadRequest, NotFound, View } from 'corduroy';
import type { Database, Draft, Row } from 'corduroy';
import { needs } from '../helpers/server.ts';
import { emptyDatabase, failure, unlessEmbedded, value } from './steps.ts';

const refusesGroup = unlessEmbedded('the embedded server ignores group where nothing reduces');

interface Sale {
  shop?: string;
  year?: number;
  sum?: number;
}
const SALES: Draft<Sale>[] = [
  { _id: 's1', shop: 'north', year: 2023, sum: 10 },
  { _id: 's2', shop: 'north', year: 2024, sum: 20 },
  { _id: 's3', shop: 'south', year: 2023, sum: 30 },
  { _id: 's4', shop: 'south', year: 2024, sum: 40 },
  { _id: 's5', shop: 'south', year: 2024, sum: 50 },
];
const DESIGN = {
  _id: '_design/sales',
  views: {
    byShop: { map: 'function (doc) { if (doc.shop) emit(doc.shop, doc.sum); }' },
    sums: {
      map: 'function (doc) { if (doc.shop) emit([doc.shop, doc.year], doc.sum); }',
      reduce: '_sum',
    },
    spread: { map: 'function (doc) { if (doc.shop) emit(null, doc.sum); }', reduce: '_stats' },
  },
};

let db: Database<Sale>;
beforeAll(async () => {
  db = await emptyDatabase<Sale>();
  await value(db.save([...SALES, DESIGN]));
});
const ids = async (options: Parameters<typeof db.view>[1]): Promise<(string | null)[]> =>
  (await value(db.view('sales/byShop', options))).rows.map(({ id }) => id);

describe('view', () => {
  it('is an iterable of rows with total, offset and options', async () => {
    const view = await value(db.view<string, number>('sales/byShop', { limit: 2 }));
    expect(view).toBeInstanceOf(View);
    expect([...view]).toEqual([...view.rows]);
    expect(view).toMatchObject({ length: 2, totalRows: 5, offset: 0, options: { limit: 2 } });
    const { id, key, value: sum, doc, error } = view.rows[0] as Row<string, number>;
    expect([id, key, sum, doc, error]).toEqual(['s1', 'north', 10, null, null]);
  });

  it('and its rows print what they are', async () => {
    const view = await value(db.view('sales/byShop', { limit: 2 }));
    expect(String(view)).toBe('<View: 2 rows of 5>');
    expect(String(view.rows[0])).toBe('<Row: "north" → 10 of s1>');
    expect(String(await value(db.view('sales/sums')))).toBe('<View: 1 row>');
    const missing = await value(db.view('_all_docs', { keys: ['none'] }));
    expect(String(missing.rows[0])).toBe('<Row: "none" error not_found>');
  });

  it.each([
    ['key', { key: 'north' }, ['s1', 's2']],
    ['keys', { keys: ['south', 'none', 'north'] }, ['s3', 's4', 's5', 's1', 's2']],
    ['startKey', { startKey: 'o' }, ['s3', 's4', 's5']],
    ['endKey', { endKey: 'o' }, ['s1', 's2']],
    ['inclusiveEnd', { endKey: 'south', inclusiveEnd: false }, ['s1', 's2']],
    ['descending', { descending: true }, ['s5', 's4', 's3', 's2', 's1']],
    ['descending range', { descending: true, startKey: 'o', endKey: 'n' }, ['s2', 's1']],
    ['limit and skip', { limit: 2, skip: 2 }, ['s3', 's4']],
    ['stale', { stale: 'ok' as const, limit: 0 }, []],
    ['stable and update', { stable: true, update: true, limit: 1 }, ['s1']],
  ])('takes %s', async (_, options, expected) => {
    expect(await ids(options)).toEqual(expected);
  });

  needs('view-paging')('takes startKeyDocId and endKeyDocId, and tells the offset', async () => {
    const from = { startKey: 'south', startKeyDocId: 's4' };
    expect(await ids(from)).toEqual(['s4', 's5']);
    expect((await value(db.view('sales/byShop', from))).offset).toBe(3);
    expect(await ids({ endKey: 'south', endKeyDocId: 's3' })).toEqual(['s1', 's2', 's3']);
  });

  it('includeDocs gives each row its document', async () => {
    const { rows } = await value(db.view('sales/byShop', { key: 'north', includeDocs: true }));
    expect(rows.map(({ doc }) => doc?.year)).toEqual([2023, 2024]);
    expect(rows[0]?.doc?._rev).toMatch(/^1-/);
  });

  it('reduces, groups by levels and exactly, and does not reduce', async () => {
    const read = async (options = {}): Promise<unknown[]> =>
      (await value(db.view('sales/sums', options))).rows.map((row) => [row.key, row.value]);
    expect(await read()).toEqual([[null, 150]]);
    expect(await read({ groupLevel: 1 })).toEqual([
      [['north'], 30],
      [['south'], 120],
    ]);
    const exact = await read({ group: true });
    expect(exact).toHaveLength(4);
    expect(exact[3]).toEqual([['south', 2024], 90]);
    expect(await read({ groupLevel: 'exact' })).toEqual(exact);
    expect(await read({ groupLevel: 1, startKey: ['south'] })).toEqual([[['south'], 120]]);
    expect(await read({ reduce: false })).toHaveLength(5);
    const spread = await value(db.view('sales/spread'));
    expect(spread.rows[0]?.value).toMatchObject({ sum: 150, count: 5, min: 10, max: 50 });
  });

  refusesGroup('a view that does not reduce cannot be grouped', async () => {
    expect(await failure(db.view('sales/byShop', { group: true }))).toBeInstanceOf(BadRequest);
  });

  it('updateSeq says how far the index had come', async () => {
    const { updateSeq } = await value(db.view('sales/byShop', { updateSeq: true }));
    expect(updateSeq).toEqual(expect.any(String));
    expect((await value(db.view('sales/byShop'))).updateSeq).toBeNull();
  });

  it('of a design document or a name that is not there is NotFound', async () => {
    expect(await failure(db.view('sales/none'))).toBeInstanceOf(NotFound);
    expect(await failure(db.view('none/none'))).toBeInstanceOf(NotFound);
    expect(() => db.view('sales')).toThrow(TypeError);
  });

  it('of utf-8 names and many keys, which go by POST', async () => {
    const views = { größe: { map: 'function (doc) { if (doc.shop) emit(doc.sum, null); }' } };
    await value(db.save({ _id: '_design/maße', views } as Draft<Sale>));
    const keys = Array.from({ length: 5_000 }, (_, i) => i);
    const { rows } = await value(db.view<number>('maße/größe', { keys }));
    expect(rows.map(({ key }) => key)).toEqual([10, 20, 30, 40, 50]);
  });
});
