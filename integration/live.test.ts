import { afterAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database, LiveQuery } from 'corduroy';
import { filter, firstValueFrom, map, tap } from 'rxjs';
import type { Observable, Subscription } from 'rxjs';
import { isDeepStrictEqual as equal } from 'node:util';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

interface Order {
  n: number;
  city: string;
  open: boolean;
}

const cities = ['Bonn', 'Graz', 'Lund', 'Nice', 'Oslo', 'Pisa', 'Riga', 'Turku'];
const order = (i: number, n = i): Order & { readonly _id: string } => ({
  _id: `o${String(i).padStart(5, '0')}`,
  n,
  city: cities[n % cities.length] as string,
  open: n % 3 === 0,
});

/** A database with `count` orders and a view, behind a proxy that records the requests. */
async function orders(count: number) {
  const name = await createDatabase();
  const proxy = await startFaultyProxy(server.url);
  const [, credentials] = /\/\/(.*)@/.exec(server.authenticatedUrl) as RegExpExecArray;
  const couch = new Couch(proxy.url.replace('//', `//${credentials}@`), {
    live: { latency: 200, backoff: { initialDelay: 20, maxDelay: 100 } },
  });
  const direct = new Couch(server.authenticatedUrl).use<Order>(name);
  const docs: object[] = Array.from({ length: count }, (_, i) => order(i));
  docs.push({
    _id: '_design/o',
    views: { byCity: { map: 'function (doc) { emit(doc.city, doc.n); }', reduce: '_sum' } },
  });
  const response = await rawFetch(`/${name}/_bulk_docs`, { method: 'POST', body: { docs } });
  expect(response.ok).toBe(true);
  await response.arrayBuffer();
  await firstValueFrom(direct.view('o/byCity', { limit: 0 }));
  await firstValueFrom(direct.indexes.create({ fields: ['n'], name: 'n' }));
  return { db: couch.use<Order>(name), direct, proxy };
}

const subscriptions: Subscription[] = [];
afterAll(() => {
  for (const subscription of subscriptions) subscription.unsubscribe();
});

/** Keeps the last value of a stream. */
function last<V>(stream: Observable<V>): { value: V | undefined } {
  const kept: { value: V | undefined } = { value: undefined };
  subscriptions.push(
    stream.subscribe((value) => {
      kept.value = value;
    }),
  );
  return kept;
}

describe('live queries', () => {
  it('serves 50 documents and 10 queries over 10,000 documents with one feed and one bulk read, and equals a fresh read', async () => {
    const { db, direct, proxy } = await orders(10_000);
    const ids = Array.from({ length: 50 }, (_, i) => order(i * 7)._id);
    const documents = ids.map((id) => [id, last(db.doc$(id))] as const);
    const plain = (docs: readonly object[]): object[] =>
      docs.map((doc) => JSON.parse(JSON.stringify(doc)) as object);
    type Fresh = (db: Database<Order>) => Observable<unknown>;
    const sorted = (docs: readonly { readonly _id: string }[]): unknown =>
      [...docs].sort((a, b) => (a._id < b._id ? -1 : 1));
    const queries: [live: Observable<unknown>, fresh: Fresh][] = [
      [
        db.find$({ selector: { city: 'Oslo' } }).pipe(map(sorted)),
        (d) =>
          d
            .find({ selector: { city: 'Oslo' }, limit: 99_999 })
            .pipe(map(({ docs }) => sorted(docs))),
      ],
      [
        db.find$({ selector: { n: { $gte: 9000 } }, sort: ['n'] }),
        (d) =>
          d
            .find({ selector: { n: { $gte: 9000 } }, sort: ['n'], limit: 99_999 })
            .pipe(map(({ docs }) => docs)),
      ],
      [
        db.find$({ selector: { n: { $gt: 100 } }, sort: [{ n: 'desc' }], limit: 20 }),
        (d) =>
          d
            .find({ selector: { n: { $gt: 100 } }, sort: [{ n: 'desc' }], limit: 20 })
            .pipe(map(({ docs }) => docs)),
      ],
      [
        db.find$({ selector: { open: true, n: { $lt: 300 } } }).pipe(map(sorted)),
        (d) =>
          d
            .find({ selector: { open: true, n: { $lt: 300 } }, limit: 99_999 })
            .pipe(map(({ docs }) => sorted(docs))),
      ],
      [
        db.view$('o/byCity', { group: true }),
        (d) => d.view('o/byCity', { group: true }).pipe(map(({ rows }) => rows)),
      ],
      [
        db.view$('o/byCity', { reduce: false, key: 'Pisa', limit: 30 }),
        (d) =>
          d
            .view('o/byCity', { reduce: false, key: 'Pisa', limit: 30 })
            .pipe(map(({ rows }) => rows)),
      ],
      [
        db.allDocs$({ startKey: 'o00100', endKey: 'o00200', includeDocs: true }),
        (d) =>
          d
            .view('_all_docs', { startKey: 'o00100', endKey: 'o00200', includeDocs: true })
            .pipe(map(({ rows }) => rows)),
      ],
      [
        db.allDocs$({ limit: 15 }),
        (d) => d.view('_all_docs', { limit: 15 }).pipe(map(({ rows }) => rows)),
      ],
      [
        db.allDocs$({ keys: ids.slice(0, 10) }),
        (d) => d.view('_all_docs', { keys: ids.slice(0, 10) }).pipe(map(({ rows }) => rows)),
      ],
      [db.docs$(ids.slice(10, 30)), (d) => d.get(ids.slice(10, 30))],
    ];
    const live = queries.map(([stream, fresh]) => [last(stream), fresh] as const);
    const allEmitted = async (): Promise<void> => {
      while (
        ![...documents.map(([, kept]) => kept), ...live.map(([kept]) => kept)].every(
          ({ value }) => value !== undefined,
        )
      ) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await allEmitted();
    const requestsWith = (part: string): number =>
      proxy.requests.filter(({ url }) => url.includes(part)).length;
    expect(requestsWith('feed=continuous')).toBe(1);
    // One bulk read serves the 50 documents and docs$. The three allDocs$ send other requests.
    expect(
      proxy.requests.filter(({ url }) =>
        url.includes('_all_docs?include_docs=true&conflicts=true'),
      ),
    ).toHaveLength(1);
    const atStart = proxy.requests.length;

    let random = 42;
    const next = (below: number): number => (random = (random * 48_271) % 2_147_483_647) % below;
    for (let round = 0; round < 50; round++) {
      // Each round writes 20 documents, about half of them among the 50.
      const chosen = new Set<number>();
      while (chosen.size < 20) chosen.add(next(2) === 0 ? next(50) * 7 : next(10_000));
      const refs = await firstValueFrom(
        direct.view<string, { rev: string }>('_all_docs', {
          keys: [...chosen].map((i) => order(i)._id),
        }),
      );
      const docs = [...chosen].map((i, index) => {
        const { rev, deleted } = (refs.rows[index] as (typeof refs.rows)[number]).value as {
          rev: string;
          deleted?: true;
        };
        return {
          ...order(i, next(10_000)),
          ...(deleted !== true && { _rev: rev, ...(next(10) === 0 && { _deleted: true }) }),
        };
      });
      const { pending } = await firstValueFrom(direct.save(docs));
      expect(pending.size).toBe(0);
    }
    const marker = { ...order(99_999), _id: 'o00007-last' };
    const seen = firstValueFrom(db.doc$('o00007-last').pipe(filter((doc) => doc !== null)));
    await firstValueFrom(direct.save(marker));
    await seen;
    // The last changes may have caused reads that are under way.
    const isCurrent = async ([kept, fresh]: (typeof live)[number]): Promise<boolean> =>
      equal(
        plain(kept.value as object[]),
        plain((await firstValueFrom(fresh(direct))) as object[]),
      );
    const deadline = Date.now() + 20_000;
    while (Date.now() < deadline && !(await Promise.all(live.map(isCurrent))).every(Boolean));

    for (const [id, { value }] of documents) {
      const [fresh] = await firstValueFrom(direct.get([id]));
      expect({ id, doc: value }).toEqual({ id, doc: fresh });
    }
    for (const [i, [{ value }, fresh]] of live.entries()) {
      const expected = await firstValueFrom(fresh(direct));
      expect({ i, value: plain(value as object[]) }).toEqual({
        i,
        value: plain(expected as object[]),
      });
    }
    expect(requestsWith('feed=continuous')).toBe(1);
    const more = proxy.requests
      .slice(atStart)
      .map(({ url }) => url.replace(/^\/[^/]*/, '').split('?')[0]);
    const counts = more.reduce<Record<string, number>>(
      (all, url) => ({ ...all, [url as string]: (all[url as string] ?? 0) + 1 }),
      {},
    );
    console.log(
      `live: ${atStart} requests at the start, then for 1,000 writes ${JSON.stringify(counts)}`,
    );
    for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
    await proxy.close();
  }, 120_000);

  it('reconnects after a cut without a gap, and emits the waiting state', async () => {
    const { db, direct, proxy } = await orders(10);
    const states: string[] = [];
    const doc$: LiveQuery<object | null> = db.doc$('o00001');
    subscriptions.push(doc$.state$.subscribe(({ status }) => states.push(status)));
    const kept = last(doc$);
    await firstValueFrom(doc$.state$.pipe(filter(({ status }) => status === 'live')));
    proxy.refuse();
    proxy.cut();
    await firstValueFrom(doc$.state$.pipe(filter(({ status }) => status === 'waiting')));
    await firstValueFrom(direct.save({ ...order(1, 77) }, { force: true }));
    await proxy.accept();
    await firstValueFrom(
      doc$.pipe(
        filter((doc) => (doc as Order).n === 77),
        tap(),
      ),
    );
    expect(kept.value).toMatchObject({ n: 77 });
    expect(states.slice(0, 4)).toEqual(['idle', 'connecting', 'live', 'waiting']);
    for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
    // The query lingers for a second.
    await firstValueFrom(doc$.state$.pipe(filter(({ status }) => status === 'idle')));
    await proxy.close();
  });

  it.each([
    ['asc', ['n']],
    ['desc', ['n']],
    ['asc', ['n', 'city']],
    ['desc', ['n', 'city']],
  ] as const)(
    'insert a tie where the server sorts it: %s by an index of %j',
    async (sort, fields) => {
      const name = await createDatabase();
      const db = new Couch(server.authenticatedUrl).use<Pick<Order, 'n' | 'city'>>(name);
      await firstValueFrom(db.indexes.create({ fields: [...fields] }));
      const ties = ['b', 'd', 'f'].map((_id, i) => ({ _id, n: 1, city: cities[i] as string }));
      await firstValueFrom(db.save([...ties, { _id: 'last', n: 2, city: 'Oslo' }]));
      const selector = { n: { $gt: 0 }, city: { $gt: null } };
      const query = { selector, sort: [{ n: sort }] };
      const found = last(db.find$(query));
      await firstValueFrom(db.find$(query));
      const added = ['a', 'c', 'e', 'g'].map((_id, i) => ({
        _id,
        n: 1,
        city: cities[i] as string,
      }));
      for (const doc of added) await firstValueFrom(db.save(doc));
      await firstValueFrom(db.find$(query).pipe(filter((docs) => docs.length === 8)));
      const { docs } = await firstValueFrom(db.find({ ...query, limit: 99 }));
      expect(found.value?.map(({ _id }) => _id)).toEqual(docs.map(({ _id }) => _id));
      for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
    },
  );

  needs('purge')('follow the purges of their own Couch, which no feed reports', async () => {
    const { db, proxy } = await orders(10);
    const found = last(db.find$({ selector: { open: true }, sort: ['n'] }));
    const doc = last(db.doc$('o00003'));
    const values = last(db.allDocs$({ keys: ['o00003'] }));
    await firstValueFrom(db.doc$('o00003').pipe(filter((value) => value !== null)));
    await firstValueFrom(db.find$({ selector: { open: true }, sort: ['n'] }));
    const { _id, _rev } = doc.value as { readonly _id: string; readonly _rev: string };
    await firstValueFrom(db.purge([{ _id, _rev }]));
    await firstValueFrom(db.doc$('o00003').pipe(filter((value) => value === null)));
    expect(found.value?.map(({ n }) => n)).toEqual([0, 6, 9]);
    expect(values.value?.map(({ error }) => error)).toEqual(['not_found']);
    // A document that is created again begins with an older revision.
    await firstValueFrom(db.save({ ...order(3), n: 4, open: true }));
    await firstValueFrom(db.doc$('o00003').pipe(filter((value) => value !== null)));
    expect(found.value?.map(({ n }) => n)).toEqual([0, 4, 6, 9]);
    for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
    await proxy.close();
  });
});
