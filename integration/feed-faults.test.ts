import { afterAll, afterEach, describe, expect, it, jest } from '@jest/globals';
import {
  ConnectionError,
  Couch,
  DatabaseReplaced,
  NotFound,
  ProtocolError,
  ServerError,
  TimeoutError,
  TooManyRequests,
} from 'corduroy';
import type { ChangesFeed, ChangesFeedOptions, Database, FeedState } from 'corduroy';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReplaySubject, filter, firstValueFrom, timeout } from 'rxjs';
import type { Subscription } from 'rxjs';
import { type FaultyProxy, type SeenRequest, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

// A feed through a network that breaks, while somebody writes on the other side of it: whatever
// happens, it goes on and misses nothing, or ends with an error that says why.

jest.setTimeout(20_000);

const HEARTBEAT = 300;
const PATIENCE = 8_000;
const DOCUMENTS = 8;
const FAST = { initialDelay: 1, maxDelay: 20 };
const kinds = ['continuous', 'longpoll'] as const;
type Kind = (typeof kinds)[number];

const total = { feeds: 0, deliveries: 0, twice: 0 };
const cleanUps: (() => unknown)[] = [];
const atEnd = <T extends () => unknown>(cleanUp: T): T => {
  cleanUps.push(cleanUp);
  return cleanUp;
};

afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});
afterAll(() => {
  const { feeds, deliveries, twice } = total;
  process.stdout.write(`feed-faults: ${feeds} feeds, ${deliveries} changes, ${twice} came twice\n`);
});

/** Writes the same few documents again and again, straight to the server, one at a time. */
class Writer {
  readonly revs = new Map<string, string>();
  /** Every revision there ever was. */
  readonly known = new Set<string>();
  /** Milliseconds between two writes. */
  pause = 0;
  readonly #name: string;
  #writing = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(name: string) {
    this.#name = name;
  }

  async write(id: string, fields: object = {}): Promise<void> {
    const _rev = this.revs.get(id);
    const response = await rawFetch(`/${this.#name}/${id}`, {
      method: 'PUT',
      body: { ...fields, ...(_rev !== undefined && { _rev }) },
    });
    const { rev, error } = (await response.json()) as { rev: string; error?: string };
    if (error !== undefined) throw new Error(`Could not write ${id}: ${error}`);
    this.revs.set(id, rev);
    this.known.add(rev);
  }

  start(): this {
    if (this.#writing) return this;
    this.#writing = true;
    this.#loop = this.#run();
    return this;
  }

  /** Stops when every document has been written once more, so that all of them were after the fault. */
  async stop(): Promise<ReadonlyMap<string, string>> {
    if (this.#writing) {
      this.#writing = false;
      await this.#loop;
      for (let i = 0; i < DOCUMENTS; i++) await this.write(`doc-${i}`);
    }
    return this.revs;
  }

  async #run(): Promise<void> {
    for (let i = 0; this.#writing; i++) {
      await this.write(`doc-${i % DOCUMENTS}`, { i });
      if (this.pause > 0) await sleep(this.pause);
    }
  }
}

/** One who listens, and remembers all that came. */
class Listener {
  readonly feed: ChangesFeed;
  readonly states: FeedState[] = [];
  readonly subscription: Subscription;
  error: unknown;
  twice = 0;
  deliveries = 0;
  /** The revision that came last, of each document. */
  readonly last = new Map<string, string>();
  readonly came = new Set<string>();
  readonly #news$ = new ReplaySubject<void>(1);

  constructor(feed: ChangesFeed) {
    this.feed = feed;
    total.feeds += 1;
    const states = feed.state$.subscribe((state) => this.states.push(state));
    this.subscription = feed.subscribe({
      next: ({ changes }) => {
        for (const { id, changes: leaves } of changes) {
          const rev = leaves[0]?.rev ?? '';
          this.deliveries += 1;
          if (this.came.has(`${id} ${rev}`)) this.twice += 1;
          this.came.add(`${id} ${rev}`);
          this.last.set(id, rev);
        }
        this.#news$.next();
      },
      error: (error: unknown) => {
        this.error = error;
        this.#news$.next();
      },
    });
    atEnd(() => {
      this.subscription.unsubscribe();
      states.unsubscribe();
      total.deliveries += this.deliveries;
      total.twice += this.twice;
    });
  }

  /** Waits for a state that the feed is in, or comes into. */
  async state<S extends FeedState['status']>(
    status: S,
    suits: (state: Extract<FeedState, { status: S }>) => boolean = () => true,
  ): Promise<Extract<FeedState, { status: S }>> {
    const found$ = this.feed.state$.pipe(
      filter((state): state is Extract<FeedState, { status: S }> => state.status === status),
      filter(suits),
      timeout({ first: PATIENCE }),
    );
    return firstValueFrom(found$);
  }

  /** Waits until each of these revisions has come, and is what came last of its document. */
  async has(revs: ReadonlyMap<string, string>): Promise<void> {
    const missing = (): string[] =>
      [...revs].filter(([id, rev]) => this.last.get(id) !== rev).map(([id, rev]) => `${id} ${rev}`);
    await firstValueFrom(
      this.#news$.pipe(
        filter(() => this.error !== undefined || missing().length === 0),
        timeout({ first: PATIENCE }),
      ),
      { defaultValue: undefined },
    ).catch(() => {});
    expect({ error: this.error, missing: missing() }).toEqual({ error: undefined, missing: [] });
  }

  waits(): Extract<FeedState, { status: 'waiting' }>[] {
    return this.states.filter((state) => state.status === 'waiting');
  }
}

interface Scene {
  readonly name: string;
  readonly proxy: FaultyProxy;
  readonly writer: Writer;
  readonly isFeed: (request: SeenRequest) => boolean;
  readonly db: Database;
  readonly listen: (options?: ChangesFeedOptions) => Listener;
  /** The writer stops; what is there now must have come. */
  readonly nothingLost: (listener: Listener) => Promise<void>;
  /** Resolves when there is a request of the feed to strike. */
  readonly underWay: () => Promise<unknown>;
}

async function scene(feed: Kind): Promise<Scene> {
  const name = await createDatabase();
  const proxy = await startFaultyProxy(server.url);
  atEnd(() => proxy.close());
  const writer = new Writer(name).start();
  atEnd(() => writer.stop().catch(() => {}));
  // The first poll, and each that follows a failure, does not wait: it has no `feed`.
  const isFeed = ({ url }: SeenRequest): boolean =>
    feed === 'longpoll'
      ? url.includes('_changes?') && !url.includes('since=now')
      : url.includes(`feed=${feed}`);
  const db = new Couch(proxy.url, { auth: [server.username, server.password] }).use(name);
  return {
    name,
    proxy,
    writer,
    isFeed,
    db,
    listen: (options = {}) =>
      new Listener(
        db.changes$({
          feed,
          since: 0,
          latency: 0,
          heartbeat: HEARTBEAT,
          backoff: FAST,
          ...options,
        }),
      ),
    nothingLost: async (listener) => {
      await listener.has(await writer.stop());
      const invented = [...listener.came].filter(
        (pair) => !writer.known.has(pair.slice(pair.indexOf(' ') + 1)),
      );
      expect(invented).toEqual([]);
    },
    // A poll comes and goes.
    underWay: () => (feed === 'longpoll' ? proxy.nextRequest(isFeed) : Promise.resolve()),
  };
}

const ofDatabase = (name: string) => async (method: 'PUT' | 'DELETE' | 'GET') => {
  const response = await rawFetch(`/${name}`, { method });
  return (await response.json()) as { instance_start_time?: string };
};

describe.each(kinds)('a feed that is %s', (kind) => {
  it('connects when a server that refused at the start accepts', async () => {
    const { proxy, listen, nothingLost } = await scene(kind);
    proxy.refuse();
    const listener = listen();
    const { error } = await listener.state('waiting', ({ attempt }) => attempt >= 3);
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error).toMatchObject({ code: 'ECONNREFUSED', transient: true });
    await proxy.accept();
    await listener.state('live');
    await nothingLost(listener);
    expect(listener.waits().slice(0, 3)).toMatchObject([
      { attempt: 1 },
      { attempt: 2 },
      { attempt: 3 },
    ]);
  });

  it.each(['cut', 'reset', 'halfClose'] as const)('goes on after a %s', async (fault) => {
    const { proxy, listen, nothingLost, isFeed, underWay } = await scene(kind);
    const listener = listen();
    await listener.state('live');
    for (let round = 1; round <= 5; round++) {
      await underWay();
      const waiting = listener.state('waiting');
      proxy[fault](isFeed);
      const { error } = await waiting;
      expect([ConnectionError, ProtocolError]).toContain(error.constructor);
      await listener.state('live');
    }
    await nothingLost(listener);
    expect(listener.waits().length).toBeGreaterThanOrEqual(5);
  });

  it('takes silence for a dead connection, and opens another', async () => {
    const { proxy, listen, nothingLost, isFeed } = await scene(kind);
    const listener = listen();
    await listener.state('live');
    const waiting = listener.state('waiting');
    proxy.stall(isFeed);
    const { error } = await waiting;
    expect(error).toBeInstanceOf(TimeoutError);
    proxy.resume();
    await listener.state('live');
    await nothingLost(listener);
  });

  it('does not wait longer for what it asks before it listens', async () => {
    const { proxy, listen, nothingLost, name, isFeed, underWay } = await scene(kind);
    // A question that no answer comes to, as on a connection that a router has forgotten.
    const listener = listen();
    await listener.state('live');
    proxy.delay(60_000, { match: ({ url }) => url === `/${name}`, times: 1 });
    await underWay();
    proxy.cut(isFeed);
    await listener.state('waiting', ({ error }) => error instanceof TimeoutError);
    await listener.state('live');
    await nothingLost(listener);
  });

  it.each([
    [500, ServerError],
    [503, ServerError],
    [502, ServerError],
  ] as const)('waits out status %d', async (status, type) => {
    const { proxy, listen, nothingLost, isFeed } = await scene(kind);
    proxy.answer({ match: isFeed, times: 3, status, body: '{"error":"x","reason":"y"}' });
    const listener = listen();
    const { error } = await listener.state('waiting', ({ attempt }) => attempt === 3);
    expect(error).toBeInstanceOf(type);
    await listener.state('live', ({ connections }) => connections > 0);
    await nothingLost(listener);
  });

  it.each([
    [429, TooManyRequests],
    [503, ServerError],
  ] as const)('waits as long as a %d asks for', async (status, type) => {
    const { proxy, listen, nothingLost, isFeed } = await scene(kind);
    proxy.answer({ match: isFeed, times: 1, status, headers: { 'retry-after': '1' } });
    const listener = listen();
    const { error, delay } = await listener.state('waiting');
    const asked = performance.now();
    expect(error).toBeInstanceOf(type);
    expect(delay).toBeGreaterThanOrEqual(1000);
    await listener.state('connecting');
    expect(performance.now() - asked).toBeGreaterThanOrEqual(990);
    await nothingLost(listener);
  });

  it.each([
    ['of many lines', '<!doctype html>\n\n<html>\n<title>Log in</title>\n</html>\n'],
    ['of one line', '<html><title>Log in</title></html>'],
    ['that is empty', ''],
  ])('is not deceived by a page under 200 %s', async (_what, body) => {
    const { proxy, listen, nothingLost, isFeed } = await scene(kind);
    const headers = { 'content-type': 'text/html' };
    proxy.answer({ match: isFeed, times: 3, headers, body });
    const listener = listen();
    const { error } = await listener.state('waiting', ({ attempt }) => attempt === 3);
    expect(error).toBeInstanceOf(ProtocolError);
    await listener.state('live');
    await nothingLost(listener);
  });

  it.each([1, 40, 60])('reads no row that ends after %d bytes, cleanly', async (bytes) => {
    const { proxy, listen, nothingLost, isFeed } = await scene(kind);
    proxy.truncate(isFeed, bytes, { times: 3 });
    const listener = listen();
    const { error } = await listener.state('waiting');
    expect(error).toBeInstanceOf(ProtocolError);
    await listener.state('live');
    await nothingLost(listener);
  });

  it('knows from when `now` was, whatever the first second brings', async () => {
    const { proxy, listen, writer, isFeed } = await scene(kind);
    await writer.stop();
    proxy.answer({ match: isFeed, times: 4, status: 500 });
    proxy.answer({ match: ({ url }) => url.includes('since=now'), times: 2, status: 500 });
    const asked = proxy.nextRequest(isFeed);
    const listener = listen({ since: 'now', backoff: { initialDelay: 50 } });
    await asked;
    await writer.write('first-second');
    await listener.state('live');
    await listener.has(new Map([['first-second', writer.revs.get('first-second') ?? '']]));
    expect([...listener.last.keys()]).toEqual(['first-second']);
  });

  it('ends with what it was told when it is not to put up with failures', async () => {
    const { proxy, listen, isFeed, underWay } = await scene(kind);
    const listener = listen({ errorTolerance: 0 });
    await listener.state('live');
    await underWay();
    proxy.cut(isFeed);
    const { error } = await listener.state('failed');
    expect(listener.error).toBe(error);
    expect([ConnectionError, ProtocolError]).toContain(error.constructor);
  });

  it('ends when the database is deleted, and a new subscription begins anew', async () => {
    const { listen, writer, name } = await scene(kind);
    const listener = listen();
    await listener.state('live');
    await writer.stop();
    const failed = listener.state('failed');
    const ended = failed.then(() => true);
    // A request that was on its way brings a database back to life on the embedded server.
    do await ofDatabase(name)('DELETE');
    while (!(await Promise.race([ended, sleep(200)])));
    const { error } = await failed;
    expect(error).toBeInstanceOf(NotFound);
    expect(listener.error).toBe(error);
    await ofDatabase(name)('PUT');
    const again = listen();
    await again.state('live');
    writer.revs.clear();
    await writer.write('new');
    await again.has(writer.revs);
  });

  it.each(['while nobody could look', 'under its eyes', 'while a request was on its way'])(
    'tells a database that was made anew %s',
    async (when) => {
      const { proxy, listen, writer, name, isFeed, underWay } = await scene(kind);
      const of = ofDatabase(name);
      const { instance_start_time: before } = await of('GET');
      const listener = listen({ heartbeat: 4 * HEARTBEAT });
      await listener.state('live');
      await writer.stop();
      // Databases are told apart by the second in which they were made.
      await sleep(1000);
      if (when === 'while nobody could look') {
        proxy.refuse();
        proxy.cut();
        await listener.state('waiting');
      } else if (when === 'while a request was on its way') {
        const asked = proxy.nextRequest(isFeed);
        if (kind === 'continuous') proxy.cut(isFeed);
        proxy.stall(isFeed);
        await asked;
      } else {
        await underWay();
      }
      await of('DELETE');
      await of('PUT');
      expect((await of('GET')).instance_start_time).not.toBe(before);
      proxy.resume();
      await proxy.accept();
      const { error } = await listener.state('failed');
      // Who looks between the two finds none.
      const suitable =
        when === 'under its eyes' ? [DatabaseReplaced, NotFound] : [DatabaseReplaced];
      expect(suitable).toContain(error.constructor);
      expect(listener.error).toBe(error);
    },
  );

  it('goes on wherever the connection is cut, byte by byte', async () => {
    const { proxy, name, writer } = await scene(kind);
    writer.pause = 25;
    await writer.stop();
    const auth = [server.username, server.password] as const;
    const places = [
      ...Array.from({ length: 600 }, (_, n) => n),
      ...Array.from({ length: 60 }, (_, n) => 600 + n * 37),
    ];
    const round = 44;
    let cuts = 0;
    for (let from = 0; from < places.length; from += round) {
      writer.start();
      const listeners = await Promise.all(
        places.slice(from, from + round).map(async (bytes) => {
          const mark = String(bytes);
          const isOurs = ({ url, headers }: SeenRequest): boolean =>
            headers['x-place'] === mark && url.includes('_changes?') && !url.includes('limit=1&');
          proxy.cutAfter(bytes, { match: isOurs, times: 1 });
          let asked = 0;
          const resumed = proxy.nextRequest((request) => isOurs(request) && ++asked === 2);
          const couch = new Couch(proxy.url, { auth, headers: { 'x-place': mark } });
          const feed = couch.use(name).changes$({
            feed: kind,
            since: 0,
            latency: 0,
            heartbeat: 4 * HEARTBEAT,
            backoff: FAST,
          });
          const listener = new Listener(feed);
          await resumed;
          return listener;
        }),
      );
      const revs = await writer.stop();
      await Promise.all(listeners.map((listener) => listener.has(revs)));
      for (const listener of listeners) {
        if (listener.waits().length > 0) cuts++;
        listener.subscription.unsubscribe();
      }
    }
    // Where the place was beyond what there was to send, there was nothing to cut; and a feed that
    // is slow to begin is opened anew of its own accord.
    expect(cuts).toBeGreaterThan(300);
  }, 60_000);
});
