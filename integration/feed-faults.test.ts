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

// Reads a feed over a faulty network while documents are written. After each fault the feed must
// continue and miss no change, or end with the right error.

jest.setTimeout(20_000);

const HEARTBEAT = 300;
const TIMEOUT = 8_000;
const DOCUMENTS = 8;
const FAST = { initialDelay: 1, maxDelay: 20 };
const kinds = ['continuous', 'longpoll'] as const;
type Kind = (typeof kinds)[number];

const total = { feeds: 0, deliveries: 0, duplicates: 0 };
const cleanUps: (() => unknown)[] = [];
const onCleanUp = <T extends () => unknown>(cleanUp: T): T => {
  cleanUps.push(cleanUp);
  return cleanUp;
};

afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});
afterAll(() => {
  const { feeds, deliveries, duplicates } = total;
  process.stdout.write(
    `feed-faults: ${feeds} feeds, ${deliveries} changes, ${duplicates} duplicates\n`,
  );
});

/** Writes a few documents in turn, one at a time, directly to the server. */
class Writer {
  readonly revs = new Map<string, string>();
  /** Every revision that was written. */
  readonly written = new Set<string>();
  /** The pause between two writes, in milliseconds. */
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
    this.written.add(rev);
  }

  start(): this {
    if (this.#writing) return this;
    this.#writing = true;
    this.#loop = this.#run();
    return this;
  }

  /** Stops after it has written every document once more, so that each has a change after the fault. */
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

/** Subscribes to a feed, and records its changes and states. */
class Listener {
  readonly feed: ChangesFeed;
  readonly states: FeedState[] = [];
  readonly subscription: Subscription;
  error: unknown;
  duplicates = 0;
  deliveries = 0;
  /** The last revision received, by document. */
  readonly last = new Map<string, string>();
  /** All pairs of id and revision received. */
  readonly received = new Set<string>();
  readonly #updated$ = new ReplaySubject<void>(1);

  constructor(feed: ChangesFeed) {
    this.feed = feed;
    total.feeds += 1;
    const states = feed.state$.subscribe((state) => this.states.push(state));
    this.subscription = feed.subscribe({
      next: ({ changes }) => {
        for (const { id, changes: leaves } of changes) {
          const rev = leaves[0]?.rev ?? '';
          this.deliveries += 1;
          if (this.received.has(`${id} ${rev}`)) this.duplicates += 1;
          this.received.add(`${id} ${rev}`);
          this.last.set(id, rev);
        }
        this.#updated$.next();
      },
      error: (error: unknown) => {
        this.error = error;
        this.#updated$.next();
      },
    });
    onCleanUp(() => {
      this.subscription.unsubscribe();
      states.unsubscribe();
      total.deliveries += this.deliveries;
      total.duplicates += this.duplicates;
    });
  }

  /** Waits until the feed is in a state. */
  async state<S extends FeedState['status']>(
    status: S,
    condition: (state: Extract<FeedState, { status: S }>) => boolean = () => true,
  ): Promise<Extract<FeedState, { status: S }>> {
    const matching$ = this.feed.state$.pipe(
      filter((state): state is Extract<FeedState, { status: S }> => state.status === status),
      filter(condition),
      timeout({ first: TIMEOUT }),
    );
    return firstValueFrom(matching$);
  }

  /** Waits until each of these revisions has come, as the last one of its document. */
  async has(revs: ReadonlyMap<string, string>): Promise<void> {
    const missing = (): string[] =>
      [...revs].filter(([id, rev]) => this.last.get(id) !== rev).map(([id, rev]) => `${id} ${rev}`);
    await firstValueFrom(
      this.#updated$.pipe(
        filter(() => this.error !== undefined || missing().length === 0),
        timeout({ first: TIMEOUT }),
      ),
      { defaultValue: undefined },
    ).catch(() => {});
    expect({ error: this.error, missing: missing() }).toEqual({ error: undefined, missing: [] });
  }

  waitingStates(): Extract<FeedState, { status: 'waiting' }>[] {
    return this.states.filter((state) => state.status === 'waiting');
  }
}

interface Setup {
  readonly name: string;
  readonly proxy: FaultyProxy;
  readonly writer: Writer;
  readonly isFeed: (request: SeenRequest) => boolean;
  readonly db: Database;
  readonly listen: (options?: ChangesFeedOptions) => Listener;
  /** Stops the writer, and expects that the listener has received the last revisions. */
  readonly expectNoLoss: (listener: Listener) => Promise<void>;
  /** Resolves when a request of the feed is in flight. */
  readonly inFlight: () => Promise<unknown>;
}

async function setUp(feed: Kind): Promise<Setup> {
  const name = await createDatabase();
  const proxy = await startFaultyProxy(server.url);
  onCleanUp(() => proxy.close());
  const writer = new Writer(name).start();
  onCleanUp(() => writer.stop().catch(() => {}));
  // The first poll, and the first one after an error, does not wait, and has no `feed`.
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
    expectNoLoss: async (listener) => {
      await listener.has(await writer.stop());
      const unknown = [...listener.received].filter(
        (pair) => !writer.written.has(pair.slice(pair.indexOf(' ') + 1)),
      );
      expect(unknown).toEqual([]);
    },
    // Polls are short, so that the fault must wait for the next one.
    inFlight: () => (feed === 'longpoll' ? proxy.nextRequest(isFeed) : Promise.resolve()),
  };
}

const ofDatabase = (name: string) => async (method: 'PUT' | 'DELETE' | 'GET') => {
  const response = await rawFetch(`/${name}`, { method });
  return (await response.json()) as { instance_start_time?: string };
};

describe.each(kinds)('a %s feed', (kind) => {
  it('retries until a server that refused connections accepts one', async () => {
    const { proxy, listen, expectNoLoss } = await setUp(kind);
    proxy.refuse();
    const listener = listen();
    const { error } = await listener.state('waiting', ({ attempt }) => attempt >= 3);
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error).toMatchObject({ code: 'ECONNREFUSED', transient: true });
    await proxy.accept();
    await listener.state('live');
    await expectNoLoss(listener);
    expect(listener.waitingStates().slice(0, 3)).toMatchObject([
      { attempt: 1 },
      { attempt: 2 },
      { attempt: 3 },
    ]);
  });

  it.each(['cut', 'reset', 'halfClose'] as const)('continues after a %s', async (fault) => {
    const { proxy, listen, expectNoLoss, isFeed, inFlight } = await setUp(kind);
    const listener = listen();
    await listener.state('live');
    for (let round = 1; round <= 5; round++) {
      await inFlight();
      const waiting = listener.state('waiting');
      proxy[fault](isFeed);
      const { error } = await waiting;
      expect([ConnectionError, ProtocolError]).toContain(error.constructor);
      await listener.state('live');
    }
    await expectNoLoss(listener);
    expect(listener.waitingStates().length).toBeGreaterThanOrEqual(5);
  });

  it('replaces a silent connection', async () => {
    const { proxy, listen, expectNoLoss, isFeed } = await setUp(kind);
    const listener = listen();
    await listener.state('live');
    const waiting = listener.state('waiting');
    proxy.stall(isFeed);
    const { error } = await waiting;
    expect(error).toBeInstanceOf(TimeoutError);
    proxy.resume();
    await listener.state('live');
    await expectNoLoss(listener);
  });

  it('times out requests for the identity of the database as well', async () => {
    const { proxy, listen, expectNoLoss, name, isFeed, inFlight } = await setUp(kind);
    // The request gets no answer, as on a connection that a router has dropped.
    const listener = listen();
    await listener.state('live');
    proxy.delay(60_000, { match: ({ url }) => url === `/${name}`, times: 1 });
    await inFlight();
    proxy.cut(isFeed);
    await listener.state('waiting', ({ error }) => error instanceof TimeoutError);
    await listener.state('live');
    await expectNoLoss(listener);
  });

  it.each([
    [500, ServerError],
    [503, ServerError],
    [502, ServerError],
  ] as const)('retries after status %d', async (status, type) => {
    const { proxy, listen, expectNoLoss, isFeed } = await setUp(kind);
    proxy.answer({ match: isFeed, times: 3, status, body: '{"error":"x","reason":"y"}' });
    const listener = listen();
    const { error } = await listener.state('waiting', ({ attempt }) => attempt === 3);
    expect(error).toBeInstanceOf(type);
    await listener.state('live', ({ connections }) => connections > 0);
    await expectNoLoss(listener);
  });

  it.each([
    [429, TooManyRequests],
    [503, ServerError],
  ] as const)('waits as long as the Retry-After of a %d demands', async (status, type) => {
    const { proxy, listen, expectNoLoss, isFeed } = await setUp(kind);
    proxy.answer({ match: isFeed, times: 1, status, headers: { 'retry-after': '1' } });
    const listener = listen();
    const { error, delay } = await listener.state('waiting');
    const waitingSince = performance.now();
    expect(error).toBeInstanceOf(type);
    expect(delay).toBeGreaterThanOrEqual(1000);
    await listener.state('connecting');
    expect(performance.now() - waitingSince).toBeGreaterThanOrEqual(990);
    await expectNoLoss(listener);
  });

  it.each([
    ['and many lines', '<!doctype html>\n\n<html>\n<title>Log in</title>\n</html>\n'],
    ['and one line', '<html><title>Log in</title></html>'],
    ['and no content', ''],
  ])('retries after an HTML page with status 200 %s', async (_what, body) => {
    const { proxy, listen, expectNoLoss, isFeed } = await setUp(kind);
    const headers = { 'content-type': 'text/html' };
    proxy.answer({ match: isFeed, times: 3, headers, body });
    const listener = listen();
    const { error } = await listener.state('waiting', ({ attempt }) => attempt === 3);
    expect(error).toBeInstanceOf(ProtocolError);
    await listener.state('live');
    await expectNoLoss(listener);
  });

  it.each([1, 40, 60])('retries after a body that ends cleanly after %d bytes', async (bytes) => {
    const { proxy, listen, expectNoLoss, isFeed } = await setUp(kind);
    proxy.truncate(isFeed, bytes, { times: 3 });
    const listener = listen();
    const { error } = await listener.state('waiting');
    expect(error).toBeInstanceOf(ProtocolError);
    await listener.state('live');
    await expectNoLoss(listener);
  });

  it('keeps the sequence of `now` across errors at the start', async () => {
    const { proxy, listen, writer, isFeed } = await setUp(kind);
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

  it('errors with the first error if errorTolerance is 0', async () => {
    const { proxy, listen, isFeed, inFlight } = await setUp(kind);
    const listener = listen({ errorTolerance: 0 });
    await listener.state('live');
    await inFlight();
    proxy.cut(isFeed);
    const { error } = await listener.state('failed');
    expect(listener.error).toBe(error);
    expect([ConnectionError, ProtocolError]).toContain(error.constructor);
  });

  it('errors when the database is deleted, and reconnects for a new subscription', async () => {
    const { listen, writer, name } = await setUp(kind);
    const listener = listen();
    await listener.state('live');
    await writer.stop();
    const failed = listener.state('failed');
    const ended = failed.then(() => true);
    // On the embedded server, a write in flight can create the database again.
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

  it.each([
    'while the feed is disconnected',
    'while the feed is connected',
    'while a request is in flight',
  ])('errors with DatabaseReplaced if the database is replaced %s', async (when) => {
    const { proxy, listen, writer, name, isFeed, inFlight } = await setUp(kind);
    const of = ofDatabase(name);
    const { instance_start_time: before } = await of('GET');
    const listener = listen({ heartbeat: 4 * HEARTBEAT });
    await listener.state('live');
    await writer.stop();
    // The identity of a database is the second in which it was created.
    await sleep(1000);
    if (when === 'while the feed is disconnected') {
      proxy.refuse();
      proxy.cut();
      await listener.state('waiting');
    } else if (when === 'while a request is in flight') {
      const asked = proxy.nextRequest(isFeed);
      if (kind === 'continuous') proxy.cut(isFeed);
      proxy.stall(isFeed);
      await asked;
    } else {
      await inFlight();
    }
    await of('DELETE');
    await of('PUT');
    expect((await of('GET')).instance_start_time).not.toBe(before);
    proxy.resume();
    await proxy.accept();
    const { error } = await listener.state('failed');
    // A request between the deletion and the creation finds no database.
    const allowed =
      when === 'while the feed is connected' ? [DatabaseReplaced, NotFound] : [DatabaseReplaced];
    expect(allowed).toContain(error.constructor);
    expect(listener.error).toBe(error);
  });

  it('continues after a cut at any byte', async () => {
    const { proxy, name, writer } = await setUp(kind);
    writer.pause = 25;
    await writer.stop();
    const auth = [server.username, server.password] as const;
    const cutPoints = [
      ...Array.from({ length: 600 }, (_, n) => n),
      ...Array.from({ length: 60 }, (_, n) => 600 + n * 37),
    ];
    const round = 44;
    let cuts = 0;
    for (let from = 0; from < cutPoints.length; from += round) {
      writer.start();
      const listeners = await Promise.all(
        cutPoints.slice(from, from + round).map(async (bytes) => {
          const mark = String(bytes);
          const isOurs = ({ url, headers }: SeenRequest): boolean =>
            headers['x-cut-after'] === mark &&
            url.includes('_changes?') &&
            !url.includes('limit=1&');
          proxy.cutAfter(bytes, { match: isOurs, times: 1 });
          let seen = 0;
          const resumed = proxy.nextRequest((request) => isOurs(request) && ++seen === 2);
          const couch = new Couch(proxy.url, { auth, headers: { 'x-cut-after': mark } });
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
        if (listener.waitingStates().length > 0) cuts++;
        listener.subscription.unsubscribe();
      }
    }
    // A cut beyond the end of the response has no effect, and a slow feed reopens without a cut.
    expect(cuts).toBeGreaterThan(300);
  }, 60_000);
});
