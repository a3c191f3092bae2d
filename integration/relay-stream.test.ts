import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch } from 'corduroy';
import type { CouchOptions, Database, FeedState } from 'corduroy';
import type { RelayOptions } from 'corduroy/relay';
import { filter, firstValueFrom, scan, timeout } from 'rxjs';
import type { Observable } from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import type { FaultyProxy } from './helpers/faulty-proxy.ts';
import { serve, startRelay } from './helpers/relay.ts';
import type { RunningRelay } from './helpers/relay.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

jest.setTimeout(30_000);

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: 10_000 })));
const put = (name: string, id: string, doc: object = {}): Promise<Response> =>
  rawFetch(`/${name}/${id}`, { method: 'PUT', body: doc });

/** A relay behind a proxy that counts connections and breaks them. */
async function relayed(
  options: RelayOptions = {},
): Promise<{ readonly running: RunningRelay; readonly proxy: FaultyProxy }> {
  const running = await startRelay(options);
  const proxy = await startFaultyProxy(running.url);
  cleanUps.push(running.close, () => proxy.close());
  return { running, proxy };
}

const couchOf = (changesUrl: string, options: CouchOptions = {}): Couch =>
  new Couch(server.url, { auth: [server.username, server.password], changesUrl, ...options });

/** Subscribes to a feed until the end of the test. */
function follow(
  db: Database,
  options = {},
): { ids: string[]; states: FeedState[]; has: (id: string) => Promise<void>; stop: () => void } {
  const feed = db.changes$({
    latency: 0,
    heartbeat: 1000,
    backoff: { initialDelay: 50 },
    ...options,
  });
  const ids: string[] = [];
  const states: FeedState[] = [];
  const seen$ = feed.pipe(
    scan((all, { changes }) => {
      all.push(...changes.map(({ id }) => id));
      return all;
    }, ids),
  );
  const all = feed.state$.subscribe((state) => states.push(state));
  const subscription = seen$.subscribe({ error: () => {} });
  const stop = (): void => {
    subscription.unsubscribe();
    all.unsubscribe();
  };
  cleanUps.push(stop);
  const has = async (id: string): Promise<void> => {
    while (!ids.includes(id)) await soon(feed);
  };
  return { ids, states, has, stop };
}

const isFeedRequest = ({ url }: { url: string }): boolean =>
  url.includes('_changes') || url.includes('_relay/streams');

describe('the feeds of a Couch with a relay', () => {
  it('share one connection, for twenty databases', async () => {
    const { proxy } = await relayed();
    const couch = couchOf(proxy.url);
    const names = await Promise.all(Array.from({ length: 20 }, () => createDatabase()));
    const feeds = names.map((name) => follow(couch.use(name)));
    for (const [index, name] of names.entries()) {
      const { states } = feeds[index] as { states: FeedState[] };
      while (states.at(-1)?.status !== 'live')
        await new Promise((resolve) => setImmediate(resolve));
      await put(name, `doc-${index}`);
    }
    await Promise.all(feeds.map(({ has }, index) => has(`doc-${index}`)));
    for (const [index, { ids }] of feeds.entries()) expect(ids).toEqual([`doc-${index}`]);
    const opened = proxy.requests.filter(({ url }) => url.endsWith('/_relay/streams'));
    expect(opened).toHaveLength(1);
    expect(proxy.requests.filter(({ url }) => url.includes('_changes'))).toEqual([]);
  });

  it('have filters of their own, and leave one by one', async () => {
    const { proxy, running } = await relayed();
    const couch = couchOf(proxy.url);
    const db = couch.use(await createDatabase());
    const all = follow(db, { includeDocs: true });
    const some = follow(db, { selector: { n: { $gt: 1 } } });
    const one = follow(db, { docIds: ['c'] });
    const named = follow(db, { filter: '_design' });
    for (const { states } of [all, some, one, named])
      while (states.at(-1)?.status !== 'live')
        await new Promise((resolve) => setImmediate(resolve));
    for (const [id, n] of [
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ] as const)
      await put(db.name, id, { n });
    await put(db.name, '_design/d');
    await Promise.all([all.has('_design/d'), some.has('c'), one.has('c'), named.has('_design/d')]);
    expect([all.ids, some.ids, one.ids, named.ids].map((ids) => [...ids].sort())).toEqual([
      ['_design/d', 'a', 'b', 'c'],
      ['b', 'c'],
      ['c'],
      ['_design/d'],
    ]);
    some.stop();
    one.stop();
    named.stop();
    await soon(running.relay.stats$.pipe(filter(({ listeners }) => listeners === 1)));
    await put(db.name, 'z');
    await all.has('z');
    all.stop();
    await soon(running.relay.stats$.pipe(filter(({ listeners }) => listeners === 0)));
  });

  it('survive cuts, and lose nothing', async () => {
    const { proxy } = await relayed();
    const couch = couchOf(proxy.url);
    const names = await Promise.all(Array.from({ length: 5 }, () => createDatabase()));
    const feeds = names.map((name) => follow(couch.use(name), { since: 0 }));
    for (let round = 0; round < 20; round += 1) {
      for (const name of names) await put(name, `n${round}`);
      if (round % 4 === 1) proxy.cut();
      if (round % 4 === 3) proxy.cutAfter(200 + round * 7, { times: 1, match: isFeedRequest });
    }
    await Promise.all(feeds.map(({ has }) => has('n19')));
    const wanted = Array.from({ length: 20 }, (_, round) => `n${round}`).sort();
    for (const { ids } of feeds) expect([...new Set(ids)].sort()).toEqual(wanted);
  });

  it('are refused one by one', async () => {
    const { proxy } = await relayed();
    const couch = couchOf(proxy.url);
    const good = follow(couch.use(await createDatabase()), { since: 0 });
    const missing = follow(couch.use('no-such-database'), { since: 0 });
    const wrong = follow(couch.use(await createDatabase()), { since: 'bogus' });
    while (missing.states.at(-1)?.status !== 'failed' || wrong.states.at(-1)?.status !== 'failed')
      await new Promise((resolve) => setImmediate(resolve));
    expect(missing.states.at(-1)).toMatchObject({ error: { name: 'NotFound' } });
    expect(wrong.states.at(-1)).toMatchObject({ error: { name: 'BadRequest' } });
    expect(good.states.filter(({ status }) => status === 'waiting')).toEqual([]);
  });

  it('that cannot be shared have requests of their own', async () => {
    const { proxy } = await relayed();
    const couch = couchOf(proxy.url);
    const db = couch.use(await createDatabase());
    await put(db.name, '_design/d', {
      filters: { mine: 'function (doc, req) { return req.userCtx.name !== doc.owner; }' },
    });
    const mine = follow(db, { filter: 'd/mine', since: 0 });
    await put(db.name, 'a');
    await mine.has('a');
    expect(
      proxy.requests.some(
        ({ url }) => url.includes('filter=d%2Fmine') || url.includes('filter=d/mine'),
      ),
    ).toBe(true);
  });

  it('continue on the relay that follows one which has ended', async () => {
    let running: RunningRelay | null = await startRelay();
    const address = await serve((request, response) => {
      if (running === null) request.socket.destroy();
      else running.relay(request, response);
    });
    cleanUps.push(address.close);
    const couch = couchOf(address.url);
    const names = await Promise.all(Array.from({ length: 20 }, () => createDatabase()));
    // A heartbeat that is too long to find out by silence that the relay is gone.
    const feeds = names.map((name) => follow(couch.use(name), { since: 0, heartbeat: 60_000 }));
    for (const name of names) await put(name, 'first');
    await Promise.all(feeds.map(({ has }) => has('first')));
    const first = running;
    running = null;
    await first.close();
    for (const { states } of feeds)
      while (!states.some(({ status }) => status === 'waiting'))
        await new Promise((resolve) => setImmediate(resolve));
    for (const name of names) await put(name, 'second');
    running = await startRelay();
    cleanUps.push(running.close);
    await Promise.all(feeds.map(({ has }) => has('second')));
    for (const { ids } of feeds) expect([...new Set(ids)]).toEqual(['first', 'second']);
  });

  it('reach different relays behind one address', async () => {
    const relays = [await startRelay(), await startRelay()];
    let count = 0;
    const balancer = await serve((request, response) => {
      count += 1;
      relays[count % 2]?.relay(request, response);
    });
    cleanUps.push(balancer.close, ...relays.map(({ close }) => close));
    const couch = couchOf(balancer.url);
    const feeds: ReturnType<typeof follow>[] = [];
    const names: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      names.push(await createDatabase());
      feeds.push(follow(couch.use(names[n] ?? ''), { since: 0 }));
      await put(names[n] ?? '', 'first');
      await feeds[n]?.has('first');
    }
    for (const name of names) await put(name, 'second');
    await Promise.all(feeds.map(({ has }) => has('second')));
  });
});

describe('a stream of a relay', () => {
  const post = (url: string, body: object): Promise<Response> =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('ends when it has no subscriptions, or none that the server grants', async () => {
    const { running } = await relayed();
    const name = await createDatabase();
    await rawFetch(`/${name}/_security`, {
      method: 'PUT',
      body: { admins: { names: [], roles: [] }, members: { names: ['ada'], roles: [] } },
    });
    const streams = `${running.url}/_relay/streams`;
    expect(await (await post(streams, {})).text()).toMatch(/^\{"stream":"\w{32}"\}\n$/);
    const add = [1, 2].map((id) => ({ id, path: `/${name}/_changes?feed=continuous` }));
    const lines = (await (await post(streams, { add })).text()).trim().split('\n');
    expect(lines.slice(1).map((line) => line.slice(0, 16))).toEqual([
      'f1 {"status":401',
      'f2 {"status":401',
    ]);
    expect((await post(`${streams}/unknown`, {})).status).toBe(404);
    expect((await post(streams, { add: [{ id: 'x' }] })).status).toBe(400);
  });
});

describe('changesUrl', () => {
  it('sends feeds to a server that is no relay one by one, and all else to CouchDB', async () => {
    const [changes, other] = [
      await startFaultyProxy(server.url),
      await startFaultyProxy(server.url),
    ];
    cleanUps.push(
      () => changes.close(),
      () => other.close(),
    );
    const auth = [server.username, server.password] as const;
    const couch = new Couch(other.url, { auth, changesUrl: changes.url });
    const db = couch.use(await createDatabase());
    const feed = follow(db, { since: 0 });
    await firstValueFrom(db.save({ _id: 'a' }));
    await feed.has('a');
    const live = await soon(db.doc$('a').pipe(filter((doc) => doc !== null)));
    expect(live._id).toBe('a');
    expect(other.requests.filter(({ url }) => url.includes('feed='))).toEqual([]);
    expect(changes.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
    expect(changes.requests.filter(({ url }) => !/feed=|_relay\/up/.test(url))).toEqual([]);
  });

  it('makes feeds wait while the relay is away, and state$ tells', async () => {
    const { proxy } = await relayed();
    proxy.refuse();
    const couch = couchOf(proxy.url);
    const db = couch.use(await createDatabase());
    const feed = follow(db, { since: 0 });
    while (feed.states.at(-1)?.status !== 'waiting')
      await new Promise((resolve) => setImmediate(resolve));
    expect(feed.states.at(-1)).toMatchObject({ error: { name: 'ConnectionError' } });
    await put(db.name, 'a');
    await proxy.accept();
    await feed.has('a');
  });

  it('lets feeds listen to CouchDB while the relay is away, with changesFallback', async () => {
    const { proxy } = await relayed();
    proxy.refuse();
    const couch = couchOf(proxy.url, { changesFallback: true });
    const db = couch.use(await createDatabase());
    const feed = follow(db, { since: 0 });
    await put(db.name, 'a');
    await feed.has('a');
    expect(feed.states.filter(({ status }) => status === 'waiting')).toEqual([]);
    expect(feed.states.at(-1)).toMatchObject({ status: 'live', fallback: true });
  });

  it('must be a URL without credentials', () => {
    for (const [changesUrl, message] of [
      ['relay:5985', 'The URL must begin with http:// or https://'],
      [
        'http://a:b@relay:5985',
        'changesUrl must have no credentials: feeds use those of the Couch',
      ],
      [5985, 'changesUrl must be a string or a URL (received 5985)'],
    ] as const)
      expect(() => new Couch(server.url, { changesUrl: changesUrl as string })).toThrow(message);
    expect(
      () => new Couch(server.url, { changesUrl: 'http://relay:5985', changesFallback: 1 as never }),
    ).toThrow('changesFallback must be a boolean (received 1)');
  });
});
