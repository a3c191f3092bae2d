import { afterAll, afterEach, beforeAll, describe, expect, jest } from '@jest/globals';
import { Couch, gotTransport } from 'corduroy';
import type { Database, FeedState, Transport } from 'corduroy';
import { setTimeout as sleep } from 'node:timers/promises';
import { Subject, filter, firstValueFrom, forkJoin, timeout } from 'rxjs';
import type { Observable } from 'rxjs';
import { relay } from 'corduroy/relay';
import { type Cluster, startCluster } from './helpers/cluster.ts';
import { listen, serve } from './helpers/relay.ts';
import type { RawListener } from './helpers/relay.ts';
import { basicAuth } from './helpers/running-server.ts';
import type { RunningServer } from './helpers/running-server.ts';
import { needs, server } from './helpers/server.ts';

// A real cluster of three nodes, in which one node at a time dies, freezes or leaves.

jest.setTimeout(120_000);

const PATIENCE = 30_000;
const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: PATIENCE })));

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

let cluster: Cluster | undefined;
beforeAll(async () => {
  if (server.kind === 'installed' && process.platform === 'linux') cluster = await startCluster();
});
afterAll(() => cluster?.stop());

function started(): Cluster {
  if (cluster === undefined) throw new Error('No cluster was started');
  return cluster;
}

/** A transport that records which node answered each request. */
function noting(answered: string[], cookies: (string | undefined)[] = []): Transport {
  const transport = gotTransport();
  return {
    send: (request) => {
      answered.push(new URL(request.url).origin);
      cookies.push(request.headers['cookie']);
      return transport.send(request);
    },
  };
}

function couchOf(options: object = {}): Couch {
  const { urls, username, password } = started();
  const nodeBackoff = { initialDelay: 100, maxDelay: 1000 };
  return new Couch(urls, { auth: [username, password], nodeBackoff, ...options });
}

/** Follows a database, and records the changes that it receives. */
class Listener {
  readonly came = new Map<string, string>();
  readonly #came$ = new Subject<void>();
  readonly #subscription;
  states: FeedState['status'][] = [];

  constructor(db: Database, feed: 'continuous' | 'longpoll') {
    const backoff = { initialDelay: 10, maxDelay: 200 };
    const changes = db.changes$({ feed, since: 0, latency: 0, heartbeat: 500, backoff });
    changes.state$.subscribe(({ status }) => this.states.push(status));
    this.#subscription = changes.subscribe({
      next: (batch) => {
        for (const { id, changes: revs } of batch.changes) this.came.set(id, revs[0]?.rev ?? '');
        this.#came$.next();
      },
      error: (error) => this.#came$.error(error),
    });
  }

  /** Resolves when it has received all of these. */
  async knows(revs: ReadonlyMap<string, string>): Promise<void> {
    const isAll = (): boolean => [...revs].every(([id, rev]) => this.came.get(id) === rev);
    if (!isAll()) await soon(this.#came$.pipe(filter(isAll)));
  }

  /**
   * Resolves when it has received all documents of the cluster, including unacknowledged writes.
   */
  async knowsAll(db: Database): Promise<void> {
    for (const deadline = Date.now() + PATIENCE; ; await sleep(100)) {
      const rows = (await soon(db.changes())).results;
      const isLast = rows.every(({ id, changes }) => this.came.get(id) === changes[0]?.rev);
      if (isLast && rows.length === this.came.size) return;
      if (Date.now() > deadline) expect(this.came).toEqual(rows);
    }
  }

  leave(): void {
    this.#subscription.unsubscribe();
  }
}

describe('a cluster of three nodes', () => {
  needs('several-nodes')('uses one login for all nodes', async () => {
    const { urls, username, password } = started();
    const answered: string[] = [];
    const cookies: (string | undefined)[] = [];
    const auth = { session: { username, password } };
    const couch = couchOf({ auth, transport: noting(answered, cookies) });
    const db = await soon(couch.create('orders'));
    const saves = Array.from({ length: 30 }, (_, i) => db.save({ _id: `${i}`, n: i }));
    expect(await soon(forkJoin(saves))).toHaveLength(30);
    for (let i = 0; i < 30; i++) expect(await soon(db.get(`${i}`))).toMatchObject({ n: i });
    expect([...new Set(answered)].sort()).toEqual([...urls].sort());
    // Only the login has no cookie. Every node accepts the same cookie.
    expect(cookies.filter((cookie) => cookie === undefined)).toHaveLength(1);
    expect(new Set(cookies).size).toBe(2);
  });

  const faults: Record<string, (node: RunningServer) => Promise<() => Promise<unknown>>> = {
    killed: async (node) => {
      await node.kill('SIGKILL');
      return () => node.restart?.() ?? Promise.resolve();
    },
    frozen: async (node) => {
      await node.kill('SIGSTOP');
      return () => node.kill('SIGCONT');
    },
    'in maintenance mode': async (node) => {
      const { url, username, password } = node;
      const couch = new Couch(url, { auth: [username, password] });
      await soon(couch.config('couchdb/maintenance_mode', true));
      return () => soon(couch.config('couchdb/maintenance_mode', false));
    },
  };
  const kinds = ['continuous', 'longpoll'] as const;

  for (const [fault, strike] of Object.entries(faults)) {
    for (const kind of kinds) {
      needs('several-nodes')(
        `has a ${kind} feed that misses nothing when its node is ${fault}`,
        async () => {
          const answered: string[] = [];
          const name = `fed-${kind}-${fault.replaceAll(' ', '-')}`;
          const writing = couchOf({ timeout: 2_000 });
          const db = await soon(writing.create(name));
          const listener = new Listener(couchOf({ transport: noting(answered) }).use(name), kind);
          cleanUps.push(() => listener.leave());
          const revs = new Map<string, string>();
          const write = async (id: string): Promise<void> => {
            const doc = await soon(
              db.upsert(id, (found) => ({ n: Number(found?.['n'] ?? 0) + 1 }), {}),
            ).catch(() => null);
            // A write without a response may have succeeded, or may still succeed.
            if (doc !== null) revs.set(id, doc._rev);
          };
          const ids = Array.from({ length: 8 }, (_, i) => `doc-${i}`);
          for (const id of ids) await write(id);
          await listener.knows(revs);
          const asked = answered.at(-1);
          const node = started().nodes.find(({ url }) => url === asked) as RunningServer;
          const mend = await strike(node);
          try {
            for (const id of ids) await write(id);
            await listener.knows(revs);
          } finally {
            await mend();
          }
          for (const id of ids) await write(id);
          await listener.knowsAll(db);
          expect(revs.size).toBe(ids.length);
          expect(listener.states).not.toContain('failed');
        },
      );
    }
  }

  needs('several-nodes')(
    'has a relay that loses nothing, whichever node gave the sequence of a listener',
    async () => {
      const { urls, username, password } = started();
      const auth = { authorization: basicAuth(username, password) };
      const db = await soon(couchOf().create('relayed'));
      const handler = relay(new Couch(urls[0] ?? '', { auth: [username, password] }));
      const { url, close } = await serve(handler);
      const path = '/relayed/_changes';
      const listeners: { readonly listener: RawListener; readonly wanted: Set<string> }[] = [];
      const nodeOf = (n: number): string => urls[n % urls.length] ?? '';
      for (let n = 0; n < 240; n += 1) {
        if (n % 8 === 0) {
          const answer = await fetch(`${nodeOf(n / 8)}${path}?since=now&limit=0`, {
            headers: auth,
          });
          const { last_seq: since } = (await answer.json()) as { last_seq: string };
          const query = `feed=continuous&heartbeat=1000&since=${encodeURIComponent(since)}`;
          const listener = await listen(`${url}${path}?${query}`, { auth: [username, password] });
          cleanUps.push(() => listener.close());
          listeners.push({ listener, wanted: new Set() });
        }
        const id = `doc-${n}`;
        const init = { method: 'PUT', headers: auth, body: '{}' };
        await (await fetch(`${nodeOf(n + 1)}/relayed/${id}`, init)).text();
        for (const { wanted } of listeners) wanted.add(id);
      }
      await Promise.all(listeners.map(({ listener, wanted }) => listener.has(...wanted)));
      expect(listeners).toHaveLength(30);
      await handler.close();
      await close();
      expect((await soon(db.info())).docCount).toBe(240);
    },
  );
});
