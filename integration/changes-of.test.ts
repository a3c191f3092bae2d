import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Couch, isForbidden, isNotFound, localCheckpoint } from 'corduroy';
import type { ChangesOfFeed, ChangesOfOptions, DatabaseSelection } from 'corduroy';
import { filter, firstValueFrom, timeout } from 'rxjs';
import type { Subscription } from 'rxjs';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { basicAuth, type RunningServer } from './helpers/running-server.ts';
import { needs, server, uniqueName } from './helpers/server.ts';
import { startIsolatedServer } from './helpers/servers.ts';

// Tests with updates start their own server, because `_global_changes` slows every other test down.

jest.setTimeout(60_000);

const TIMEOUT = 15_000;
const FAST = { initialDelay: 5, maxDelay: 100 };
const POLL = { poll: 50 };
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

/** The requests of a test to a server, without the library. */
class Raw {
  readonly #server: Pick<RunningServer, 'url' | 'username' | 'password'>;

  constructor(target: Pick<RunningServer, 'url' | 'username' | 'password'>) {
    this.#server = target;
  }

  async send(method: string, path: string, body?: object): Promise<unknown> {
    const { url, username, password } = this.#server;
    const response = await fetch(`${url}/${path}`, {
      method,
      headers: { authorization: basicAuth(username, password), 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  async create(...names: string[]): Promise<void> {
    for (const name of names) await this.send('PUT', name);
  }

  async write(name: string, ...ids: string[]): Promise<void> {
    await this.send('POST', `${name}/_bulk_docs`, { docs: ids.map((_id) => ({ _id })) });
  }
}

/** Collects what a feed emits, as `database: id`. */
class Seen {
  readonly lines: string[] = [];
  readonly subscription: Subscription;
  readonly #feed: ChangesOfFeed;

  constructor(feed: ChangesOfFeed) {
    this.#feed = feed;
    this.subscription = feed.subscribe(({ database, changes }) =>
      this.lines.push(...changes.map(({ id }) => `${database}: ${id}`)),
    );
    cleanUps.push(() => this.subscription.unsubscribe());
  }

  /** Resolves when the state is `live`. */
  async live(): Promise<void> {
    const live$ = this.#feed.state$.pipe(filter(({ status }) => status === 'live'));
    await firstValueFrom(live$.pipe(timeout(TIMEOUT)));
  }

  /** Resolves when all of these have been emitted. */
  async until(...expected: string[]): Promise<void> {
    for (let i = 0; expected.some((line) => !this.lines.includes(line)); i++) {
      if (i > TIMEOUT / 10)
        throw new Error(`missing: ${expected.filter((line) => !this.lines.includes(line)).join()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** The same tests for both ways to notice changes. */
function specify(
  start: (databases: DatabaseSelection, options?: ChangesOfOptions) => Seen,
  target: () => { raw: Raw; couch: Couch },
  spec: (name: string, run: () => Promise<void>) => void,
): void {
  spec('emits the changes of the databases that match, each once and in order', async () => {
    const { raw } = target();
    const prefix = uniqueName('of');
    const names = [1, 2, 3].map((i) => `${prefix}-${i}`);
    await raw.create(...names, `other-${prefix}`);
    for (const name of names) await raw.write(name, 'before');
    const seen = start(new RegExp(`^${prefix}`));
    await seen.live();
    for (let i = 0; i < 5; i++)
      for (const name of [...names, `other-${prefix}`]) await raw.write(name, `doc-${i}`);
    const expected = names.flatMap((name) => [0, 1, 2, 3, 4].map((i) => `${name}: doc-${i}`));
    await seen.until(...expected);
    expect([...seen.lines].sort()).toEqual([...expected].sort());
    for (const name of [...names, `other-${prefix}`]) await raw.send('DELETE', name);
  });

  spec('follows creation, deletion and recreation', async () => {
    const { raw } = target();
    const name = uniqueName('of');
    const seen = start([name, 'of-missing']);
    await seen.live();
    await raw.create(name);
    await raw.write(name, 'a', 'b');
    await seen.until(`${name}: a`, `${name}: b`);
    // The new database has fewer changes than the old one had.
    await raw.send('DELETE', name);
    await raw.create(name);
    await raw.write(name, 'c');
    await seen.until(`${name}: c`);
    await raw.send('DELETE', name);
    await raw.create(name);
    await raw.write(name, 'd');
    await seen.until(`${name}: d`);
    await raw.send('DELETE', name);
  });

  spec(
    'reads thousands of changes with few requests, and resumes from its checkpoints',
    async () => {
      const { raw, couch } = target();
      const name = uniqueName('of');
      await raw.create(name);
      const ids = (from: number): string[] =>
        Array.from({ length: 1000 }, (_, i) => `doc-${from + i}`);
      await raw.write(name, ...ids(0));
      const options: ChangesOfOptions = {
        since: 0,
        batchSize: 300,
        checkpoint: (database) => localCheckpoint(couch.use(database), 'test'),
        checkpointInterval: 0,
      };
      const first = start([name], options);
      await first.until(...ids(0).map((id) => `${name}: ${id}`));
      expect(first.lines).toHaveLength(1000);
      first.subscription.unsubscribe();
      await raw.write(name, ...ids(1000));
      const second = start([name], options);
      await second.until(...ids(1000).map((id) => `${name}: ${id}`));
      // At least once: the last batch may come again.
      expect(second.lines.length).toBeLessThanOrEqual(1300);
      second.subscription.unsubscribe();
      await raw.send('DELETE', name);
    },
  );
}

describe('changesOf$ with lists', () => {
  const couch = new Couch(server.authenticatedUrl);
  const raw = new Raw(server);
  specify(
    (databases, options) =>
      new Seen(
        couch.changesOf$(databases, { updates: POLL, backoff: FAST, heartbeat: 1000, ...options }),
      ),
    () => ({ couch, raw }),
    (name, run) => it(name, run),
  );

  needs('db-updates')('names the remedy if the server records no updates', async () => {
    const failing = firstValueFrom(couch.changesOf$(['a']));
    const error: unknown = await failing.catch((caught: unknown) => caught);
    expect(isNotFound(error)).toBe(true);
    expect(String(error)).toContain("create the database '_global_changes'");
  });

  needs('db-updates')('serves a user who is no administrator', async () => {
    const [open, closed] = [uniqueName('of'), uniqueName('of')];
    const [user, password] = [uniqueName('ada'), 'secret'];
    await raw.create(open, closed);
    await raw.send('PUT', `${open}/_security`, { members: { names: [user] } });
    await raw.send('PUT', `_users/org.couchdb.user:${user}`, {
      name: user,
      type: 'user',
      roles: [],
      password,
    });
    const hers = new Couch(server.url, { auth: [user, password] });
    const errors: string[] = [];
    const feed = hers.changesOf$([open, closed], {
      updates: POLL,
      onError: (database, error) => errors.push(`${database} ${isForbidden(error)}`),
    });
    const seen = new Seen(feed);
    await seen.live();
    await raw.write(open, 'a');
    await seen.until(`${open}: a`);
    expect(errors).toEqual([`${closed} true`]);
    seen.subscription.unsubscribe();
    const refused = await firstValueFrom(hers.changesOf$([open])).catch(String);
    expect(refused).toContain('use the credentials of an administrator');
    for (const name of [open, closed]) await raw.send('DELETE', name);
  });
});

describe('changesOf$ with updates', () => {
  let own: RunningServer;
  let proxy: FaultyProxy;
  let raw: Raw;
  let couch: Couch;

  const spec = needs('db-updates', 'process');
  const start = (databases: DatabaseSelection, options: ChangesOfOptions = {}): Seen =>
    new Seen(couch.changesOf$(databases, { backoff: FAST, ...options }));

  beforeAll(async () => {
    if (server.kind !== 'installed') return;
    own = await startIsolatedServer();
    raw = new Raw(own);
    await raw.create('_global_changes');
    proxy = await startFaultyProxy(own.url);
    couch = new Couch(proxy.url, { auth: [own.username, own.password] });
  }, 60_000);

  afterAll(async () => {
    await proxy?.close();
    await own?.stop();
  });

  specify(start, () => ({ couch, raw }), spec);

  spec('follows 200 databases on ten connections, and reads only those that change', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `many-${i}`);
    for (const name of names) await raw.create(name);
    const own10 = new Couch(proxy.url, { auth: [own.username, own.password] });
    const before = proxy.requests.length;
    const open = proxy.connections;
    let peak = 0;
    const seen = new Seen(own10.changesOf$(/^many-/, { backoff: FAST }));
    const watch = setInterval(() => (peak = Math.max(peak, proxy.connections - open)), 1);
    cleanUps.push(() => clearInterval(watch));
    await seen.live();
    // The names, two hundred states, and the updates.
    const requests = proxy.requests.slice(before).map(({ url }) => url);
    expect(requests.filter((url) => url === '/_dbs_info')).toHaveLength(2);
    expect(requests.filter((url) => url.endsWith('/_changes'))).toEqual([]);
    await Promise.all(names.map((name) => raw.write(name, 'x')));
    await seen.until(...names.map((name) => `${name}: x`));
    expect(seen.lines).toHaveLength(200);
    expect(peak).toBeGreaterThan(1);
    expect(peak).toBeLessThanOrEqual(10);
    // Quiet databases cost nothing: only the one that changes is read.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const quiet = proxy.requests.length;
    await raw.write('many-7', 'y');
    await seen.until('many-7: y');
    const reads = proxy.requests.slice(quiet).filter(({ url }) => url.includes('/_changes'));
    expect(new Set(reads.map(({ url }) => url.split('?')[0]))).toEqual(
      new Set(['/many-7/_changes']),
    );
    seen.subscription.unsubscribe();
    for (const name of names) await raw.send('DELETE', name);
  });

  spec('misses nothing when the connections are cut and the server restarts', async () => {
    const names = ['cut-1', 'cut-2', 'cut-3'];
    await raw.create(...names);
    const seen = start(/^cut-/);
    await seen.live();
    const expected: string[] = [];
    const write = async (id: string): Promise<void> => {
      for (const name of names) {
        await raw.write(name, id);
        expected.push(`${name}: ${id}`);
      }
    };
    for (let i = 0; i < 10; i++) {
      await write(`doc-${i}`);
      if (i % 3 === 0) proxy.cut();
      if (i % 4 === 0)
        proxy.answer({ match: ({ url }) => url.includes('_changes'), status: 503, times: 2 });
    }
    proxy.refuse();
    await write('while-refused');
    await raw.create('cut-4');
    await raw.write('cut-4', 'new');
    await proxy.accept();
    await seen.until(...expected, 'cut-4: new');
    // A node that is killed loses the updates of its last half second.
    proxy.refuse();
    await write('before-the-kill');
    await own.kill('SIGKILL');
    await own.restart?.();
    await proxy.accept();
    await seen.until(...expected);
    await write('after-the-restart');
    await seen.until(...expected);
    for (const name of [...names, 'cut-4']) await raw.send('DELETE', name);
  });

  spec('closes every connection at once when it is unsubscribed', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `end-${i}`);
    await raw.create(...names);
    for (const name of names) await raw.write(name, 'x');
    // No connections that are kept for later.
    const alone = await startFaultyProxy(own.url);
    cleanUps.push(() => alone.close());
    const short = new Couch(alone.url, { auth: [own.username, own.password] });
    alone.stall(({ url }) => url.includes('_changes'));
    const feed = short.changesOf$(/^end-/, { since: 0 });
    const subscription = feed.subscribe();
    const reads = (): number => alone.requests.filter(({ url }) => url.includes('_changes')).length;
    while (reads() < 8) await alone.nextRequest();
    expect(alone.connections).toBeGreaterThanOrEqual(9);
    subscription.unsubscribe();
    await alone.closed();
    expect(reads()).toBe(8);
    for (const name of names) await raw.send('DELETE', name);
  });
});
