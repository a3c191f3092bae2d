import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { createServer, request as forward } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Couch, memoryCheckpoint } from 'corduroy';
import type { FeedState } from 'corduroy';
import { filter, firstValueFrom, map, race, timeout, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

// nginx holds back a response until it is complete, unless its settings say otherwise. A stream then
// never arrives, and the feed must notice by itself.

jest.setTimeout(30_000);

const servers: Server[] = [];
afterEach(() => {
  for (const open of servers.splice(0)) {
    open.closeAllConnections();
    open.close();
  }
});

/** Starts a proxy that passes on a response, its head included, when its body is complete. */
async function startBufferingProxy(): Promise<{ url: string; requests: string[] }> {
  const requests: string[] = [];
  const proxy = createServer((incoming, outgoing) => {
    const { method, headers } = incoming;
    requests.push(incoming.url ?? '');
    const target = new URL(incoming.url ?? '/', server.url);
    const upstream = forward(target, { method, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.once('end', () => {
        const { 'transfer-encoding': _, ...rest } = answer.headers;
        outgoing.writeHead(answer.statusCode ?? 502, rest).end(Buffer.concat(parts));
      });
    });
    upstream.once('error', () => outgoing.destroy());
    outgoing.once('close', () => upstream.destroy());
    incoming.pipe(upstream);
  });
  servers.push(proxy);
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, requests };
}

const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: 10_000 })));
const live = (state$: Observable<FeedState>): Promise<FeedState> =>
  soon(state$.pipe(filter(({ status }) => status === 'live')));
const put = (name: string, id: string): Promise<Response> =>
  rawFetch(`/${name}/${id}`, { method: 'PUT', body: { n: 1 } });

async function behindProxy(): Promise<{ couch: Couch; name: string; requests: string[] }> {
  const name = await createDatabase();
  const { url, requests } = await startBufferingProxy();
  const couch = new Couch(url, { auth: [server.username, server.password] });
  return { couch, name, requests };
}

describe('behind a proxy that holds back responses', () => {
  it('a feed polls by itself, says so, and remembers it for the next feed', async () => {
    const { couch, name, requests } = await behindProxy();
    const feed = couch.use(name).changes$({ latency: 0 });
    const seen: string[] = [];
    const subscription = feed.subscribe(({ changes }) => seen.push(...changes.map(({ id }) => id)));
    expect(await live(feed.state$)).toEqual({
      status: 'live',
      connections: 1,
      protocol: 'longpoll',
    });
    for (const id of ['a', 'b', 'c']) {
      await put(name, id);
      while (!seen.includes(id)) await soon(feed);
    }
    expect(new Set(seen)).toEqual(new Set(['a', 'b', 'c']));
    subscription.unsubscribe();
    requests.length = 0;
    const other = couch.use(name).changes$({ latency: 0, since: 0 });
    expect((await soon(other)).changes).toHaveLength(1);
    expect(requests.filter((url) => url.includes('feed=continuous'))).toEqual([]);
  });

  it('a live query hears of changes', async () => {
    const { couch, name } = await behindProxy();
    const ids$ = couch
      .use(name)
      .allDocs$()
      .pipe(map((rows) => rows.map(({ id }) => id).join()));
    const later = soon(ids$.pipe(filter((ids) => ids === 'a')));
    await soon(ids$);
    await put(name, 'a');
    expect(await later).toBe('a');
  });

  needs('db-updates')(
    'a feed of database updates polls by itself, and hears of new databases',
    async () => {
      const { couch } = await behindProxy();
      // CouchDB records database updates in this database, and creates it only on request.
      const { status } = await rawFetch('/_global_changes', { method: 'PUT' });
      const feed = couch.dbUpdates$({ latency: 0 });
      const seen: string[] = [];
      const subscription = feed.subscribe(({ updates }) =>
        seen.push(...updates.map(({ dbName }) => dbName)),
      );
      expect(await live(feed.state$)).toMatchObject({ status: 'live', protocol: 'longpoll' });
      const names: string[] = [];
      // The first databases after the creation of `_global_changes` may be missing.
      while (!names.some((name) => seen.includes(name))) {
        names.push(await createDatabase());
        await firstValueFrom(race(feed, timer(500)));
      }
      subscription.unsubscribe();
      if (status === 201) await rawFetch('/_global_changes', { method: 'DELETE' });
    },
  );

  it('all couches of a server know that it holds back streams', async () => {
    const { couch, name, requests } = await behindProxy();
    const first = couch.use(name).changes$({ latency: 0 });
    const subscription = first.subscribe();
    await live(first.state$);
    subscription.unsubscribe();
    requests.length = 0;
    const other = new Couch(couch.url, { auth: [server.username, server.password] });
    const feed = other.use(name).changes$({ latency: 0 });
    const second = feed.subscribe();
    expect(await live(feed.state$)).toMatchObject({ protocol: 'longpoll' });
    second.unsubscribe();
    expect(requests.filter((url) => url.includes('feed=continuous'))).toEqual([]);
  });

  it('a consumer hears of changes', async () => {
    const { couch, name } = await behindProxy();
    const checkpoint = memoryCheckpoint();
    const consumer = couch.use(name).consume(() => {}, { name: 'c', since: 0, checkpoint });
    const progress = soon(consumer.pipe(filter(({ handled }) => handled === 1)));
    await live(consumer.state$);
    await put(name, 'a');
    expect(await progress).toMatchObject({ handled: 1, failed: 0, pending: 0 });
  });

  it.each(['continuous', 'eventsource'] as const)(
    'a feed that must be %s says that it is silent',
    async (feed) => {
      const { couch, name } = await behindProxy();
      const changes$ = couch.use(name).changes$({ latency: 0, feed, heartbeat: 300 });
      const subscription = changes$.subscribe();
      const waiting = await soon(
        changes$.state$.pipe(filter(({ status }) => status === 'waiting')),
      );
      subscription.unsubscribe();
      expect(waiting).toMatchObject({ error: { name: 'TimeoutError' } });
    },
  );
});
