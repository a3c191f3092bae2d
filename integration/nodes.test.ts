import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch, fetchTransport, gotTransport, isServerError } from 'corduroy';
import type { Database } from 'corduroy';
import { Subject, filter, firstValueFrom, forkJoin, timeout } from 'rxjs';
import type { Observable } from 'rxjs';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

// One server behind three addresses, each of which can fail. A client sees the nodes of a cluster, with
// sequences that are valid on all of them.

jest.setTimeout(30_000);

const TIMEOUT = 10_000;
const NODES = 3;
const auth = { username: server.username, password: server.password };
const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: TIMEOUT })));
const failure = (source: Observable<unknown>): Promise<unknown> =>
  soon(source).then(
    (value) => ({ unexpected: value }),
    (error: unknown) => error,
  );

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

async function startNodes(): Promise<FaultyProxy[]> {
  const nodes = await Promise.all(
    Array.from({ length: NODES }, () => startFaultyProxy(server.url)),
  );
  for (const node of nodes) cleanUps.push(() => node.close());
  return nodes;
}

const counts = (nodes: FaultyProxy[]): number[] => nodes.map(({ requests }) => requests.length);

describe.each([
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
])('three nodes over %s', (_, transport) => {
  const couchOf = (nodes: FaultyProxy[], options: object = {}): Couch =>
    new Couch(
      nodes.map(({ url }) => url),
      { auth, transport: transport(), ...options },
    );

  it('share the requests', async () => {
    const nodes = await startNodes();
    const couch = couchOf(nodes);
    expect(couch.url).toBe(nodes[0]?.url);
    for (let i = 0; i < 9; i++) await soon(couch.version());
    expect(counts(nodes)).toEqual([3, 3, 3]);
  });

  it('take over from an unreachable node, and from a failing one, also for writes', async () => {
    const nodes = await startNodes();
    const db = couchOf(nodes).use(await createDatabase());
    nodes[0]?.refuse();
    const saves = Array.from({ length: 9 }, (__, i) => db.save({ _id: `${i}` }));
    expect(await soon(forkJoin(saves))).toHaveLength(9);
    nodes[1]?.answer({ status: 503, body: 'no backend' });
    for (let i = 0; i < 9; i++) expect(await soon(db.get(`${i}`))).toMatchObject({ _id: `${i}` });
    expect(counts(nodes)[0]).toBe(0);
  });

  it('receive requests again after their delay', async () => {
    const nodes = await startNodes();
    const couch = couchOf(nodes, { nodeBackoff: { initialDelay: 1, maxDelay: 1 } });
    nodes[0]?.refuse();
    for (let i = 0; i < 3; i++) await soon(couch.version());
    expect(counts(nodes)[0]).toBe(0);
    await nodes[0]?.accept();
    for (let i = 0; i < 6; i++) await soon(couch.version());
    expect(counts(nodes)[0]).toBeGreaterThan(0);
  });

  it('receive no write again that may have arrived', async () => {
    const nodes = await startNodes();
    const name = await createDatabase();
    for (const node of nodes)
      node.cutAfter(1, { of: 'wire', match: ({ method }) => method === 'PUT' });
    const db = couchOf(nodes).use(name);
    const saved = { _id: 'a' };
    await soon(db.save(saved));
    const puts = nodes.flatMap(({ requests }) => requests.filter(({ method }) => method === 'PUT'));
    expect(puts).toHaveLength(1);
    // It had arrived, and save has found that out.
    expect(await soon(db.get('a'))).toMatchObject(saved);
  });

  it('are named in errors by the node that failed last', async () => {
    const nodes = await startNodes();
    const couch = couchOf(nodes, { retry: false });
    for (const node of nodes) node.answer({ status: 502, body: '<h1>Bad gateway</h1>' });
    const error = await failure(couch.version());
    expect(isServerError(error)).toBe(true);
    const named = (error as { request: { url: string } }).request.url;
    expect(nodes.map(({ url }) => `${url}/`)).toContain(named);
    expect(counts(nodes)).toEqual([1, 1, 1]);
  });

  it('share one cookie session', async () => {
    const nodes = await startNodes();
    const couch = couchOf(nodes, { auth: { session: auth } });
    nodes[1]?.refuse();
    for (let i = 0; i < 6; i++)
      expect(await soon(couch.session())).toMatchObject({ name: 'admin' });
    const logins = nodes.flatMap(({ requests }) =>
      requests.filter(({ method }) => method === 'POST'),
    );
    expect(logins).toHaveLength(1);
  });
});

describe.each(['continuous', 'longpoll'] as const)('a %s feed of three nodes', (feed) => {
  it('fails over to another node, and loses no change', async () => {
    const nodes = await startNodes();
    const name = await createDatabase();
    const couch = new Couch(
      nodes.map(({ url }) => url),
      { auth, nodeBackoff: { initialDelay: 5, maxDelay: 50 } },
    );
    const db: Database = couch.use(name);
    const came = new Map<string, string>();
    const came$ = new Subject<void>();
    const subscription = db
      .changes$({
        feed,
        since: 0,
        latency: 0,
        heartbeat: 500,
        backoff: { initialDelay: 1, maxDelay: 10 },
      })
      .subscribe({
        next: ({ changes }) => {
          for (const { id, changes: revs } of changes) came.set(id, revs[0]?.rev ?? '');
          came$.next();
        },
        error: (error) => came$.error(error),
      });
    cleanUps.push(() => subscription.unsubscribe());
    const written = new Map<string, string>();
    const write = async (id: string): Promise<void> => {
      const response = await rawFetch(`/${name}/${id}`, { method: 'PUT', body: {} });
      written.set(id, ((await response.json()) as { rev: string }).rev);
    };
    for (let round = 0; round < 9; round++) {
      await write(`${round}-before`);
      // Each node in turn fails, with its requests in flight, and recovers.
      const victim = nodes[round % NODES];
      victim?.refuse();
      victim?.cut();
      await write(`${round}-after`);
      const all = soon(came$.pipe(filter(() => came.size === written.size)));
      if (came.size < written.size) await all;
      else all.catch(() => {});
      await victim?.accept();
    }
    expect(came).toEqual(written);
    expect(counts(nodes).every((count) => count > 0)).toBe(true);
  });
});
