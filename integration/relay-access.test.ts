import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { firstValueFrom } from 'rxjs';
import type { RelayOptions } from 'corduroy/relay';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import { listen, startRelay } from './helpers/relay.ts';
import type { ListenOptions, RawListener, RunningRelay } from './helpers/relay.ts';
import { basicAuth } from './helpers/running-server.ts';
import { createDatabase, rawFetch, server, uniqueName } from './helpers/server.ts';

// Nobody gets a row of a database that it may not read, whatever it sends.

jest.setTimeout(30_000);

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

const users = { ada: uniqueName('ada'), bob: uniqueName('bob') };
const PASSWORD = 'secret-1';
const cleanUpUsers: (() => Promise<void>)[] = [];

beforeAll(async () => {
  await rawFetch('/_users', { method: 'PUT' });
  for (const name of Object.values(users)) {
    const path = `/_users/org.couchdb.user:${name}`;
    const user = { name, password: PASSWORD, type: 'user', roles: [] };
    await rawFetch(path, { method: 'PUT', body: user });
    cleanUpUsers.push(async () => {
      const { _rev } = (await (await rawFetch(path)).json()) as { _rev: string };
      await rawFetch(`${path}?rev=${_rev}`, { method: 'DELETE' });
    });
  }
});
afterAll(async () => {
  for (const cleanUp of cleanUpUsers) await cleanUp();
});

async function started(options: RelayOptions = {}, target?: string): Promise<RunningRelay> {
  const running = await startRelay(options, target);
  cleanUps.push(running.close);
  return running;
}

async function open(url: string, options?: ListenOptions): Promise<RawListener> {
  const listener = await listen(url, options);
  cleanUps.push(() => listener.close());
  return listener;
}

const put = (name: string, id: string, doc: object = {}): Promise<Response> =>
  rawFetch(`/${name}/${id}`, { method: 'PUT', body: doc });

const grant = (name: string, ...names: string[]): Promise<Response> =>
  rawFetch(`/${name}/_security`, {
    method: 'PUT',
    body: { admins: { names: [], roles: ['_admin'] }, members: { names, roles: [] } },
  });

/** A database that only some users may read; anybody if there are none. */
async function readableBy(...names: string[]): Promise<string> {
  const name = await createDatabase();
  await rawFetch(`/${name}/_security`, {
    method: 'PUT',
    body: { admins: { names: [], roles: [] }, members: { names, roles: [] } },
  });
  return name;
}

const FEED = '_changes?feed=continuous&since=now&heartbeat=1000';
const ada = [users.ada, PASSWORD] as const;
const bob = [users.bob, PASSWORD] as const;

async function statusOf(url: string, options: ListenOptions): Promise<number> {
  const listener = await open(url, options);
  if (listener.status !== 200) await listener.ended;
  listener.close();
  return listener.status;
}

describe('a listener', () => {
  it('needs the right to read the database, by whatever credentials', async () => {
    const name = await readableBy(users.ada);
    const { url } = await started();
    const path = `${url}/${name}/${FEED}`;
    expect(await statusOf(path, { auth: ada })).toBe(200);
    expect(await statusOf(path, { auth: bob })).toBe(403);
    expect(await statusOf(path, { auth: null })).toBe(401);
    expect(await statusOf(path, { auth: [users.ada, 'wrong'] })).toBe(401);
    expect(
      await statusOf(path, { auth: null, headers: { authorization: 'Bearer x.y.z' } }),
    ).not.toBe(200);
    const login = await fetch(`${server.url}/_session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: users.ada, password: PASSWORD }),
    });
    const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
    expect(await statusOf(path, { auth: null, headers: { cookie } })).toBe(200);
    const forged = `${cookie.slice(0, -3)}AAA`;
    expect(await statusOf(path, { auth: null, headers: { cookie: forged } })).not.toBe(200);
  });

  it('is asked for its right in each query, also while others listen', async () => {
    const name = await readableBy(users.ada);
    const { url } = await started();
    const listener = await open(`${url}/${name}/${FEED}&include_docs=true`, { auth: ada });
    await put(name, 'one', { text: 'confidential' });
    await listener.has('one');
    const since = encodeURIComponent(listener.rows[0]?.seq ?? '');
    for (const feed of ['continuous', 'longpoll', 'eventsource', 'normal']) {
      for (const query of [`since=${since}`, 'since=0', 'since=now', 'include_docs=true&since=0']) {
        const refused = await open(`${url}/${name}/_changes?feed=${feed}&${query}`, { auth: bob });
        await refused.ended;
        expect([feed, query, refused.status]).toEqual([feed, query, 403]);
        expect(refused.text).not.toMatch(/one|confidential/);
      }
    }
  });

  it('loses its feed within `recheck` when its right is withdrawn, and others keep theirs', async () => {
    const name = await readableBy(users.ada, users.bob);
    const running = await started({ recheck: 1000 });
    const path = `${running.url}/${name}/${FEED}`;
    const [first, second] = [await open(path, { auth: ada }), await open(path, { auth: bob })];
    await put(name, 'one');
    await Promise.all([first.has('one'), second.has('one')]);
    await grant(name, users.bob);
    await first.ended;
    await put(name, 'two');
    await second.has('two');
    expect(first.ids).toEqual(['one']);
    expect((await firstValueFrom(running.relay.stats$)).ended.revoked).toBe(1);
    expect(await statusOf(path, { auth: ada })).toBe(403);
  });

  it('may read a public database without credentials, and answers may be cached', async () => {
    const name = await readableBy();
    const { url } = await started();
    await put(name, 'one');
    const path = `${url}/${name}/_changes?feed=longpoll&since=0`;
    const first = await open(path, { auth: null });
    await first.ended;
    expect(first.headers['cache-control']).toBe('public, max-age=10');
    const again = await open(path, {
      auth: null,
      headers: { 'if-none-match': first.headers.etag ?? '' },
    });
    await again.ended;
    expect([again.status, again.text]).toEqual([304, '']);
    const own = await open(path, { auth: ada });
    await own.ended;
    expect(own.headers['cache-control']).toBe('no-store');
  });
});

describe('a filter function', () => {
  const FILTERS = {
    mine: 'function (doc, req) { return doc.owner === req.userCtx.name; }',
    hidden: "function (doc, req) { var r = req; return doc.owner === r['user' + 'Ctx'].name; }",
    all: "function (doc) { return doc.owner !== 'x'; }",
  };

  for (const [filter, isShared] of [
    ['mine', false],
    ['hidden', false],
    ['all', true],
  ] as const) {
    it(`${isShared ? 'is shared' : 'runs for each user'}: ${filter}`, async () => {
      const name = await readableBy(users.ada, users.bob);
      await put(name, '_design/d', { filters: FILTERS });
      const running = await started();
      const path = `${running.url}/${name}/${FEED}&filter=d/${filter}`;
      const [first, second] = [await open(path, { auth: ada }), await open(path, { auth: bob })];
      await put(name, 'for-ada', { owner: users.ada });
      await put(name, 'for-bob', { owner: users.bob });
      await Promise.all([first.has('for-ada'), second.has('for-bob')]);
      const stats = await firstValueFrom(running.relay.stats$);
      expect(stats.direct).toBe(isShared ? 0 : 2);
      if (isShared) return;
      expect(first.ids).toEqual(['for-ada']);
      expect(second.ids).toEqual(['for-bob']);
    });
  }

  it('that runs for each user ends when the right is withdrawn, and has a limit', async () => {
    const name = await readableBy(users.ada);
    await put(name, '_design/d', { filters: FILTERS });
    const running = await started({ recheck: 1000, maxDirect: 1 });
    const path = `${running.url}/${name}/${FEED}&filter=d/mine`;
    const listener = await open(path, { auth: ada });
    expect(await statusOf(path, { auth: ada })).toBe(503);
    await grant(name, users.bob);
    await listener.ended;
    await put(name, 'one', { owner: users.ada });
    expect(listener.ids).toEqual([]);
  });
});

describe('hostile requests', () => {
  /** Sends bytes, and returns all that comes back until the connection ends. */
  async function exchange(url: string, bytes: string): Promise<string> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    cleanUps.push(() => socket.destroy());
    let text = '';
    socket.on('data', (part) => (text += part.toString()));
    socket.on('error', () => {});
    socket.write(bytes);
    await once(socket, 'close');
    return text;
  }

  it('do not pass on headers by which CouchDB believes proxies', async () => {
    const name = await readableBy(users.ada);
    const proxy = await startFaultyProxy(server.url);
    cleanUps.push(() => proxy.close());
    const seen = async (options: RelayOptions): Promise<string> => {
      const { url } = await started({ forward: true, ...options }, proxy.url);
      const headers = { 'X-Auth-CouchDB-UserName': users.ada, 'X-Auth-CouchDB-Roles': '_admin' };
      const before = proxy.requests.length;
      for (const query of ['feed=continuous', 'feed=normal', 'feed=continuous&descending=true'])
        expect(await statusOf(`${url}/${name}/_changes?${query}`, { auth: null, headers })).toBe(
          401,
        );
      expect(await statusOf(`${url}/${name}`, { auth: null, headers })).toBe(401);
      return JSON.stringify(proxy.requests.slice(before).map((request) => request.headers));
    };
    expect((await seen({})).toLowerCase()).not.toContain('x-auth');
  });

  it('cannot smuggle a second request', async () => {
    const name = await readableBy(users.ada);
    const { url } = await started({ forward: true });
    const smuggled = `GET /${name}/_all_docs HTTP/1.1\r\nhost: x\r\nauthorization: ${basicAuth(...ada)}\r\n\r\n`;
    const head = `POST /${name}/_changes?feed=longpoll&filter=_doc_ids HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
    const attacks = [
      `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `${head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`,
      `${head}content-length: 5\r\ncontent-length: 6\r\n\r\n12345${smuggled}`,
      `GET /${name}/_changes?feed=continuous\nauthorization: x HTTP/1.1\r\nhost: x\r\n\r\n`,
    ];
    for (const attack of attacks) {
      const answer = await exchange(url, attack);
      expect(answer).toMatch(/^HTTP\/1\.1 (400|401)/);
      expect(answer).not.toContain('total_rows');
    }
  });

  it('cannot leave the database by the path', async () => {
    const [open_, closed] = [await readableBy(), await readableBy(users.ada)];
    await put(closed, 'secret');
    const { url } = await started({ databases: [open_] });
    for (const path of [
      `/${open_}/../${closed}/_changes?since=0`,
      `/${open_}%2F..%2F${closed}/_changes?since=0`,
      `//${closed}/_changes?since=0`,
      `/${open_}/%2e%2e/${closed}/_changes?feed=continuous&since=0&timeout=100`,
      `/${closed}/_changes?since=0`,
      '/_users/_changes?since=0',
      '/%5Fusers/_changes?since=0',
    ]) {
      const answer = await exchange(
        url,
        `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      );
      expect([path, answer.split(' ')[1]]).not.toEqual([path, '200']);
      expect(answer).not.toMatch(/secret|org\.couchdb/);
    }
  });

  it('have bodies of a limited size', async () => {
    const name = await readableBy(users.ada);
    const { url } = await started();
    const path = `${url}/${name}/${FEED}&filter=_doc_ids`;
    expect(await statusOf(path, { auth: ada, body: { doc_ids: ['x'.repeat(9_000_000)] } })).toBe(
      413,
    );
    expect(await statusOf(path, { auth: ada, body: { doc_ids: 'x' } })).toBe(400);
  });

  it('that never end leave the relay at work', async () => {
    const name = await readableBy(users.ada);
    const running = await started();
    const sockets: Socket[] = [];
    for (let n = 0; n < 200; n += 1) {
      const socket = connect(Number(new URL(running.url).port), '127.0.0.1');
      socket.on('error', () => {});
      socket.write(
        `POST /${name}/_changes?feed=longpoll&filter=_doc_ids HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{`,
      );
      sockets.push(socket);
    }
    cleanUps.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    const listener = await open(`${running.url}/${name}/${FEED}`, { auth: ada });
    await put(name, 'one');
    await listener.has('one');
    expect(listener.ids).toEqual(['one']);
  });

  it('cannot read the documents of users and replications through the shared feeds', async () => {
    const { url } = await started();
    const path = `${url}/_users/_changes?feed=longpoll&since=0&include_docs=true`;
    const refused = await open(path, { auth: ada });
    await refused.ended;
    expect([401, 403]).toContain(refused.status);
    expect(refused.text).not.toContain('org.couchdb');
  });
});
