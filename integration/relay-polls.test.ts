import { afterEach, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import { relay } from 'corduroy/relay';
import type { Relay, RelayStats } from 'corduroy/relay';
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { filter, firstValueFrom } from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import { basicAuth } from './helpers/running-server.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

// Long-polls of a relay: which of them a cache may keep, and how they end.

const authorization = basicAuth(server.username, server.password);
const auth = [server.username, server.password] as const;
const opened: Server[] = [];

afterEach(() => {
  for (const one of opened.splice(0)) one.close().closeAllConnections();
});

/** Starts a relay. Returns its URL too. */
async function startRelay(origin = server.url): Promise<{ handler: Relay; url: string }> {
  const handler = relay(new Couch(origin, { auth }));
  const listening = createServer(handler).listen(0, '127.0.0.1');
  opened.push(listening);
  listening.once('close', () => void handler.close());
  await once(listening, 'listening');
  return { handler, url: `http://127.0.0.1:${(listening.address() as AddressInfo).port}` };
}

/** Creates a database that everybody may read, with some documents. */
async function publicDatabase(documents: number): Promise<string> {
  const name = await createDatabase();
  const members = { names: [], roles: [] };
  const security = { admins: { names: [], roles: ['_admin'] }, members };
  await rawFetch(`/${name}/_security`, { method: 'PUT', body: security });
  const docs = Array.from({ length: documents }, (_, n) => ({ _id: `doc-${n}` }));
  await rawFetch(`/${name}/_bulk_docs`, { method: 'POST', body: { docs } });
  return name;
}

/** Writes a document as soon as a relay has a listener. */
async function writeThen({ stats$ }: Relay, name: string): Promise<void> {
  while ((await firstValueFrom(stats$)).feeds.every(({ listeners }) => listeners === 0))
    await new Promise((resolve) => setTimeout(resolve, 10));
  await rawFetch(`/${name}/late`, { method: 'PUT', body: {} });
}

interface Poll {
  readonly results: readonly unknown[];
  readonly last_seq: string;
}

describe('caches', () => {
  it('may keep a poll with rows that everybody may read', async () => {
    const name = await publicDatabase(3);
    const { url } = await startRelay();
    const path = `${url}/${name}/_changes?feed=longpoll&since=0`;
    const response = await fetch(path);
    const { results } = (await response.json()) as Poll;
    expect(results).toHaveLength(3);
    expect(response.headers.get('cache-control')).toBe('public, max-age=10');
    // nginx keeps no response with this header.
    expect(response.headers.get('x-accel-buffering')).toBeNull();
    const tag = response.headers.get('etag') as string;
    const again = await fetch(path, { headers: { 'if-none-match': tag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    const own = await fetch(path, { headers: { authorization } });
    expect(((await own.json()) as Poll).results).toHaveLength(3);
    expect(own.headers.get('cache-control')).toBe('no-store');
    expect(own.headers.get('etag')).toBeNull();
  });

  it('may keep a poll that is too long for one piece', async () => {
    const name = await publicDatabase(600);
    const { url } = await startRelay();
    const response = await fetch(`${url}/${name}/_changes?feed=longpoll&since=0`);
    expect(((await response.json()) as Poll).results).toHaveLength(600);
    expect(response.headers.get('cache-control')).toBe('public, max-age=10');
    expect(response.headers.get('x-accel-buffering')).toBeNull();
  });

  it('may not keep a poll after now, without rows, or with signs of life', async () => {
    const name = await publicDatabase(1);
    const { url, handler } = await startRelay();
    const head = async (query: string): Promise<(string | null)[]> => {
      const response = await fetch(`${url}/${name}/_changes?feed=longpoll&${query}`);
      const { results } = (await response.json()) as Poll;
      const { headers } = response;
      return [
        String(results.length),
        headers.get('cache-control'),
        headers.get('x-accel-buffering'),
      ];
    };
    const now = head('since=now');
    await writeThen(handler, name);
    expect(await now).toEqual(['1', 'no-store', 'no']);
    const { last_seq: since } = (await (await rawFetch(`/${name}/_changes`)).json()) as Poll;
    expect(await head(`since=${since}&timeout=1`)).toEqual(['0', 'must-revalidate', 'no']);
    const beaten = fetch(`${url}/${name}/_changes?feed=longpoll&since=${since}&heartbeat=20`);
    // The head comes with the first sign of life.
    const response = await beaten;
    expect(response.headers.get('cache-control')).toBe('must-revalidate');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    await rawFetch(`/${name}/later`, { method: 'PUT', body: {} });
    expect(((await response.json()) as Poll).results).toHaveLength(1);
  });
});

describe('the end of a relay', () => {
  it('breaks a poll off that has begun and has no answer yet', async () => {
    const name = await publicDatabase(1);
    const { url, handler } = await startRelay();
    const headers = { authorization };
    const response = await fetch(`${url}/${name}/_changes?feed=longpoll&since=now&heartbeat=20`, {
      headers,
    });
    // The embedded server does not end a feed that opens while its database is deleted.
    const isLive = ({ feeds }: RelayStats): boolean => feeds[0]?.status === 'live';
    await firstValueFrom(handler.stats$.pipe(filter(isLive)));
    await rawFetch(`/${name}`, { method: 'DELETE' });
    await expect(response.text()).rejects.toThrow();
    expect((await firstValueFrom(handler.stats$)).ended.lost).toBe(1);
  });

  it('refuses listeners whose filter it has read too late, and opens no feed for them', async () => {
    const name = await publicDatabase(1);
    const filters = { f: "function (doc) { return doc.type === 'a'; }" };
    await rawFetch(`/${name}/_design/d`, { method: 'PUT', body: { filters } });
    const proxy = await startFaultyProxy(server.url);
    const { url, handler } = await startRelay(proxy.url);
    const isFilter = (request: { readonly url: string }): boolean =>
      request.url.includes('_design');
    proxy.stall(isFilter);
    const asked = proxy.nextRequest(isFilter);
    const answer = fetch(`${url}/${name}/_changes?feed=continuous&since=now&filter=d/f`);
    await asked;
    await handler.close();
    proxy.resume();
    const response = await answer;
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      error: 'service_unavailable',
      reason: 'This relay is about to end.',
    });
    expect((await firstValueFrom(handler.stats$)).feeds).toEqual([]);
    await proxy.close();
  });
});
