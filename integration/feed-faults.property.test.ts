import { afterAll, describe, expect, it, jest } from '@jest/globals';
import { Couch, memoryCheckpoint } from 'corduroy';
import type { Change, CheckpointStore, FeedState } from 'corduroy';
import { setTimeout as sleep } from 'node:timers/promises';
import { BehaviorSubject, Subject, Subscription, filter, firstValueFrom, timeout } from 'rxjs';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { type RunningServer, basicAuth } from './helpers/running-server.ts';
import { needs, server, uniqueName } from './helpers/server.ts';
import { startIsolatedServer } from './helpers/servers.ts';

// Reads a database through a network that breaks at random, while documents are written. Whatever
// happens, each document is delivered, and again only over another connection.
//
// CORDUROY_SCHEDULES=500 runs more. A schedule that fails runs alone with its seed:
// CORDUROY_SEED=1234 CORDUROY_SCHEDULES=1.

/** The address of a server, and an admin. */
type Target = Pick<RunningServer, 'url' | 'username' | 'password'>;

const count = Number(process.env['CORDUROY_SCHEDULES'] ?? 48);
const start = Number(process.env['CORDUROY_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
jest.setTimeout(60_000 + count * 5000);

const KINDS = ['auto', 'continuous', 'longpoll', 'eventsource', 'consume'] as const;
type Kind = (typeof KINDS)[number];
const CONCURRENCY = 8;
const DOCUMENTS = 40;
const HEARTBEAT = 300;
/** How long a change may take after the last fault, in milliseconds. */
const LATEST = 20_000;

const total = { schedules: 0, faults: 0, written: 0, delivered: 0, again: 0 };
afterAll(() => {
  process.stdout.write(`feed-faults.property: ${JSON.stringify(total)}\n`);
});

/** Random numbers of a schedule, always the same for a seed. */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Returns a whole number from 0 up to `limit`, exclusive. */
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** Writes documents directly to a server until each is stored. */
async function writeAll(
  { url, username, password }: Target,
  name: string,
  chance: Chance,
): Promise<Set<string>> {
  const authorization = basicAuth(username, password);
  const headers = { authorization, 'content-type': 'application/json' };
  const ids = new Set<string>();
  for (let n = 0; n < DOCUMENTS; n++) {
    const id = `doc-${n}`;
    const init = { method: 'PUT', headers, body: JSON.stringify({ n }) };
    // 409 means that an earlier write was stored, and its answer was lost.
    for (let status = 0; status !== 201 && status !== 202 && status !== 409;) {
      status = await fetch(`${url}/${name}/${id}`, init).then(
        async (response) => {
          await response.arrayBuffer();
          return response.status;
        },
        () => sleep(20, 0),
      );
    }
    ids.add(id);
    await sleep(chance.below(60));
  }
  return ids;
}

/** A reader that stops and resumes from its checkpoint. */
class Reader {
  readonly kind: Kind;
  readonly delivered = new Set<string>();
  readonly problems: string[] = [];
  again = 0;
  readonly states: string[] = [];
  readonly #proxy: FaultyProxy;
  readonly #couch: Couch;
  readonly #name: string;
  readonly #checkpoint: CheckpointStore = memoryCheckpoint();
  readonly #paused$ = new BehaviorSubject(false);
  readonly #updated$ = new Subject<void>();
  /** How many requests and restarts there were when each document came last. */
  readonly #seenAt = new Map<string, number>();
  #restarts = 0;
  #subscription = new Subscription();

  constructor(kind: Kind, proxy: FaultyProxy, { username, password }: Target, name: string) {
    this.kind = kind;
    this.#proxy = proxy;
    this.#couch = new Couch(proxy.url, { auth: [username, password] });
    this.#name = name;
    this.#subscribe();
  }

  restart(): void {
    this.stop();
    this.#restarts += 1;
    this.#subscribe();
  }

  pause(value: boolean): void {
    this.#paused$.next(value);
  }

  stop(): void {
    this.#subscription.unsubscribe();
  }

  /** Waits until documents have come. Returns those that have not. */
  async missing(ids: ReadonlySet<string>): Promise<string[]> {
    const missing = (): string[] => [...ids].filter((id) => !this.delivered.has(id));
    const isDone = (): boolean => missing().length === 0 || this.problems.length > 0;
    const done$ = this.#updated$.pipe(filter(isDone), timeout({ each: LATEST, first: LATEST }));
    if (!isDone()) await firstValueFrom(done$).catch(() => {});
    return missing();
  }

  #subscribe(): void {
    const db = this.#couch.use(this.#name);
    const options = {
      since: 0,
      checkpoint: this.#checkpoint,
      checkpointInterval: 50,
      heartbeat: HEARTBEAT,
      backoff: { initialDelay: 1, maxDelay: 50 },
    } as const;
    const error = (failure: unknown): void => {
      this.problems.push(`failed: ${String(failure)}`);
      this.#updated$.next();
    };
    const note = (state: FeedState): number => this.states.push(state.status);
    this.#subscription = new Subscription();
    if (this.kind === 'consume') {
      const handler = (change: Change): void => this.#take(change);
      const consumer = db.consume(handler, { ...options, name: 'c', batchSize: 7 });
      this.#subscription.add(consumer.state$.subscribe(note));
      this.#subscription.add(consumer.subscribe({ error }));
      return;
    }
    const pauseWhile = this.#paused$;
    const feed = db.changes$({ ...options, feed: this.kind, latency: 0, pauseWhile });
    this.#subscription.add(feed.state$.subscribe(note));
    const next = ({ changes }: { changes: readonly Change[] }): void =>
      changes.forEach((change) => this.#take(change));
    this.#subscription.add(feed.subscribe({ next, error }));
  }

  #take({ id }: Change): void {
    const isFeed = ({ url }: { url: string }): boolean => url.includes('/_changes');
    const at = this.#proxy.requests.filter(isFeed).length + this.#restarts;
    if (this.#seenAt.get(id) === at) this.problems.push(`${id} came twice over one connection`);
    if (this.delivered.has(id)) this.again += 1;
    this.#seenAt.set(id, at);
    this.delivered.add(id);
    this.#updated$.next();
  }
}

type Fault = (proxy: FaultyProxy, reader: Reader, chance: Chance) => unknown;

/** The faults of a network, and what a program does to a feed. */
const FAULTS: Readonly<Record<string, Fault>> = {
  cut: (proxy) => proxy.cut(),
  reset: (proxy) => proxy.reset(),
  halfClose: (proxy) => proxy.halfClose(),
  stall: async (proxy, _, chance) => {
    proxy.stall();
    await sleep(chance.below(1000));
    proxy.resume();
  },
  refuse: async (proxy, _, chance) => {
    proxy.refuse();
    if (chance.below(2) === 0) proxy.cut();
    await sleep(chance.below(200));
    await proxy.accept();
  },
  answer: (proxy, _, chance) =>
    proxy.answer({
      status: chance.of([500, 502, 503, 429]),
      body: chance.of(['{"error":"x","reason":"y"}', '<html>', '']),
      times: 1 + chance.below(3),
    }),
  page: (proxy, _, chance) =>
    proxy.answer({
      match: ({ url }) => url.includes('/_changes'),
      headers: { 'content-type': 'text/html' },
      body: chance.of(['<html><title>Log in</title></html>', '<!doctype html>\n<p>\n', '']),
      times: 1 + chance.below(2),
    }),
  cutAfter: (proxy, _, chance) =>
    proxy.cutAfter(chance.below(2500), { of: chance.of(['body', 'wire']), times: 1 }),
  truncate: (proxy, _, chance) => proxy.truncate(() => true, chance.below(2500), { times: 1 }),
  delay: (proxy, _, chance) => proxy.delay(chance.below(800), { times: 1 + chance.below(2) }),
  drop: (proxy, _, chance) => proxy.drop({ times: 1 + chance.below(3) }),
  restart: (_, reader) => reader.restart(),
  pause: async (_, reader, chance) => {
    reader.pause(true);
    await sleep(chance.below(100));
    reader.pause(false);
  },
};

/** Runs a schedule. Returns its problems. */
async function run(
  seed: number,
  target: Target,
  faults: readonly (readonly [string, Fault])[],
): Promise<string[]> {
  const chance = new Chance(seed);
  chance.below(1);
  const name = uniqueName();
  const { url, username, password } = target;
  const authorization = basicAuth(username, password);
  await fetch(`${url}/${name}`, { method: 'PUT', headers: { authorization } });
  const proxy = await startFaultyProxy(url);
  const reader = new Reader(KINDS[seed % KINDS.length] as Kind, proxy, target, name);
  const log: string[] = [];
  try {
    const writing = writeAll(target, name, new Chance(seed + 1));
    const rounds = 3 + chance.below(8);
    for (let n = 0; n < rounds; n++) {
      await sleep(chance.below(250));
      const [what, fault] = chance.of(faults);
      log.push(what);
      await fault(proxy, reader, chance);
    }
    const ids = await writing;
    proxy.heal();
    const missing = await reader.missing(ids);
    if (missing.length > 0) reader.problems.push(`missing: ${missing.join()}`);
    const unknown = [...reader.delivered].filter((id) => !ids.has(id));
    if (unknown.length > 0) reader.problems.push(`unknown: ${unknown.join()}`);
    total.schedules += 1;
    total.faults += rounds;
    total.written += ids.size;
    total.delivered += reader.delivered.size;
    total.again += reader.again;
  } finally {
    reader.stop();
    await proxy.close();
    await fetch(`${url}/${name}`, { method: 'DELETE', headers: { authorization } }).catch(() => {});
  }
  return reader.problems.map(
    (problem) =>
      `CORDUROY_SEED=${seed} (${reader.kind}): ${problem} after ${log.join()}; ${reader.states.slice(-8).join()}`,
  );
}

async function runAll(
  seeds: readonly number[],
  concurrency: number,
  one: (seed: number) => Promise<string[]>,
): Promise<string[]> {
  const left = [...seeds];
  const problems: string[] = [];
  const work = async (): Promise<void> => {
    for (let seed = left.shift(); seed !== undefined; seed = left.shift())
      problems.push(...(await one(seed)));
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return problems;
}

describe('feeds of all protocols and consumers', () => {
  it('lose no change through a network that breaks at random', async () => {
    const seeds = Array.from({ length: count }, (_, n) => start + n);
    const faults = Object.entries(FAULTS);
    const problems = await runAll(seeds, CONCURRENCY, (seed) => run(seed, server, faults));
    expect(problems).toEqual([]);
    expect(total.schedules).toBe(count);
  });

  needs('process', 'restart')(
    'lose no change while the server is frozen and killed at random',
    async () => {
      const own = await startIsolatedServer();
      const stop: Fault = async (_proxy, _reader, chance) => {
        await own.kill('SIGSTOP');
        await sleep(chance.below(1000));
        await own.kill('SIGCONT');
      };
      const kill: Fault = async () => {
        await own.kill('SIGKILL');
        await own.restart?.();
      };
      const faults = Object.entries({ ...FAULTS, SIGSTOP: stop, SIGKILL: kill });
      const hard = [...faults, ...Object.entries({ SIGSTOP: stop, SIGKILL: kill })];
      try {
        // One after the other, because they share the server.
        const seeds = Array.from({ length: Math.ceil(count / 8) }, (_, n) => start + n);
        expect(await runAll(seeds, 1, (seed) => run(seed, own, hard))).toEqual([]);
      } finally {
        await own.stop();
      }
    },
  );
});
