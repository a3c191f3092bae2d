import { beforeAll, describe, expect } from '@jest/globals';
import { BadRequest, Couch, designDocument } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { lack } from './helpers/capabilities.ts';
import { createDatabase, deleteAtEnd, needs, server, uniqueName } from './helpers/server.ts';

interface Measurement {
  sensor: string;
  celsius: number;
}

const it = needs('partitions');

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
