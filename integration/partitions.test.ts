import { beforeAll, describe, expect } from '@jest/globals';
import { BadRequest, Couch, designDocument } from 'corduroy';
import type { Database, LiveQuery } from 'corduroy';
import { filter, firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { lack } from './helpers/capabilities.ts';
import { createDatabase, deleteAtEnd, needs, server, uniqueName } from './helpers/server.ts';

interface Measurement {
  sensor: string;
  celsius: number;
}

const it = needs('partitions');

const byText = (a: string, b: string): number => (a < b ? -1 : 1);

describe('a partition', () => {
  const couch = new Couch(server.authenticatedUrl);
  let db: Database<Measurement>;
  beforeAll(async () => {
    if (lack(server.kind, 'partitions') !== undefined) return;
    db = await firstValueFrom(
      couch.create<Measurement>(deleteAtEnd(uniqueName()), { partitioned: true }),
    );
    await firstValueFrom(
      db.save(
        ['north', 'south'].flatMap((sensor, i) =>
          [1, 2, 3].map((n) => ({ _id: `${sensor}:${n}`, sensor, celsius: n + 10 * i })),
        ),
      ),
    );
    const warmth = designDocument<Measurement>({
      name: 'warmth',
      views: { byCelsius: { map: (doc, emit) => emit(doc.celsius), reduce: '_count' } },
    });
    await firstValueFrom(db.designs.deploy(warmth));
  });

  it('does not keep a temporary view from all documents', async () => {
    const { rows } = await firstValueFrom(
      db.query<number>('function (doc) { emit(doc.celsius); }', undefined, { startKey: 3 }),
    );
    expect(rows.map(({ key }) => key)).toEqual([3, 11, 12, 13]);
  });

  it('emits its state, also without documents', async () => {
    const info = await firstValueFrom(db.partition('north').info());
    expect(info).toMatchObject({ key: 'north', docCount: 3, deletedDocCount: 0 });
    expect(info.sizes.active).toBeGreaterThan(0);
    expect(await firstValueFrom(db.partition('east').info())).toMatchObject({ docCount: 0 });
  });

  it('lists only its documents', async () => {
    const { rows } = await firstValueFrom(db.partition('south').allDocs({ includeDocs: true }));
    expect(rows.map(({ id, doc }) => [id, doc?.celsius])).toEqual([
      ['south:1', 11],
      ['south:2', 12],
      ['south:3', 13],
    ]);
  });

  it('emits only its rows of a view', async () => {
    const south = db.partition('south');
    const { rows } = await firstValueFrom(
      south.view<number>('warmth/byCelsius', { reduce: false, startKey: 12 }),
    );
    expect(rows.map(({ key }) => key)).toEqual([12, 13]);
    const counted = await firstValueFrom(south.view('warmth/byCelsius'));
    expect(counted.rows[0]?.value).toBe(3);
  });

  it('finds only its documents, and explains the query', async () => {
    const north = db.partition('north');
    const selector = { celsius: { $gt: 1 } };
    const { docs } = await firstValueFrom(north.find({ selector, fields: ['_id'] }));
    expect(docs).toEqual([{ _id: 'north:2' }, { _id: 'north:3' }]);
    const explained = await firstValueFrom(north.explain({ selector }));
    expect(explained).toMatchObject({
      opts: { partition: 'north' },
      mrargs: { partition: 'north' },
    });
  });

  it('streams rows and documents, and reads pages', async () => {
    const north = db.partition('north');
    const rows = await lastValueFrom(
      north.viewRows<number>('warmth/byCelsius', { reduce: false }).pipe(toArray()),
    );
    expect(rows.map(({ id }) => id)).toEqual(['north:1', 'north:2', 'north:3']);
    const pages = await lastValueFrom(
      north
        .viewPages('warmth/byCelsius', { reduce: false, pageSize: 2, includeDocs: true })
        .pipe(toArray()),
    );
    expect(pages.map((page) => page.rows.map(({ doc }) => doc?.celsius))).toEqual([[1, 2], [3]]);
    const found = await lastValueFrom(
      north.findRows({ selector: { celsius: { $gt: 1 } }, limit: 50 }).pipe(toArray()),
    );
    expect(found.map(({ _id }) => _id)).toEqual(['north:2', 'north:3']);
  });

  it('has live queries, which see no other partition', async () => {
    const live = await firstValueFrom(
      couch.create<Measurement>(deleteAtEnd(uniqueName()), { partitioned: true }),
    );
    await firstValueFrom(
      live.designs.deploy(
        designDocument<Measurement>({
          name: 'warmth',
          views: { byCelsius: { map: (doc, emit) => emit(doc.celsius) } },
        }),
      ),
    );
    await firstValueFrom(live.save({ _id: 'a:1', sensor: 'a', celsius: 1 }));
    const part = live.partition('a');
    const seen = (query: LiveQuery<readonly unknown[]>): Promise<readonly unknown[]> =>
      firstValueFrom(query.pipe(filter((list) => list.length === 3)));
    const selector = { celsius: { $gt: 0 } };
    const all = Promise.all([
      seen(part.find$({ selector })),
      seen(part.allDocs$({ includeDocs: true })),
      seen(part.view$('warmth/byCelsius', { latency: 0 })),
      firstValueFrom(live.find$({ selector }).pipe(filter((list) => list.length === 4))),
    ]);
    await firstValueFrom(part.find$({ selector }));
    await firstValueFrom(
      live.save([
        { _id: 'b:1', sensor: 'b', celsius: 5 },
        { _id: 'a:3', sensor: 'a', celsius: 3 },
        { _id: 'a:2', sensor: 'a', celsius: 2 },
      ]),
    );
    const [found, listed, mapped] = await all;
    const ids = ['a:1', 'a:2', 'a:3'];
    const idsOf = (list: readonly unknown[], name: '_id' | 'id'): readonly string[] =>
      (list as readonly Record<typeof name, string>[]).map((one) => one[name]);
    expect([...idsOf(found, '_id')].sort(byText)).toEqual(ids);
    expect(idsOf(listed, 'id')).toEqual(ids);
    expect(idsOf(mapped, 'id')).toEqual(ids);
  });

  it('has partitioned indexes', async () => {
    const made = await firstValueFrom(
      db.indexes.create({ fields: ['celsius'], partitioned: true }),
    );
    const list = await firstValueFrom(db.indexes.list());
    expect(list.find(({ ddoc }) => ddoc === made.ddoc)?.partitioned).toBe(true);
  });

  it('errors with BadRequest in a database without partitions', async () => {
    const other = couch.use(await createDatabase());
    await expect(firstValueFrom(other.partition('a').info())).rejects.toBeInstanceOf(BadRequest);
  });
});
