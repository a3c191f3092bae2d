import { afterEach, describe, expect, it, jest } from '@jest/globals';
import {
  AccountLocked,
  Couch,
  Forbidden,
  Unauthorized,
  isAccountLocked,
  isForbidden,
  isTransient,
  memoryCheckpoint,
} from 'corduroy';
import type { Auth, FeedState } from 'corduroy';
import { filter, firstValueFrom, of, take, timeout, toArray } from 'rxjs';
import type { ServerResponse } from 'node:http';
import type { Observable } from 'rxjs';
import { needs } from './helpers/server.ts';
import { startIsolatedServer } from './helpers/servers.ts';
import { type StubRequest, type StubServer, startStub } from './helpers/stub-server.ts';

// CouchDB locks an account after five failed logins. Corduroy waits, and never causes such a lock.

jest.setTimeout(30_000);

const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: 15_000 })));
const failure = (source: Observable<unknown>): Promise<unknown> =>
  soon(source).then(
    (value) => ({ unexpected: value }),
    (error: unknown) => error,
  );
const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

const LOCKED = 'Account is temporarily locked due to multiple authentication failures';
const WRONG = 'Name or password is incorrect.';

/** A server with one user that answers as CouchDB 3.5 does, and counts failed logins. */
class Guard {
  failures = 0;
  locked = false;
  password = 'right';
  /** The cookie that the server accepts. */
  cookie = 'A';
  instance: () => string | undefined = () => '1700000000';
  /** The milliseconds before an answer to a request of this URL. */
  delay: (url: string) => number = () => 0;
  /** The answer to a request without a fault. */
  answer: (request: StubRequest) => { status: number; body: object } | null = () => null;
  readonly stub: StubServer;

  constructor(stub: StubServer) {
    this.stub = stub;
    stub.answer((request, response) => void this.#serve(request, response));
  }

  async #serve(request: StubRequest, response: ServerResponse): Promise<void> {
    const { method, url, headers } = request;
    const send = (status: number, body: object, more: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...more });
      response.end(JSON.stringify(body));
    };
    const isLogin = method === 'POST' && url === '/_session';
    const basic = Buffer.from((headers['authorization'] ?? '').slice(6), 'base64').toString();
    const password = isLogin
      ? (JSON.parse(request.body.toString()) as { password: string }).password
      : basic.split(':')[1];
    await pause(this.delay(url));
    const cookie = /AuthSession=(\w+)/.exec(headers['cookie'] ?? '')?.[1];
    if (cookie !== undefined && cookie !== this.cookie)
      return send(401, { error: 'unauthorized', reason: 'You are not authorized' });
    if (cookie === undefined && this.locked)
      return send(403, { error: 'forbidden', reason: LOCKED });
    if (cookie === undefined && password !== this.password) {
      this.failures += 1;
      return send(401, { error: 'unauthorized', reason: WRONG });
    }
    const given = this.answer(request);
    if (given !== null) return send(given.status, given.body);
    if (isLogin) {
      const value = `AuthSession=${this.cookie}; Version=1; Max-Age=600; Path=/`;
      return send(200, { ok: true, name: 'ada', roles: [] }, { 'set-cookie': value });
    }
    if (url.startsWith('/db/_changes')) {
      if (url.includes('feed=continuous')) {
        response.writeHead(200, { 'content-type': 'application/json' }).write('\n');
        if (response.closed) return undefined;
        const beat = setInterval(() => response.write('\n'), 50);
        response.on('close', () => clearInterval(beat));
        return undefined;
      }
      await pause(url.includes('feed=longpoll') ? 50 : 0);
      return send(200, { results: [], last_seq: '0', pending: 0 });
    }
    return send(200, { instance_start_time: this.instance(), db_name: 'db', version: '3.5.0' });
  }
}

async function startGuard(): Promise<Guard> {
  const stub = await startStub();
  cleanUps.push(() => stub.close());
  return new Guard(stub);
}

const user = (password: string): { username: string; password: string } => ({
  username: 'ada',
  password,
});
const nine = (couch: Couch): Promise<unknown[]> =>
  Promise.all(Array.from({ length: 9 }, () => failure(couch.version())));

describe('a locked account', () => {
  it('is a transient error of a class of its own, also if a secret is a word of its reason', async () => {
    const guard = await startGuard();
    guard.locked = true;
    const couch = new Couch(guard.stub.url, { auth: ['ada', 'locked'] });
    const error = await failure(couch.version());
    expect(error).toBeInstanceOf(AccountLocked);
    expect(error).toBeInstanceOf(Forbidden);
    expect(error).toMatchObject({ name: 'AccountLocked', status: 403, transient: true });
    expect([isAccountLocked(error), isForbidden(error), isTransient(error)]).toEqual([
      true,
      true,
      true,
    ]);
    guard.locked = false;
    guard.answer = () => ({ status: 403, body: { error: 'forbidden', reason: 'no' } });
    const other = await failure(new Couch(guard.stub.url, { auth: user('right') }).version());
    expect([isForbidden(other), isAccountLocked(other)]).toEqual([true, false]);
  });

  it('is waited for by a feed, which tells it in its state', async () => {
    const guard = await startGuard();
    guard.locked = true;
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    const feed = couch.use('db').changes$({ heartbeat: 1000, backoff: { maxDelay: 50 } });
    const subscription = feed.subscribe();
    cleanUps.push(() => subscription.unsubscribe());
    const waiting = (await soon(
      feed.state$.pipe(filter(({ status }) => status === 'waiting' || status === 'failed')),
    )) as FeedState & { error: unknown };
    expect(waiting.status).toBe('waiting');
    expect(waiting.error).toBeInstanceOf(AccountLocked);
    guard.locked = false;
    const live = await soon(feed.state$.pipe(filter(({ status }) => status === 'live')));
    expect(live).toMatchObject({ status: 'live', connections: 1 });
  });

  it('is waited for by a live query', async () => {
    const guard = await startGuard();
    guard.answer = ({ url }) =>
      url.startsWith('/db/_all_docs')
        ? { status: 200, body: { rows: [{ key: 'a', id: 'a', value: {}, doc: { _id: 'a' } }] } }
        : null;
    guard.locked = true;
    const live = { backoff: { maxDelay: 50 } };
    const couch = new Couch(guard.stub.url, { auth: user('right'), live });
    const doc$ = couch.use('db').doc$('a');
    const document = soon(doc$);
    await soon(doc$.state$.pipe(filter(({ status }) => status === 'waiting')));
    guard.locked = false;
    expect(await document).toEqual({ _id: 'a' });
  });

  it('is not taken for a replaced database by a consumer', async () => {
    const guard = await startGuard();
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    const errors: unknown[] = [];
    const consumer = couch.use('db').consume(() => undefined, {
      name: 'c',
      checkpoint: memoryCheckpoint('0'),
      heartbeat: 100,
      backoff: { maxDelay: 50 },
    });
    const subscription = consumer.subscribe({ error: (error: unknown) => errors.push(error) });
    cleanUps.push(() => subscription.unsubscribe());
    const until = (status: FeedState['status']): Promise<FeedState> =>
      soon(consumer.state$.pipe(filter((state) => state.status === status)));
    await until('live');
    guard.locked = true;
    expect(await until('waiting')).toMatchObject({ error: { name: 'AccountLocked' } });
    guard.locked = false;
    await until('live');
    expect(errors).toEqual([]);
  });

  it('does not keep a session with an expired cookie from a new login after the lock', async () => {
    const guard = await startGuard();
    const auth = { session: user('right'), loginInterval: 0 };
    const couch = new Couch(guard.stub.url, { auth });
    await soon(couch.version());
    guard.cookie = 'B';
    guard.locked = true;
    expect(await failure(couch.version())).toBeInstanceOf(AccountLocked);
    guard.locked = false;
    expect(await soon(couch.version())).toBe('3.5.0');
  });

  needs('process')('ends, and a feed and a session continue by themselves', async () => {
    const own = await startIsolatedServer();
    cleanUps.push(() => own.stop());
    if (own.kind !== 'installed') return;
    const admin = new Couch(own.url, { auth: [own.username, own.password] });
    await soon(admin.config('chttpd_auth_lockout', { mode: 'enforce', max_lifetime: 4000 }));
    await soon(admin.users.create('ada', 'right'));
    const db = await soon(admin.create('db'));
    await soon(db.upkeep.security({ members: { names: ['ada'] } }));
    // CouchDB reads these settings when it starts.
    await own.restart?.();
    const errors: unknown[] = [];
    for (let i = 0; i < 7; i++)
      errors.push(await failure(new Couch(own.url, { auth: user(`wrong${i}`) }).session()));
    expect(errors.some(isAccountLocked)).toBe(true);
    const auth: Auth = { session: user('right') };
    const feed = new Couch(own.url, { auth })
      .use('db')
      .changes$({ since: 0, latency: 0, backoff: { maxDelay: 200 } });
    const states: string[] = [];
    cleanUps.push(() => watching.unsubscribe());
    const watching = feed.state$.subscribe((state) => {
      states.push(state.status === 'waiting' ? state.error.name : state.status);
    });
    const first = soon(feed.pipe(take(1)));
    await soon(db.save({ _id: 'a' }));
    expect((await first).changes[0]?.id).toBe('a');
    expect(states).toContain('AccountLocked');
  });
});

describe('a wrong password', () => {
  const urlOf = (guard: Guard): string => guard.stub.url.replace('//', '//ada:wrong@');
  const kinds: readonly (readonly [string, (guard: Guard) => Couch])[] = [
    ['fixed credentials', ({ stub }) => new Couch(stub.url, { auth: user('wrong') })],
    ['credentials of the URL', (guard) => new Couch(urlOf(guard))],
    ['a function', ({ stub }) => new Couch(stub.url, { auth: () => user('wrong') })],
    ['a Promise', ({ stub }) => new Couch(stub.url, { auth: Promise.resolve(user('wrong')) })],
    ['an Observable', ({ stub }) => new Couch(stub.url, { auth: of(user('wrong')) })],
    ['a session', ({ stub }) => new Couch(stub.url, { auth: { session: user('wrong') } })],
    [
      'a session of a function',
      ({ stub }) => new Couch(stub.url, { auth: () => ({ session: user('wrong') }) }),
    ],
  ];

  it.each(kinds)('of %s is sent once for nine concurrent requests', async (_, create) => {
    const guard = await startGuard();
    const errors = await nine(create(guard));
    expect(errors.map((error) => error instanceof Unauthorized)).toEqual(Array(9).fill(true));
    expect(guard.failures).toBe(1);
  });

  it.each(kinds)(
    'of %s is sent at most four times, however often it is used',
    async (_, create) => {
      const guard = await startGuard();
      const couch = create(guard);
      for (let i = 0; i < 8; i++)
        expect(await failure(couch.version())).toBeInstanceOf(Unauthorized);
      await nine(couch);
      expect(guard.failures).toBeLessThanOrEqual(4);
    },
  );

  it.each(kinds)(
    'of %s is sent at most four times by feeds and live queries',
    async (_, create) => {
      const guard = await startGuard();
      const couch = create(guard);
      const db = couch.use('db');
      const options = { heartbeat: 1000, backoff: { maxDelay: 10 } };
      const sources: Observable<unknown>[] = [
        db.changes$(options),
        db.changes$({ ...options, feed: 'longpoll' }),
        db.doc$('a'),
        db.docs$(['a', 'b']),
        db.find$({ selector: {} }),
        db.allDocs$(),
        db.consume(() => undefined, { name: 'c', ...options }),
        couch.session$.pipe(filter(({ name }) => name === 'ada')),
      ];
      const subscriptions = sources.map((source) => source.subscribe({ error: () => {} }));
      await pause(700);
      for (const subscription of subscriptions) subscription.unsubscribe();
      expect(guard.failures).toBeGreaterThan(0);
      expect(guard.failures).toBeLessThanOrEqual(4);
    },
  );

  it('is not sent again after it was correct before', async () => {
    const guard = await startGuard();
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    await soon(couch.version());
    guard.answer = () => ({ status: 401, body: { error: 'unauthorized', reason: WRONG } });
    for (let i = 0; i < 8; i++) expect(await failure(couch.version())).toBeInstanceOf(Unauthorized);
    expect(guard.stub.requests).toHaveLength(5);
  });

  it('is replaced by other credentials at once', async () => {
    const guard = await startGuard();
    const passwords = ['wrong', 'right'];
    const auth = (): Auth & object => user(passwords.shift() ?? 'right');
    const couch = new Couch(guard.stub.url, { auth: auth as () => ReturnType<typeof user> });
    const versions = Array.from({ length: 9 }, () => soon(couch.version()));
    expect(await Promise.all(versions)).toEqual(Array(9).fill('3.5.0'));
    expect(guard.failures).toBe(1);
  });

  it('is not assumed after another 401, which CouchDB also sends to users without a right', async () => {
    const guard = await startGuard();
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    const reason = 'You are not a server admin.';
    guard.answer = () => ({ status: 401, body: { error: 'unauthorized', reason } });
    for (let i = 0; i < 8; i++) expect(await failure(couch.version())).toBeInstanceOf(Unauthorized);
    expect(guard.stub.requests).toHaveLength(8);
  });

  it('of a changed password fails at most twice while CouchDB caches the former one', async () => {
    const guard = await startGuard();
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    await soon(couch.version());
    guard.answer = ({ method, url }) => {
      if (url.startsWith('/_users') && method === 'PUT')
        return { status: 201, body: { id: 'org.couchdb.user:ada', rev: '2-a' } };
      return url.startsWith('/_users')
        ? {
            status: 200,
            body: { _id: 'org.couchdb.user:ada', _rev: '1-a', name: 'ada', roles: [] },
          }
        : null;
    };
    setTimeout(() => {
      guard.password = 'other';
    }, 1500);
    await soon(couch.users.changePassword('ada', 'other'));
    expect(guard.failures).toBe(2);
    expect(await soon(couch.version())).toBe('3.5.0');
  });
});

describe('a correct password', () => {
  it('does not wait for a slow first request', async () => {
    const guard = await startGuard();
    guard.delay = (url) => (url === '/_all_dbs' ? 3000 : 0);
    guard.answer = ({ url }) => (url === '/_all_dbs' ? { status: 200, body: [] } : null);
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    const slow = couch.allDbs().subscribe();
    cleanUps.push(() => slow.unsubscribe());
    const begin = performance.now();
    expect(await soon(couch.version())).toBe('3.5.0');
    expect(performance.now() - begin).toBeLessThan(2000);
  });

  it('is sent by the next request if the first one is cancelled', async () => {
    const guard = await startGuard();
    guard.delay = (url) => (url === '/_all_dbs' ? 3000 : 0);
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    const first = couch.allDbs().subscribe();
    const version = soon(couch.version());
    first.unsubscribe();
    expect(await version).toBe('3.5.0');
  });
});

describe('the identity of a database', () => {
  it.each<[string, (count: number) => string | undefined]>([
    ['alternates between 0 and a time', (count) => (count % 2 === 0 ? '0' : '1700000000')],
    ['is missing now and then', (count) => (count % 2 === 0 ? undefined : '1700000000')],
  ])('is the same if its time %s', async (_, instance) => {
    const guard = await startGuard();
    let count = 0;
    guard.instance = () => instance((count += 1));
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    const consumed = couch.use('db').consume(() => undefined, {
      name: 'c',
      checkpoint: memoryCheckpoint('0'),
      heartbeat: 100,
    });
    const errors: unknown[] = [];
    const subscription = consumed.subscribe({ error: (error: unknown) => errors.push(error) });
    cleanUps.push(() => subscription.unsubscribe());
    const isAskedOften = (): boolean => count > 5 || errors.length > 0;
    while (!isAskedOften()) await new Promise(setImmediate);
    expect(errors).toEqual([]);
  });

  it('has changed if two known times differ, also with an unknown one between', async () => {
    const guard = await startGuard();
    const times = ['1700000000', '0', '1800000000'];
    guard.instance = () => times.shift() ?? '1800000000';
    const couch = new Couch(guard.stub.url, { auth: user('right') });
    const consumed = couch.use('db').consume(() => undefined, {
      name: 'c',
      checkpoint: memoryCheckpoint('0'),
      heartbeat: 100,
    });
    expect(await failure(consumed.pipe(toArray()))).toMatchObject({ name: 'DatabaseReplaced' });
  });
});
