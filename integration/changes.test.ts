import { describe, expect, it } from '@jest/globals';
import { Couch, NotFound, Unauthorized } from 'corduroy';
import type { ChangesBatch, Database } from 'corduroy';
import { Subscription, filter, firstValueFrom, take, toArray } from 'rxjs';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';

interface Item {
  n: number;
}
const database = async (): Promise<Database<Item>> =>
  new Couch(server.authenticatedUrl).use<Item>(await createDatabase());
const items = (from: number, to: number): (Item & { _id: string })[] =>
  Array.from({ length: to - from }, (_, i) => ({ _id: `item-${from + i}`, n: from + i }));
const live = (db: { state$: ReturnType<Database['changes$']>['state$'] }): Promise<unknown> =>
  firstValueFrom(db.state$.pipe(filter(({ status }) => status === 'live')));

describe('changes', () => {
  it('lists the changes since the beginning up to a limit, and those after it', async () => {
    const db = await database();
    await firstValueFrom(db.save(items(0, 5)));
    const first = await firstValueFrom(db.changes({ since: 0, limit: 2 }));
    expect(first.results).toHaveLength(2);
    const rest = await firstValueFrom(db.changes({ since: first.lastSeq }));
    expect(rest.results).toHaveLength(3);
    const ids = [...first.results, ...rest.results].map(({ id }) => id).sort();
    expect(ids).toEqual(items(0, 5).map(({ _id }) => _id));
    expect(typeof rest.lastSeq).toBe('string');
  });

  it('includes documents, and tombstones of deleted ones', async () => {
    const db = await database();
    const [doc] = items(0, 1) as [Item & { _id: string; _rev: string }];
    await firstValueFrom(db.save(doc));
    await firstValueFrom(db.delete(doc));
    const { results } = await firstValueFrom(db.changes({ includeDocs: true }));
    expect(results).toMatchObject([
      { id: 'item-0', deleted: true, doc: { _id: 'item-0', _deleted: true } },
    ]);
  });

  it('filters by ids and by selector', async () => {
    const db = await database();
    await firstValueFrom(db.save(items(0, 5)));
    const byId = await firstValueFrom(db.changes({ docIds: ['item-1', 'item-4', 'none'] }));
    expect(byId.results.map(({ id }) => id).sort()).toEqual(['item-1', 'item-4']);
    const bySelector = await firstValueFrom(db.changes({ selector: { n: { $gt: 2 } } }));
    expect(bySelector.results.map(({ id }) => id).sort()).toEqual(['item-3', 'item-4']);
  });

  it('filters by a filter function with parameters', async () => {
    const db = await database();
    await rawFetch(`/${db.name}/_design/f`, {
      method: 'PUT',
      body: {
        filters: { above: 'function (doc, req) { return doc.n > Number(req.query.limitTo); }' },
      },
    });
    await firstValueFrom(db.save(items(0, 5)));
    const { results } = await firstValueFrom(
      db.changes({ filter: 'f/above', query: { limitTo: 3 } }),
    );
    expect(results.map(({ id }) => id)).toEqual(['item-4']);
  });
});

describe('changes$', () => {
  it('emits the changes from now on, in batches', async () => {
    const db = await database();
    await firstValueFrom(db.save(items(0, 2)));
    const feed = db.changes$({ latency: 50, includeDocs: true });
    const batch = firstValueFrom(feed);
    await live(feed);
    await firstValueFrom(db.save(items(2, 5)));
    const { changes, seq } = await batch;
    expect(changes.map(({ id }) => id).sort()).toEqual(['item-2', 'item-3', 'item-4']);
    expect(feed.seq).toBe(seq);
    expect(changes.every(({ doc }) => doc !== undefined)).toBe(true);
  });

  it('shares one connection among the subscribers of all feeds of one Couch, and closes it', async () => {
    const proxy = await startFaultyProxy(server.url);
    const couch = new Couch(proxy.url, { auth: [server.username, server.password] });
    const name = await createDatabase();
    const feeds = [couch.use(name).changes$(), couch.use(name).changes$({ latency: 10 })];
    const subscriptions = feeds.flatMap((feed) => [feed.subscribe(), feed.subscribe()]);
    await Promise.all(feeds.map(live));
    const opened = proxy.requests.filter(({ url }) => url.includes('feed=continuous'));
    expect(opened).toHaveLength(1);
    for (const subscription of subscriptions) subscription.unsubscribe();
    // The keep-alive socket of the request for `now` may stay open, but not that of the feed.
    proxy.refuse();
    await proxy.closed();
    expect(proxy.connections).toBe(0);
    await proxy.close();
  });

  it('reconnects after a cut, emits the waiting state, and loses no change', async () => {
    const proxy = await startFaultyProxy(server.url);
    const db = new Couch(proxy.url, { auth: [server.username, server.password] }).use<Item>(
      await createDatabase(),
    );
    const feed = db.changes$({ latency: 0, backoff: { initialDelay: 10 } });
    const states: string[] = [];
    feed.state$.subscribe(({ status }) => states.push(status));
    const seen = new Set<string>();
    const subscription = new Subscription();
    const all = new Promise<void>((resolve, reject) => {
      subscription.add(
        feed.subscribe({
          next: ({ changes }: ChangesBatch<Item>) => {
            for (const { id } of changes) seen.add(id);
            if (seen.size === 60) resolve();
          },
          error: reject,
        }),
      );
    });
    await live(feed);
    for (let round = 0; round < 6; round++) {
      await firstValueFrom(db.save(items(round * 10, round * 10 + 10)));
      proxy.cut(({ url }) => url.includes('feed=continuous'));
    }
    await all;
    expect(states).toContain('waiting');
    expect(seen.size).toBe(60);
    subscription.unsubscribe();
    await proxy.close();
  });

  it('errors with errors that are not transient', async () => {
    const couch = new Couch(server.authenticatedUrl);
    await expect(firstValueFrom(couch.use('not-there').changes$())).rejects.toBeInstanceOf(
      NotFound,
    );
    const stranger = new Couch(server.url, { auth: ['nobody', 'wrong-password'] });
    await expect(firstValueFrom(stranger.use('x').changes$())).rejects.toBeInstanceOf(Unauthorized);
  });

  it('can be read with for await, and closed by break', async () => {
    const db = await database();
    await firstValueFrom(db.save(items(0, 3)));
    const seen: string[] = [];
    for await (const { changes } of db.changes$({ since: 0, latency: 0 })) {
      seen.push(...changes.map(({ id }) => id));
      if (seen.length === 3) break;
    }
    expect(seen.sort()).toEqual(['item-0', 'item-1', 'item-2']);
  });

  it('can be closed by return() while an iterator waits on a silent feed', async () => {
    const db = await database();
    const iterator = db.changes$()[Symbol.asyncIterator]();
    const pending = iterator.next();
    await iterator.return?.();
    expect(await pending).toEqual({ done: true, value: undefined });
  });

  it('completes after `limit` changes', async () => {
    const db = await database();
    await firstValueFrom(db.save(items(0, 5)));
    const batches = await firstValueFrom(
      db.changes$({ since: 0, limit: 2, latency: 0 }).pipe(take(9), toArray()),
    );
    expect(batches).toHaveLength(2);
  });
});
