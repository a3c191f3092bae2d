import { afterAll, describe, expect, jest } from '@jest/globals';
import { ConnectionError, Couch, ProtocolError, TimeoutError } from 'corduroy';
import type { ChangesFeed, FeedState } from 'corduroy';
import { filter, firstValueFrom, timeout } from 'rxjs';
import { basicAuth, type RunningServer } from './helpers/running-server.ts';
import { needs } from './helpers/server.ts';
import { startIsolatedServer } from './helpers/servers.ts';

// Each test starts its own server, and freezes or kills it while a feed is open.

jest.setTimeout(60_000);

const HEARTBEAT = 300;
const TIMEOUT = 15_000;
const DOCUMENTS = 10;
const kinds = ['continuous', 'longpoll'] as const;
const NAME = 'restarted';
let deliveries = 0;
let duplicates = 0;

afterAll(() => {
  process.stdout.write(`feed-restart: ${deliveries} changes, ${duplicates} duplicates\n`);
});

/** Writes without a pause, and continues after a failed write. */
class Writer {
  readonly revs = new Map<string, string>();
  failures = 0;
  writes = 0;
  readonly #server: RunningServer;
  readonly #stopping = new AbortController();
  readonly #loop: Promise<void>;

  constructor(server: RunningServer) {
    this.#server = server;
    this.#loop = this.#run();
  }

  async request(method: string, path: string, body?: object): Promise<Record<string, string>> {
    const { url, username, password } = this.#server;
    const response = await fetch(`${url}/${NAME}${path}`, {
      method,
      headers: { authorization: basicAuth(username, password), 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as Record<string, string>;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
    return answer;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** Reads the revisions from the server: it may have stored writes whose answer was lost. */
  async storedRevs(): Promise<ReadonlyMap<string, string>> {
    const { rows } = (await this.request('GET', '/_all_docs')) as unknown as {
      rows: { id: string; value: { rev: string } }[];
    };
    return new Map(rows.map(({ id, value }) => [id, value.rev]));
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#stopping.signal.aborted; i++) {
      const id = `doc-${i % DOCUMENTS}`;
      const _rev = this.revs.get(id);
      try {
        const { rev = '' } = await this.request('PUT', `/${id}`, { i, ...(_rev && { _rev }) });
        this.revs.set(id, rev);
        this.writes += 1;
      } catch {
        this.failures += 1;
        // Reads the revision, because the write may have succeeded without an answer.
        await this.request('GET', `/${id}`).then(
          ({ _rev: rev = '' }) => this.revs.set(id, rev),
          () => new Promise((resolve) => setTimeout(resolve, 20)),
        );
      }
    }
  }
}

class Listener {
  readonly last = new Map<string, string>();
  readonly feed: ChangesFeed;
  readonly states: FeedState[] = [];
  readonly #received = new Set<string>();
  error: unknown;
  readonly stop: () => void;

  constructor(feed: ChangesFeed) {
    this.feed = feed;
    const states = feed.state$.subscribe((state) => this.states.push(state));
    const subscription = feed.subscribe({
      next: ({ changes }) => {
        for (const { id, changes: leaves } of changes) {
          const rev = leaves[0]?.rev ?? '';
          deliveries += 1;
          if (this.#received.has(`${id} ${rev}`)) duplicates += 1;
          this.#received.add(`${id} ${rev}`);
          this.last.set(id, rev);
        }
      },
      error: (error: unknown) => (this.error = error),
    });
    this.stop = () => {
      subscription.unsubscribe();
      states.unsubscribe();
    };
  }

  async state<S extends FeedState['status']>(
    status: S,
  ): Promise<Extract<FeedState, { status: S }>> {
    return firstValueFrom(
      this.feed.state$.pipe(
        filter((state): state is Extract<FeedState, { status: S }> => state.status === status),
        timeout({ first: TIMEOUT }),
      ),
    );
  }

  /** Waits until these revisions have come as the last ones of their documents. */
  async has(revs: ReadonlyMap<string, string>): Promise<void> {
    const missing = (): string[] =>
      [...revs.keys()].filter((id) => this.last.get(id) !== revs.get(id));
    for (let remaining = TIMEOUT; remaining > 0 && missing().length > 0; remaining -= 20) {
      if (this.error !== undefined) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect({ error: this.error, missing: missing() }).toEqual({ error: undefined, missing: [] });
  }
}

async function withServer(
  feed: (typeof kinds)[number],
  test: (server: RunningServer, writer: Writer, listener: Listener) => Promise<void>,
): Promise<void> {
  const server = await startIsolatedServer();
  let writer: Writer | undefined;
  let listener: Listener | undefined;
  try {
    const couch = new Couch(server.url, { auth: [server.username, server.password] });
    const db = couch.use(NAME);
    await firstValueFrom(couch.create(NAME));
    writer = new Writer(server);
    const changes = db.changes$({
      feed,
      since: 0,
      latency: 20,
      heartbeat: HEARTBEAT,
      backoff: { initialDelay: 10, maxDelay: 200 },
    });
    listener = new Listener(changes);
    await listener.state('live');
    await test(server, writer, listener);
    await writer.stop();
    await listener.has(await writer.storedRevs());
  } finally {
    listener?.stop();
    await server.kill('SIGCONT').catch(() => {});
    const stopped = writer?.stop();
    await server.stop();
    await stopped;
  }
}

describe.each(kinds)('a %s feed', (kind) => {
  needs('process')('continues after a frozen server has thawed', () =>
    withServer(kind, async (server, writer, listener) => {
      for (let round = 0; round < 2; round++) {
        const waiting = listener.state('waiting');
        await server.kill('SIGSTOP');
        // The feed waits for two heartbeats.
        expect((await waiting).error).toBeInstanceOf(TimeoutError);
        const before = writer.writes;
        await server.kill('SIGCONT');
        await listener.state('live');
        while (writer.writes < before + 2 * DOCUMENTS) await writer.request('GET', '');
      }
    }),
  );

  needs('process', 'restart')('continues after a killed server has restarted', () =>
    withServer(kind, async (server, writer, listener) => {
      for (let round = 0; round < 2; round++) {
        const before = writer.failures;
        const waiting = listener.state('waiting');
        await server.kill('SIGKILL');
        expect([ConnectionError, ProtocolError]).toContain((await waiting).error.constructor);
        while (writer.failures === before) await new Promise((resolve) => setTimeout(resolve, 10));
        const written = writer.writes;
        await server.restart?.();
        await listener.state('live');
        while (writer.writes < written + 2 * DOCUMENTS) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    }),
  );

  needs('process')('errors after errorTolerance if the server is killed', async () => {
    const server = await startIsolatedServer();
    try {
      const couch = new Couch(server.url, { auth: [server.username, server.password] });
      await firstValueFrom(couch.create(NAME));
      const listener = new Listener(
        couch.use(NAME).changes$({
          feed: kind,
          since: 0,
          heartbeat: HEARTBEAT,
          errorTolerance: 500,
          backoff: { initialDelay: 10, maxDelay: 100 },
        }),
      );
      await listener.state('live');
      await server.kill('SIGKILL');
      const { error } = await listener.state('failed');
      expect(error).toBeInstanceOf(ConnectionError);
      expect(listener.error).toBe(error);
      expect(listener.states.filter(({ status }) => status === 'waiting').length).toBeGreaterThan(
        2,
      );
      listener.stop();
    } finally {
      await server.stop();
    }
  });
});
