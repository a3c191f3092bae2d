import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Couch,
  NotFound,
  fileCheckpoint,
  localCheckpoint,
  memoryCheckpoint,
  storageCheckpoint,
} from 'corduroy';
import type {
  ChangeHandler,
  CheckpointStore,
  ConsumeProgress,
  ConsumeOptions,
  Database,
  Sequence,
} from 'corduroy';
import {
  NEVER,
  Observable,
  Subject,
  filter,
  firstValueFrom,
  lastValueFrom,
  of,
  timeout,
  timer,
} from 'rxjs';
import { type FaultyProxy, type SeenRequest, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { sliceOf } from '../src/changes/slice.ts';

jest.setTimeout(20_000);

const TIMEOUT = 8_000;
const FAST = { initialDelay: 1, maxDelay: 20 };
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

const ids = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `item-${String(from + i).padStart(4, '0')}`);

/** Writes documents directly to the server. */
async function write(name: string, from: number, to: number): Promise<void> {
  const docs = ids(from, to).map((_id, i) => ({ _id, n: from + i }));
  const response = await rawFetch(`/${name}/_bulk_docs`, { method: 'POST', body: { docs } });
  expect(await response.json()).toHaveLength(to - from);
}

async function database(): Promise<Database> {
  return new Couch(server.authenticatedUrl).use(await createDatabase());
}

async function throughProxy(): Promise<{ db: Database; proxy: FaultyProxy }> {
  const proxy = await startFaultyProxy(server.url);
  cleanUps.push(() => proxy.close());
  const couch = new Couch(proxy.url, { auth: [server.username, server.password] });
  return { proxy, db: couch.use(await createDatabase()) };
}

type Options = Omit<ConsumeOptions, 'name'>;
const start = (db: Database, handler: ChangeHandler<object>, options: Options = {}) =>
  db.consume(handler, {
    name: 'test',
    since: 0,
    heartbeat: 300,
    backoff: FAST,
    checkpointInterval: 0,
    ...options,
  });

/** Consumes until `count` changes are handled and stored, and unsubscribes. */
const consumed = (
  db: Database,
  count: number,
  handler: ChangeHandler<object>,
  options: Options = {},
): Promise<ConsumeProgress> =>
  firstValueFrom(
    start(db, handler, options).pipe(
      filter(({ handled, failed }) => handled + failed >= count),
      timeout({ first: TIMEOUT }),
    ),
  );

const order = async (name: string): Promise<string[]> => {
  const { results } = (await (await rawFetch(`/${name}/_changes`)).json()) as {
    results: { id: string }[];
  };
  return results.map(({ id }) => id);
};
const isRead = ({ url }: SeenRequest): boolean =>
  url.includes('_changes?') && !url.includes('since=now');
const isCheckpointWrite = ({ url, method }: SeenRequest): boolean =>
  method === 'PUT' && url.includes('/_local/');

describe('consume', () => {
  it('handles each change once, one at a time', async () => {
    const db = await database();
    await write(db.name, 0, 60);
    const seen: string[] = [];
    let running = 0;
    let peak = 0;
    const done = consumed(
      db,
      100,
      async ({ id }) => {
        peak = Math.max(peak, ++running);
        await Promise.resolve();
        seen.push(id);
        running--;
        if (seen.length === 60) await write(db.name, 60, 100);
      },
      { batchSize: 7 },
    );
    const { handled, seq } = await done;
    expect(handled).toBe(100);
    expect(peak).toBe(1);
    expect(seen.sort()).toEqual(ids(0, 100));
    expect(seen.slice(0, 60).sort()).toEqual(ids(0, 60));
    const stored = await rawFetch(`/${db.name}/_local/corduroy-test`);
    expect(await stored.json()).toMatchObject({ seq });
  });

  it('handles each change of a full batch once', async () => {
    const db = await database();
    await write(db.name, 0, 40);
    const expected = await order(db.name);
    const seen: string[] = [];
    await consumed(db, 40, ({ id }) => of(seen.push(id)), { batchSize: 40 });
    expect(seen.sort()).toEqual(expected.sort());
    // A cluster mixes the changes of its shards in any order.
    expect(new Set(seen).size).toBe(40);
  });

  it('resumes from its checkpoint, with the changes written meanwhile', async () => {
    const db = await database();
    await write(db.name, 0, 10);
    const seen: string[] = [];
    const handler: ChangeHandler<object> = ({ id }) => seen.push(id);
    await consumed(db, 10, handler);
    await write(db.name, 10, 30);
    await consumed(db, 20, handler);
    expect(seen.sort()).toEqual(ids(0, 30));
  });

  it('stores separate checkpoints for consumers of different names', async () => {
    const db = await database();
    await write(db.name, 0, 5);
    const seen: string[] = [];
    const handler: ChangeHandler<object> = ({ id }) => seen.push(id);
    for (const name of ['one', 'two', 'name with / and ü']) {
      await firstValueFrom(db.consume(handler, { name, since: 0 }));
      await firstValueFrom(
        db.consume(handler, { name, since: 0, heartbeat: 50 }).pipe(timeout({ first: 300 })),
      ).catch(() => {});
    }
    expect(seen).toHaveLength(15);
  });

  it('retries a failed handler until it succeeds', async () => {
    const db = await database();
    await write(db.name, 0, 3);
    const attempts = new Map<string, number>();
    const done: string[] = [];
    const { handled } = await consumed(db, 3, ({ id }) => {
      attempts.set(id, (attempts.get(id) ?? 0) + 1);
      if (id === 'item-0001' && attempts.get(id) !== 4) throw new Error('not yet');
      done.push(id);
    });
    expect(handled).toBe(3);
    expect(attempts.get('item-0001')).toBe(4);
    expect(done.sort()).toEqual(ids(0, 3));
  });

  it('passes a change that fails every attempt to deadLetter, and continues', async () => {
    const db = await database();
    await write(db.name, 0, 5);
    const poison: unknown[] = [];
    let calls = 0;
    const { handled, failed } = await consumed(
      db,
      5,
      ({ id }) => {
        if (id !== 'item-0002') return of(1, 2, 3);
        calls++;
        return Promise.reject(new Error('never'));
      },
      { attempts: 3, deadLetter: async ({ id }, error) => poison.push([id, String(error)]) },
    );
    expect([handled, failed, calls]).toEqual([4, 1, 3]);
    expect(poison).toEqual([['item-0002', 'Error: never']]);
    // The change does not come again.
    await write(db.name, 5, 6);
    const seen: string[] = [];
    await consumed(db, 1, ({ id }) => seen.push(id));
    expect(seen).toEqual(['item-0005']);
  });

  it('errors with the handler’s error without deadLetter, and keeps the checkpoint before the change', async () => {
    const db = await database();
    await write(db.name, 0, 5);
    const thrown = new Error('never');
    const done: string[] = [];
    const failing = start(
      db,
      ({ id }) => {
        if (id === 'item-0002') throw thrown;
        done.push(id);
      },
      { attempts: 2 },
    );
    await expect(lastValueFrom(failing)).rejects.toBe(thrown);
    const seen: string[] = [];
    const rest = ids(0, 5).filter((id) => !done.includes(id)).length;
    await consumed(db, rest, ({ id }) => seen.push(id));
    expect(new Set([...done, ...seen])).toEqual(new Set(ids(0, 5)));
    expect(seen).toContain('item-0002');
  });

  it('errors with the error of deadLetter', async () => {
    const db = await database();
    await write(db.name, 0, 1);
    const worse = new Error('worse');
    const failing = start(
      db,
      () => {
        throw new Error('bad');
      },
      {
        attempts: 1,
        deadLetter: () => {
          throw worse;
        },
      },
    );
    await expect(firstValueFrom(failing)).rejects.toBe(worse);
  });

  it('keeps the checkpoint before an unfinished change with a concurrency of eight', async () => {
    const db = await database();
    await write(db.name, 0, 100);
    const done = new Set<string>();
    const started: string[] = [];
    let running = 0;
    let peak = 0;
    // One change of the first run never ends, so that its checkpoint must stay before it.
    const stuck = new Subject<void>();
    // A store on the server could still have its last write in flight when the second run reads it.
    const checkpoint = memoryCheckpoint();
    const first = start(
      db,
      ({ id }) => {
        started.push(id);
        if (started.length === 45) return NEVER;
        if (started.length === 50) stuck.next();
        return new Observable((subscriber) => {
          peak = Math.max(peak, ++running);
          const subscription = timer(Math.random() * 5).subscribe({
            complete: () => {
              done.add(id);
              subscriber.complete();
            },
          });
          return () => {
            running--;
            subscription.unsubscribe();
          };
        });
      },
      { batchSize: 20, concurrency: 8, checkpoint },
    );
    const reached = firstValueFrom(stuck);
    const subscription = first.subscribe();
    await reached;
    subscription.unsubscribe();
    expect(running).toBe(0);
    expect(peak).toBeGreaterThan(1);
    expect(peak).toBeLessThanOrEqual(8);
    const again: string[] = [];
    // How many changes come again depends on which of them had ended.
    const options = { concurrency: 8, batchSize: 20, checkpoint };
    const resumed = start(db, ({ id }) => void again.push(id), options);
    const isComplete = (): boolean => new Set([...done, ...again]).size === 100;
    await firstValueFrom(resumed.pipe(filter(isComplete), timeout(20_000)));
    const unfinished = started[44] ?? '';
    expect(done.has(unfinished)).toBe(false);
    expect(again).toContain(unfinished);
    expect([...new Set([...done, ...again])].sort()).toEqual(ids(0, 100));
    // Fewer changes than one batch came twice.
    expect(again.filter((id) => done.has(id)).length).toBeLessThan(20);
  });

  it('misses no change if it is unsubscribed in its first batch', async () => {
    const { db, proxy } = await throughProxy();
    const waiting = proxy.nextRequest(({ url }) => url.includes('feed=longpoll'));
    const begun = new Subject<string>();
    const first = firstValueFrom(begun);
    // `now` must stay the sequence of the first subscription, not that of the second.
    const subscription = start(
      db,
      ({ id }) => {
        begun.next(id);
        return NEVER;
      },
      { since: 'now' },
    ).subscribe();
    await waiting;
    await write(db.name, 0, 1);
    await first;
    subscription.unsubscribe();
    const seen: string[] = [];
    await consumed(db, 1, ({ id }) => seen.push(id), { since: 'now' }).catch(() => {});
    expect(seen).toEqual(['item-0000']);
  });

  it('misses no change through cuts, lost answers and a busy server', async () => {
    const { db, proxy } = await throughProxy();
    await write(db.name, 0, 50);
    const seen: string[] = [];
    // The checkpoint is written but its answer is lost, so that the retry meets a conflict.
    proxy.cutAfter(5, { match: isCheckpointWrite, times: 1, of: 'wire' });
    const done = consumed(
      db,
      200,
      async ({ id }) => {
        seen.push(id);
        if (seen.length % 10 === 0) {
          proxy.cutAfter(Math.floor(Math.random() * 900), { match: isRead, times: 1 });
        }
        if (seen.length % 25 === 0) {
          proxy.cut();
          proxy.answer({ match: isCheckpointWrite, status: 503, times: 1 });
        }
        if (seen.length % 50 === 0 && seen.length < 200) {
          await write(db.name, seen.length, seen.length + 50);
        }
      },
      { batchSize: 8 },
    );
    await done;
    expect(seen.sort()).toEqual(ids(0, 200));
  });

  it('reads the next batch only after the last one is handled', async () => {
    const { db, proxy } = await throughProxy();
    await write(db.name, 0, 50);
    const ahead: number[] = [];
    let done = 0;
    const reads = (): number => proxy.requests.filter(isRead).length;
    await consumed(
      db,
      50,
      async () => {
        ahead.push(reads() * 10 - done);
        await new Promise((resolve) => setTimeout(resolve, 4));
        done++;
      },
      { batchSize: 10 },
    );
    expect(Math.max(...ahead)).toBeLessThanOrEqual(10);
    for (const { url } of proxy.requests.filter(isRead)) expect(url).toContain('limit=10');
  });

  it('errors when the database is deleted', async () => {
    const db = await database();
    await write(db.name, 0, 1);
    const failing = new Promise((_resolve, reject) => {
      start(db, () => rawFetch(`/${db.name}`, { method: 'DELETE' })).subscribe({ error: reject });
    });
    await expect(failing).rejects.toBeInstanceOf(NotFound);
  });
});

describe('four slices of one consumer', () => {
  const count = 4;

  /** Runs all slices until they have handled `total` changes together, and stops them. */
  async function run(
    db: Database,
    total: number,
    handled: Map<string, number[]>,
  ): Promise<ConsumeProgress[]> {
    const all = new Subject<void>();
    let calls = 0;
    const workers = Array.from({ length: count }, (_, index) =>
      start(
        db,
        async ({ id }) => {
          await Promise.resolve();
          handled.set(id, [...(handled.get(id) ?? []), index]);
          if (++calls === total) all.next();
        },
        { slice: { index, of: count }, batchSize: 7 },
      ),
    );
    const ends = workers.map((worker) => lastValueFrom(worker.pipe(timeout(TIMEOUT))));
    await firstValueFrom(all.pipe(timeout(TIMEOUT)));
    for (const worker of workers) worker.stop();
    return Promise.all(ends);
  }

  it('handle each change exactly once, through a stop and a restart', async () => {
    const db = await database();
    await write(db.name, 0, 60);
    const first = new Map<string, number[]>();
    const progress = await run(db, 60, first);
    expect([...first.keys()].sort()).toEqual(ids(0, 60));
    expect([...first.values()].every((slices) => slices.length === 1)).toBe(true);
    expect(new Set([...first.values()].flat()).size).toBe(count);
    // Changes of other slices do not count.
    expect(progress.reduce((sum, { handled }) => sum + handled, 0)).toBe(60);

    await write(db.name, 60, 100);
    const second = new Map<string, number[]>();
    await run(db, 40, second);
    expect([...second.keys()].sort()).toEqual(ids(60, 100));
    expect([...second.values()].every((slices) => slices.length === 1)).toBe(true);
  });

  it('keep each document in its slice when it changes', async () => {
    const db = await database();
    await write(db.name, 0, 20);
    const first = new Map<string, number[]>();
    await run(db, 20, first);
    const { rows } = (await (await rawFetch(`/${db.name}/_all_docs`)).json()) as {
      rows: { id: string; value: { rev: string } }[];
    };
    const docs = rows.map(({ id, value: { rev } }) => ({ _id: id, _rev: rev }));
    await rawFetch(`/${db.name}/_bulk_docs`, { method: 'POST', body: { docs } });
    const second = new Map<string, number[]>();
    await run(db, 20, second);
    expect(second).toEqual(first);
  });

  it('move their checkpoints past the changes of other slices', async () => {
    const { db, proxy } = await throughProxy();
    await write(db.name, 0, 1);
    const handled: string[] = [];
    const slice = { index: 1 - sliceOf('item-0000', 2), of: 2 };
    const worker = start(db, ({ id }) => handled.push(id), { slice });
    const { seq, handled: counted } = await firstValueFrom(worker.pipe(timeout(TIMEOUT)));
    expect([handled, counted]).toEqual([[], 0]);
    // CouchDB writes one sequence in several ways, which begin with the same number.
    const number = Number.parseInt(seq, 10);
    expect(number).toBe(1);
    const id = `_local/corduroy-test-slice-${slice.index}-of-2`;
    const stored = (await (await rawFetch(`/${db.name}/${id}`)).json()) as { seq: string };
    expect(Number.parseInt(stored.seq, 10)).toBe(number);
    const before = proxy.requests.length;
    const again = start(db, ({ id: seen }) => handled.push(seen), { slice }).subscribe();
    await proxy.nextRequest(({ url }) => url.includes('feed=longpoll'));
    again.unsubscribe();
    const { url } = proxy.requests.slice(before).find(isRead) as SeenRequest;
    const since = new URL(url, 'http://a').searchParams.get('since') ?? '';
    expect(Number.parseInt(since, 10)).toBe(number);
  });
});

interface StoreCase {
  readonly store: (db: Database) => CheckpointStore;
  readonly checkFiles?: () => Promise<unknown>;
}

async function temporaryFile(): Promise<{ folder: string; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'checkpoint-'));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  return { folder, path: join(folder, 'deep', 'er', 'checkpoint') };
}

const stores: Record<string, () => StoreCase | Promise<StoreCase>> = {
  'in memory': () => {
    const store = memoryCheckpoint();
    return { store: () => store };
  },
  'in Web Storage': () => {
    const kept = new Map<string, string>();
    const storage = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    };
    // Each call creates the checkpoint again, as after a reload.
    return { store: () => storageCheckpoint(storage, 'checkpoint') };
  },
  'in a file': async () => {
    const { path, folder } = await temporaryFile();
    return {
      store: () => fileCheckpoint(path),
      checkFiles: async () => {
        const files = (): Promise<string[]> => readdir(join(folder, 'deep', 'er'));
        // The write at the end of the subscription may still be under way.
        for (let i = 0; i < 500 && (await files()).length > 1; i++) await firstValueFrom(timer(20));
        expect(await files()).toEqual(['checkpoint']);
      },
    };
  },
  'in the database': () => ({ store: (db) => localCheckpoint(db, 'name') }),
};

it('a checkpoint in a file survives writes of several stores at the same time', async () => {
  const { path, folder } = await temporaryFile();
  const seqs = Array.from({ length: 40 }, (_, i) => `${i}-${'x'.repeat(5000)}`);
  await Promise.all(seqs.map((seq) => fileCheckpoint(path).write(seq)));
  expect(await fileCheckpoint(path).read()).toBe(seqs.at(-1));
  expect(await readdir(join(folder, 'deep', 'er'))).toEqual(['checkpoint']);
});

describe.each(Object.keys(stores))('a checkpoint %s', (kind) => {
  /** Subscribes until these ids have come, and unsubscribes as if the program ended. */
  async function follow(
    db: Database,
    checkpoint: CheckpointStore,
    expected: readonly string[],
    since: Sequence | 0,
  ): Promise<string[]> {
    const received: string[] = [];
    const feed = db.changes$({ checkpoint, since, latency: 5, heartbeat: 300, backoff: FAST });
    await firstValueFrom(
      feed.pipe(
        filter(({ changes }) => {
          received.push(...changes.map(({ id }) => id));
          return expected.every((id) => received.includes(id));
        }),
        timeout({ first: TIMEOUT }),
      ),
    );
    return received;
  }

  it('lets a second subscription resume after the first, with the changes written meanwhile', async () => {
    const db = await database();
    const { store, checkFiles } = await (stores[kind] as () => StoreCase | Promise<StoreCase>)();
    await write(db.name, 0, 20);
    const seen = new Set(await follow(db, store(db), ids(0, 20), 0));
    await write(db.name, 20, 40);
    for (const id of await follow(db, store(db), ids(20, 40), 0)) seen.add(id);
    await write(db.name, 40, 60);
    const third = await follow(db, store(db), ids(40, 60), 0);
    for (const id of third) seen.add(id);
    expect([...seen].sort()).toEqual(ids(0, 60));
    // Delivery is at least once: a batch may come again, but not all changes.
    expect(third.length).toBeLessThan(60);
    await checkFiles?.();
  });

  it('lets a consumer resume', async () => {
    const db = await database();
    const { store } = await (stores[kind] as () => StoreCase | Promise<StoreCase>)();
    const seen: string[] = [];
    for (const from of [0, 10, 20]) {
      await write(db.name, from, from + 10);
      await consumed(db, 10, ({ id }) => seen.push(id), { checkpoint: store(db), batchSize: 4 });
    }
    expect(seen.sort()).toEqual(ids(0, 30));
  });

  it('stores the sequence of `now` before the first change', async () => {
    const db = await database();
    const { store } = await (stores[kind] as () => StoreCase | Promise<StoreCase>)();
    await write(db.name, 0, 5);
    const feed = db.changes$({ checkpoint: store(db), latency: 5, heartbeat: 300 });
    const subscription = feed.subscribe();
    await firstValueFrom(feed.state$.pipe(filter(({ status }) => status === 'live')));
    subscription.unsubscribe();
    await write(db.name, 5, 10);
    const received = await follow(db, store(db), ids(5, 10), 'now').catch((): string[] => []);
    expect(received.sort()).toEqual(ids(5, 10));
  });
});

describe('a feed with a checkpoint in the database', () => {
  it.each(['refuses', 'answers 503', 'cuts'])(
    'retries if the server %s at the start',
    async (way) => {
      const { db, proxy } = await throughProxy();
      await write(db.name, 0, 3);
      await firstValueFrom(db.info());
      const isLookUp = ({ url, method }: SeenRequest): boolean =>
        method === 'GET' && url.includes('/_local/');
      if (way === 'refuses') proxy.refuse();
      else if (way === 'cuts') proxy.cutAfter(1, { match: isLookUp, times: 2, of: 'wire' });
      else proxy.answer({ match: isLookUp, times: 2, status: 503 });
      const feed = db.changes$({
        checkpoint: localCheckpoint(db, 'name'),
        since: 0,
        latency: 0,
        heartbeat: 300,
        backoff: FAST,
      });
      const received: string[] = [];
      const done = firstValueFrom(
        feed.pipe(
          filter(({ changes }) => received.push(...changes.map(({ id }) => id)) >= 3),
          timeout({ first: TIMEOUT }),
        ),
      );
      if (way === 'refuses') {
        await firstValueFrom(feed.state$.pipe(filter(({ status }) => status === 'waiting')));
        await proxy.accept();
      }
      await done;
      expect(received.sort()).toEqual(ids(0, 3));
    },
  );
});
