import { afterAll, afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch } from 'corduroy';
import type { ConsumeOfOptions, DatabaseProgress } from 'corduroy';
import { filter, firstValueFrom, lastValueFrom, timeout } from 'rxjs';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, rawFetch, server, uniqueName } from './helpers/server.ts';

// The databases are listed, so that every server can run these tests.

jest.setTimeout(60_000);

const TIMEOUT = 20_000;
let proxy: FaultyProxy | undefined;

afterEach(() => proxy?.heal());
afterAll(() => proxy?.close());

async function write(name: string, ...ids: string[]): Promise<void> {
  const docs = ids.map((_id) => ({ _id }));
  const response = await rawFetch(`/${name}/_bulk_docs`, { method: 'POST', body: { docs } });
  expect(await response.json()).toHaveLength(ids.length);
}

const options: ConsumeOfOptions<object> = {
  name: 'test',
  since: 0,
  updates: { poll: 50 },
  heartbeat: 1000,
  backoff: { initialDelay: 1, maxDelay: 20 },
  checkpointInterval: 0,
};

async function throughProxy(): Promise<{ couch: Couch; proxy: FaultyProxy }> {
  proxy ??= await startFaultyProxy(server.url);
  return { proxy, couch: new Couch(proxy.url, { auth: [server.username, server.password] }) };
}

async function databases(count: number): Promise<{ prefix: string; names: string[] }> {
  const prefix = uniqueName('consumed');
  const names = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
  for (const name of names) await createDatabase(name);
  return { prefix, names };
}

describe('consumeOf', () => {
  it('handles every change of every database once, through a stop and a restart', async () => {
    const { names, prefix } = await databases(10);
    const { couch } = await throughProxy();
    const handled: string[] = [];
    const run = async (total: number): Promise<void> => {
      const consumer = couch.consumeOf(
        new RegExp(`^${prefix}`),
        async ({ id }, database) => {
          await Promise.resolve();
          handled.push(`${database} ${id}`);
          if (handled.length === total) consumer.stop();
        },
        options,
      );
      await lastValueFrom(consumer.pipe(timeout(TIMEOUT)));
    };
    const ids = (round: string): string[] => Array.from({ length: 30 }, (_, i) => `${round}-${i}`);
    for (const name of names) await write(name, ...ids('first'));
    await run(300);
    for (const name of names) await write(name, ...ids('second'));
    // A database that is new has its own checkpoint.
    const late = `${prefix}-late`;
    await createDatabase(late);
    await write(late, ...ids('second'));
    await run(630);
    const expected = [
      ...names.flatMap((name) => [...ids('first'), ...ids('second')].map((id) => `${name} ${id}`)),
      ...ids('second').map((id) => `${late} ${id}`),
    ];
    expect([...handled].sort()).toEqual(expected.sort());
    const stored = await rawFetch(`/${late}/_local/corduroy-test`);
    expect(await stored.json()).toMatchObject({ seq: expect.stringMatching(/./) });
  });

  it('misses no change through cuts, lost answers and a busy server', async () => {
    const { names, prefix } = await databases(5);
    const { couch, proxy: faulty } = await throughProxy();
    const handled = new Set<string>();
    let calls = 0;
    const ids = Array.from({ length: 40 }, (_, i) => `doc-${i}`);
    for (const name of names) await write(name, ...ids);
    const consumer = couch.consumeOf(
      new RegExp(`^${prefix}`),
      ({ id }, database) => {
        handled.add(`${database} ${id}`);
        calls += 1;
        if (calls % 20 === 0) faulty.cut();
        if (calls % 30 === 0)
          faulty.answer({ match: ({ url }) => url.includes('_local'), status: 503, times: 1 });
        if (calls % 50 === 0)
          faulty.cutAfter(50, { match: ({ url }) => url.includes('_changes'), times: 1 });
      },
      { ...options, batchSize: 7 },
    );
    const places = new Map<string, DatabaseProgress>();
    const isDone = (progress: DatabaseProgress): boolean => {
      places.set(progress.database, progress);
      return handled.size === 200 && [...places.values()].every(({ pending }) => pending === 0);
    };
    await firstValueFrom(consumer.pipe(filter(isDone), timeout(TIMEOUT)));
    expect(handled.size).toBe(200);
    expect(Object.keys(consumer.seqs).sort()).toEqual(names);
  });

  it('starts over in a database that is deleted and created again', async () => {
    const { names, prefix } = await databases(1);
    const [name = ''] = names;
    const { couch } = await throughProxy();
    await write(name, 'a', 'b', 'c');
    const handled: string[] = [];
    const consumer = couch.consumeOf(
      new RegExp(`^${prefix}`),
      ({ id }) => void handled.push(id),
      options,
    );
    const subscription = consumer.subscribe();
    const until = async (id: string): Promise<void> => {
      while (!handled.includes(id)) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    await until('c');
    await rawFetch(`/${name}`, { method: 'DELETE' });
    await rawFetch(`/${name}`, { method: 'PUT' });
    await write(name, 'd');
    await until('d');
    subscription.unsubscribe();
    expect(handled.sort()).toEqual(['a', 'b', 'c', 'd']);
  });
});
