import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { BadRequest, Couch } from 'corduroy';
import type { Database, View } from 'corduroy';
import { server } from '../helpers/server.ts';
import { startFaultyProxy } from '../helpers/faulty-proxy.ts';
import type { FaultyProxy, SeenRequest } from '../helpers/faulty-proxy.ts';
import { emptyDatabase, waitFor, failure, look, unlessEmbedded, value } from './steps.ts';

interface Item {
  n?: number;
}
const parses = unlessEmbedded(
  'the embedded server logs a function that it cannot parse, and answers no rows',
);
const MAP = 'function (doc) { if (doc.n !== undefined) emit(doc.n % 3, doc.n); }';

let db: Database<Item>;
beforeAll(async () => {
  db = await emptyDatabase<Item>();
  await value(db.save(Array.from({ length: 12 }, (_, n) => ({ _id: `item-${n + 10}`, n }))));
});

const designs = async (): Promise<string[]> => {
  const range = 'startkey="_design/corduroy"&endkey="_design/d"';
  const { rows } = await look(`/${db.name}/_all_docs?${range}`);
  return (rows as { id: string }[]).map(({ id }) => id);
};

describe('query', () => {
  // Whatever it was, no design document is left of it.
  const proxies: FaultyProxy[] = [];
  afterEach(async () => {
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
    await waitFor(
      async () => ((await designs()).length === 0 ? true : undefined),
      'the removal of the temporary design document',
      30,
    );
  });

  it('runs a map function, with the options of a view', async () => {
    const all: View = await value(db.query(MAP));
    expect(all.totalRows).toBe(12);
    expect(await designs()).toEqual([]);
    const some = await value(
      db.query<number, number>(MAP, undefined, { key: 0, descending: true, limit: 2 }),
    );
    expect(some.rows.map((row) => [row.key, row.value])).toEqual([
      [0, 9],
      [0, 6],
    ]);
    expect(some.options).toEqual({ key: 0, descending: true, limit: 2 });
    const withDocs = await value(db.query(MAP, undefined, { key: 1, limit: 1, includeDocs: true }));
    expect(withDocs.rows[0]?.doc?.n).toBe(1);
  });

  it('runs a reduce function, built in or written', async () => {
    for (const reduce of ['_sum', 'function (keys, values) { return sum(values); }']) {
      const total = await value(db.query<null, number>(MAP, reduce));
      expect(total.rows[0]?.value).toBe(66);
      const groups = await value(db.query<number, number>(MAP, reduce, { group: true }));
      expect(groups.rows.map((row) => row.value)).toEqual([18, 22, 26]);
    }
  });

  parses('with a map that is no function errors, and leaves nothing behind', async () => {
    expect(await failure(db.query('function (doc) { emit(doc.'))).toBeInstanceOf(BadRequest);
    expect(await designs()).toEqual([]);
  });

  parses('with a reduce that is no function errors, and leaves nothing behind', async () => {
    expect(await failure(db.query(MAP, 'function ('))).toBeInstanceOf(BadRequest);
    expect(await designs()).toEqual([]);
  });

  it('with misuse throws at the call', () => {
    for (const wrong of ['', '  ', null, 7])
      expect(() => db.query(wrong as never)).toThrow(TypeError);
    expect(() => db.query(MAP, 7 as never)).toThrow(TypeError);
    expect(() => db.query(MAP, undefined, { startkey: 1 } as never)).toThrow(TypeError);
  });

  it('with a query that the server refuses errors, and leaves nothing behind', async () => {
    const refused = db.query(MAP, undefined, { startKey: 2, endKey: 1 });
    const outcome = await value(refused.status());
    // CouchDB refuses a range that can hold nothing; a server that does not answers no rows.
    expect(outcome.ok ? outcome.value.length : outcome.code).toBe(outcome.ok ? 0 : 400);
  });

  it('sends nothing until it is subscribed to, and works anew each time', async () => {
    const query = db.query(MAP);
    expect(await designs()).toEqual([]);
    expect((await value(query)).length).toBe(12);
    expect((await value(query)).length).toBe(12);
  });

  /** The database behind a proxy. */
  async function proxied(): Promise<{ own: Database<Item>; proxy: FaultyProxy }> {
    const proxy = await startFaultyProxy(server.url);
    proxies.push(proxy);
    const couch = new Couch(proxy.url, { auth: [server.username, server.password] });
    return { own: couch.use<Item>(db.name), proxy };
  }
  const isTemporary = ({ url }: SeenRequest): boolean => url.includes('corduroy-temporary');

  it('unsubscribed from at once sends nothing', async () => {
    const { own, proxy } = await proxied();
    own.query(MAP).subscribe().unsubscribe();
    // A request that follows overtakes none.
    expect(await value(own.query(MAP))).toHaveLength(12);
    const sent = proxy.requests.filter(isTemporary).map(({ method }) => method);
    expect(sent).toEqual(['PUT', 'GET', 'DELETE']);
  });

  it.each(['PUT', 'GET', 'DELETE'])(
    'unsubscribed from while its %s is under way leaves nothing behind',
    async (name) => {
      const { own, proxy } = await proxied();
      const isPart = (request: SeenRequest): boolean =>
        request.method === name && isTemporary(request);
      proxy.stall(isPart);
      const underWay = proxy.nextRequest(isPart);
      const removal = proxy.nextRequest(
        (request) => request.method === 'DELETE' && isTemporary(request),
      );
      const values: unknown[] = [];
      const subscription = own.query(MAP).subscribe((view) => values.push(view));
      await underWay;
      subscription.unsubscribe();
      proxy.resume();
      await removal;
      const left = await waitFor(
        async () => ((await designs()).length === 0 ? 'nothing' : undefined),
        'the removal of the temporary design document',
        20,
      ).catch(designs);
      expect([left, values]).toEqual(['nothing', []]);
      const sent = proxy.requests.filter(isTemporary).map(({ method }) => method);
      expect(sent.filter((method) => method !== 'GET')).toEqual(['PUT', 'DELETE']);
    },
  );
});
