import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch, Unauthorized, fetchTransport, gotTransport, isUnauthorized } from 'corduroy';
import type { Auth, Credentials, FeedState, Session } from 'corduroy';
import { createHmac } from 'node:crypto';
import {
  BehaviorSubject,
  Subject,
  filter,
  firstValueFrom,
  forkJoin,
  take,
  timeout,
  toArray,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { type FaultyProxy, type SeenRequest, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { basicAuth, type RunningServer } from './helpers/running-server.ts';
import { createDatabase, needs, rawFetch, server, uniqueName } from './helpers/server.ts';
import { startIsolatedServer } from './helpers/servers.ts';

jest.setTimeout(30_000);

const TIMEOUT = 10_000;
const admin = { username: server.username, password: server.password };
const asAdmin = new Couch(server.url, { auth: admin });
const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: TIMEOUT })));
const failure = (source: Observable<unknown>): Promise<unknown> =>
  soon(source).then(
    (value) => ({ unexpected: value }),
    (error: unknown) => error,
  );

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

async function proxied(url = server.url): Promise<FaultyProxy> {
  const proxy = await startFaultyProxy(url);
  cleanUps.push(() => proxy.close());
  return proxy;
}

/** Creates a user with a password, and deletes it at the end. */
async function newUser(roles: string[] = []): Promise<{ username: string; password: string }> {
  const user = { username: uniqueName('user'), password: `pw/${uniqueName()}` };
  await soon(asAdmin.users.create(user.username, user.password, { roles }));
  cleanUps.push(() => soon(asAdmin.users.delete(user.username)));
  return user;
}

const logins = (proxy: FaultyProxy): SeenRequest[] =>
  proxy.requests.filter(({ method, url }) => method === 'POST' && url === '/_session');
const isContinuous = ({ url }: SeenRequest): boolean => url.includes('feed=continuous');

describe.each([
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
])('a cookie session over %s', (_, transport) => {
  it('logs in once for ten requests, which carry only its cookie', async () => {
    const proxy = await proxied();
    const couch = new Couch(proxy.url, { auth: { session: admin }, transport: transport() });
    const all = await soon(forkJoin(Array.from({ length: 10 }, () => couch.session())));
    expect(all).toHaveLength(10);
    expect(all[0]).toEqual({ name: 'admin', roles: ['_admin'], authenticated: 'cookie' });
    expect(logins(proxy)).toHaveLength(1);
    const [login, ...asked] = proxy.requests;
    expect(login?.headers['authorization']).toBeUndefined();
    expect(JSON.parse(login?.body ?? '')).toEqual({ name: 'admin', password: server.password });
    expect(asked).toHaveLength(10);
    for (const { headers } of asked) {
      expect(headers['cookie']).toMatch(/^AuthSession=./);
      expect(headers['authorization']).toBeUndefined();
    }
  });

  it('reads and writes as its user', async () => {
    const user = await newUser(['staff']);
    const name = await createDatabase();
    await soon(asAdmin.use(name).upkeep.grant({ members: { roles: ['staff'] } }));
    const couch = new Couch(server.url, { auth: { session: user }, transport: transport() });
    await soon(couch.use(name).save({ _id: 'a', n: 1 }));
    expect(await soon(couch.use(name).get('a'))).toMatchObject({ n: 1 });
    expect(await soon(couch.session())).toMatchObject({ name: user.username, roles: ['staff'] });
  });

  it('does not retry a wrong password', async () => {
    const proxy = await proxied();
    const user = await newUser();
    const auth = { session: { ...user, password: 'wrong' } };
    const couch = new Couch(proxy.url, { auth, transport: transport() });
    for (let i = 0; i < 10; i++) expect(isUnauthorized(await failure(couch.session()))).toBe(true);
    expect(logins(proxy)).toHaveLength(1);
    expect(proxy.requests).toHaveLength(1);
    // So the account is not locked.
    expect(await soon(new Couch(server.url, { auth: user }).session())).toMatchObject({
      name: user.username,
    });
  });

  it('logs in again after a 401, and retries the request once', async () => {
    const proxy = await proxied();
    const auth = { session: admin, loginInterval: 0 };
    const couch = new Couch(proxy.url, { auth, transport: transport() });
    await soon(couch.session());
    const body = '{"error":"unauthorized","reason":"expired"}';
    proxy.answer({ status: 401, body, times: 1, match: ({ url }) => url === '/_all_dbs' });
    expect(await soon(couch.allDbs())).toContain('_users');
    expect(logins(proxy)).toHaveLength(2);
    proxy.answer({ status: 401, body, match: ({ url }) => url === '/_all_dbs' });
    expect(await failure(couch.allDbs())).toMatchObject({
      name: 'Unauthorized',
      reason: 'expired',
    });
    expect(logins(proxy)).toHaveLength(3);
    expect(proxy.requests.filter(({ url }) => url === '/_all_dbs')).toHaveLength(4);
  });

  it('does not retry an upload that can be read only once', async () => {
    const proxy = await proxied();
    const name = await createDatabase();
    const auth = { session: admin, loginInterval: 0 };
    const db = new Couch(proxy.url, { auth, transport: transport() }).use(name);
    await soon(db.info());
    proxy.answer({ status: 401, body: '{}', times: 1, match: ({ method }) => method === 'PUT' });
    async function* content(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array([1, 2, 3]);
    }
    const doc = { _id: 'a' };
    expect(await failure(db.putAttachment(doc, content(), 'f'))).toBeInstanceOf(Unauthorized);
    expect(proxy.requests.filter(({ method }) => method === 'PUT')).toHaveLength(1);
  });
});

describe('login and logout', () => {
  it('replace the credentials of later requests', async () => {
    const user = await newUser();
    const couch = new Couch(server.url);
    expect(await soon(couch.session())).toEqual({ name: null, roles: [], authenticated: null });
    expect(await soon(couch.login(user.username, user.password))).toEqual({
      name: user.username,
      roles: [],
      authenticated: 'cookie',
    });
    expect(await soon(couch.session())).toMatchObject({ name: user.username });
    expect(await soon(couch.logout())).toEqual({ ok: true });
    expect(await soon(couch.session())).toMatchObject({ name: null });
  });

  it('change nothing if the password is wrong', async () => {
    const user = await newUser();
    const couch = new Couch(server.url, { auth: admin });
    const wrong = await failure(couch.login(user.username, 'wrong'));
    expect(wrong).toBeInstanceOf(Unauthorized);
    expect(await soon(couch.session())).toMatchObject({ name: 'admin' });
    expect(await soon(couch.login(user.username, 'wrong').status())).toMatchObject({
      ok: false,
      code: 401,
    });
  });

  it('are emitted by session$, to late subscribers too', async () => {
    const user = await newUser();
    const couch = new Couch(server.url);
    const told: (string | null)[] = [];
    const seen$ = new Subject<Session>();
    const subscription = couch.session$.subscribe((session) => {
      told.push(session.name);
      seen$.next(session);
    });
    cleanUps.push(() => subscription.unsubscribe());
    const until = (name: string | null): Promise<Session> =>
      soon(seen$.pipe(filter((session) => session.name === name)));
    await until(null);
    const loggedIn = until(user.username);
    await soon(couch.login(user.username, user.password));
    await loggedIn;
    expect(await soon(couch.session$)).toMatchObject({ name: user.username });
    const loggedOut = until(null);
    await soon(couch.logout());
    await loggedOut;
    expect(told).toEqual([null, user.username, null]);
  });

  it('reconnect a feed, which waits while it is refused, and loses no change', async () => {
    const name = await createDatabase();
    const [one, other] = [await newUser(['staff']), await newUser(['staff'])];
    await soon(asAdmin.use(name).upkeep.grant({ members: { roles: ['staff'] } }));
    const proxy = await proxied();
    const couch = new Couch(proxy.url);
    await soon(couch.login(one.username, one.password));
    const feed = couch.use(name).changes$({ since: 0, latency: 0, heartbeat: 1000 });
    const ids: string[] = [];
    const came$ = new Subject<string>();
    const subscription = feed.subscribe({
      next: ({ changes }) => changes.forEach(({ id }) => (ids.push(id), came$.next(id))),
      error: (error) => came$.error(error),
    });
    cleanUps.push(() => subscription.unsubscribe());
    const write = async (id: string): Promise<void> => {
      const came = soon(came$.pipe(filter((seen) => seen === id)));
      await rawFetch(`/${name}/${id}`, { method: 'PUT', body: {} });
      await came;
    };
    await write('a');
    await soon(couch.login(other.username, other.password));
    await write('b');
    const waiting = soon(feed.state$.pipe(filter(({ status }) => status === 'waiting')));
    await soon(couch.logout());
    expect(await waiting).toMatchObject({ delay: Infinity, error: { name: 'Unauthorized' } });
    await rawFetch(`/${name}/c`, { method: 'PUT', body: {} });
    const came = soon(came$);
    await soon(couch.login(one.username, one.password));
    expect(await came).toBe('c');
    await write('d');
    expect(ids).toEqual(['a', 'b', 'c', 'd']);
    // A slow machine may take a stream for one that a proxy holds back, and open it again.
    const streams = proxy.requests.filter(isContinuous).length;
    expect(streams).toBeGreaterThanOrEqual(4);
    expect(streams).toBeLessThanOrEqual(6);
  });
});

describe('a feed in a cookie session', () => {
  it('logs in again after a 401, and resumes after the last change', async () => {
    const name = await createDatabase();
    const proxy = await proxied();
    const couch = new Couch(proxy.url, { auth: { session: admin, loginInterval: 0 } });
    const feed = couch.use(name).changes$({
      since: 0,
      latency: 0,
      heartbeat: 1000,
      backoff: { initialDelay: 1 },
    });
    const states: FeedState['status'][] = [];
    feed.state$.subscribe(({ status }) => states.push(status));
    const three = soon(feed.pipe(take(3), toArray()));
    const isLive = filter(({ status }: FeedState) => status === 'live');
    await soon(feed.state$.pipe(isLive));
    await rawFetch(`/${name}/a`, { method: 'PUT', body: {} });
    await soon(feed);
    proxy.answer({ status: 401, body: '{}', times: 1, match: isContinuous });
    const loggedIn = proxy.nextRequest(({ url }) => url === '/_session');
    proxy.cut(isContinuous);
    await rawFetch(`/${name}/b`, { method: 'PUT', body: {} });
    await loggedIn;
    await rawFetch(`/${name}/c`, { method: 'PUT', body: {} });
    const ids = (await three).flatMap(({ changes }) => changes.map(({ id }) => id));
    expect(ids).toEqual(['a', 'b', 'c']);
    expect(logins(proxy)).toHaveLength(2);
    expect(states).not.toContain('failed');
  });

  it('errors if its name and password are no longer valid', async () => {
    const user = await newUser();
    const name = await createDatabase();
    await soon(asAdmin.use(name).upkeep.grant({ members: { names: [user.username] } }));
    const proxy = await proxied();
    const auth = { session: user, loginInterval: 0 };
    const feed = new Couch(proxy.url, { auth })
      .use(name)
      .changes$({ heartbeat: 1000, backoff: { initialDelay: 1 } });
    const failed = failure(feed);
    await soon(feed.state$.pipe(filter(({ status }) => status === 'live')));
    await soon(asAdmin.users.changePassword(user.username, 'another'));
    proxy.answer({ status: 401, body: '{}', match: isContinuous });
    proxy.cut(isContinuous);
    // The error is that of the login; on a slow machine, it may be that of a poll beside it.
    expect(await failed).toMatchObject({ name: 'Unauthorized' });
    expect(logins(proxy)).toHaveLength(2);
  });

  needs('process')('survives a new secret of the server', async () => {
    const own = await startIsolatedServer();
    cleanUps.push(() => own.stop());
    const { username, password } = own;
    const manager = new Couch(own.url, { auth: [username, password] });
    const auth = { session: { username, password }, loginInterval: 0 };
    const couch = new Couch(own.url, { auth });
    const db = await soon(couch.create('kept'));
    const proxy = await proxied(own.url);
    const feed = new Couch(proxy.url, { auth })
      .use('kept')
      .changes$({ since: 0, latency: 0, heartbeat: 1000, backoff: { initialDelay: 1 } });
    const two = soon(feed.pipe(take(2), toArray()));
    await soon(feed.state$.pipe(filter(({ status }) => status === 'live')));
    await soon(db.save({ _id: 'a' }));
    await soon(manager.config('chttpd_auth/secret', 'another-secret'));
    proxy.cut(isContinuous);
    await soon(db.save({ _id: 'b' }));
    expect((await two).flatMap(({ changes }) => changes.map(({ id }) => id))).toEqual(['a', 'b']);
    expect(logins(proxy)).toHaveLength(2);
  });
});

describe('credentials that change', () => {
  const wrong: Credentials = ['admin', 'wrong'];

  it('are read from a function, and again after a 401', async () => {
    const given: Credentials[] = [wrong, admin];
    let asked = 0;
    const couch = new Couch(server.url, { auth: () => Promise.resolve(given[asked++] ?? null) });
    expect(await soon(couch.session())).toMatchObject({ name: 'admin' });
    expect(await soon(couch.allDbs())).toContain('_users');
    expect(asked).toBe(2);
  });

  it('are read from a Promise, which delays every request', async () => {
    const form = new Subject<Credentials>();
    const auth = firstValueFrom(form);
    const couch = new Couch(server.url, { auth });
    const both = soon(forkJoin([couch.session(), couch.allDbs()]));
    form.next(admin);
    expect((await both)[0]).toMatchObject({ name: 'admin', authenticated: 'default' });
  });

  it('are read from an Observable, such as that of a login form', async () => {
    const form = new BehaviorSubject<Credentials | null>(null);
    const couch = new Couch(server.url, { auth: form });
    expect(await soon(couch.session())).toMatchObject({ name: null });
    const sessions = soon(couch.session$.pipe(take(3), toArray()));
    await soon(couch.session$);
    form.next({ session: admin });
    await soon(couch.session$.pipe(filter(({ name }) => name === 'admin')));
    form.next(null);
    expect((await sessions).map(({ name }) => name)).toEqual([null, 'admin', null]);
  });

  it('fail with the error of their function', async () => {
    const auth: Auth = () => Promise.reject(new RangeError('no token today'));
    expect(await failure(new Couch(server.url, { auth }).session())).toEqual(
      new RangeError('no token today'),
    );
  });

  it('are sent with a replication, with their value at that time', async () => {
    const [source, target] = [await createDatabase(), await createDatabase()];
    await rawFetch(`/${source}/a`, { method: 'PUT', body: {} });
    const form = new BehaviorSubject<Credentials>(wrong);
    const couch = new Couch(server.url, { auth: form });
    const replication = couch.replicate(source, target);
    form.next({ session: admin });
    expect(await soon(replication)).toMatchObject({ ok: true });
    expect(await soon(couch.use(target).get('a'))).toMatchObject({ _id: 'a' });
  });
});

describe('the word of a trusted third party', () => {
  needs('proxy-authentication')(
    'authenticates a user: a proxy with the secret, and a JWT',
    async () => {
      const own = await startIsolatedServer();
      cleanUps.push(() => own.stop());
      const manager = new Couch(own.url, { auth: [own.username, own.password] });
      const key = 'a key of thirty-two bytes and more';
      const handlers = ['proxy', 'jwt', 'cookie', 'default']
        .map((name) => `{chttpd_auth, ${name}_authentication_handler}`)
        .join(', ');
      await soon(manager.config('chttpd_auth', { secret: 'shared', proxy_use_secret: true }));
      await soon(manager.config('jwt_keys/hmac:_default', btoa(key)));
      await soon(manager.config('chttpd/authentication_handlers', handlers));
      // CouchDB reads its handlers when it starts.
      await own.restart?.();
      const whoIs = (auth: Auth): Promise<Session> => soon(new Couch(own.url, { auth }).session());
      const proxy = { username: 'ada', roles: ['staff', 'night'] };
      expect(await whoIs({ proxy: { ...proxy, secret: 'shared' } })).toEqual({
        name: 'ada',
        roles: ['staff', 'night'],
        authenticated: 'proxy',
      });
      expect(await whoIs({ proxy: { ...proxy, secret: 'other' } })).toMatchObject({ name: null });
      const part = (value: object): string =>
        Buffer.from(JSON.stringify(value)).toString('base64url');
      const tokenUntil = (exp: number): string => {
        const claims = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'bob', exp })}`;
        return `${claims}.${createHmac('sha256', key).update(claims).digest('base64url')}`;
      };
      const now = Math.floor(Date.now() / 1000);
      const token = tokenUntil(now + 600);
      expect(await whoIs({ bearer: token })).toMatchObject({ name: 'bob', authenticated: 'jwt' });
      // The next result of the function replaces an expired token.
      const tokens = [tokenUntil(now - 600), token];
      const auth: Auth = () => ({ bearer: tokens.shift() ?? '' });
      expect(await whoIs(auth)).toMatchObject({ name: 'bob' });
    },
  );
});

describe('users', () => {
  it('are created, read, listed, given roles and another password, and deleted', async () => {
    const { users } = asAdmin;
    const name = uniqueName('user');
    const created = await soon(
      users.create(name, 'first', { roles: ['a'], fields: { shift: 'night' } }),
    );
    expect(created).toMatchObject({
      _id: `org.couchdb.user:${name}`,
      _rev: expect.stringMatching(/^1-/),
      name,
      roles: ['a'],
      type: 'user',
      shift: 'night',
      salt: expect.any(String),
    });
    expect(created).not.toHaveProperty('password');
    expect(await failure(users.create(name, 'first'))).toMatchObject({ name: 'Conflict' });
    expect(await soon(users.setRoles(name, ['b', 'c']))).toMatchObject({ roles: ['b', 'c'] });
    expect(await soon(users.get(name))).toMatchObject({ roles: ['b', 'c'], shift: 'night' });
    expect((await soon(users.list())).map((user) => user.name)).toContain(name);
    await soon(users.changePassword(name, 'second'));
    const whoIs = (password: string): Observable<Session> =>
      new Couch(server.url, { auth: [name, password] }).session();
    expect(await failure(whoIs('first'))).toBeInstanceOf(Unauthorized);
    expect(await soon(whoIs('second'))).toMatchObject({ name, roles: ['b', 'c'] });
    expect(await soon(users.delete(name))).toBe(true);
    expect(await failure(users.get(name))).toMatchObject({ name: 'NotFound' });
    expect(await failure(users.changePassword(name, 'x'))).toMatchObject({ name: 'NotFound' });
  });

  it('are changed by ten concurrent writes', async () => {
    const { username } = await newUser();
    const changes = Array.from({ length: 10 }, (_, i) =>
      asAdmin.users.setRoles(username, [`${i}`]),
    );
    expect(await soon(forkJoin(changes))).toHaveLength(10);
    expect((await soon(asAdmin.users.get(username)))._rev).toMatch(/^11-/);
  });

  /**
   * Waits until CouchDB's cache of users follows `_users`: it begins up to five seconds after that
   * database was created, and until then a changed password does not count.
   */
  async function untilPasswordsChange({ url, username, password }: RunningServer): Promise<void> {
    const asManager = {
      authorization: basicAuth(username, password),
      'content-type': 'application/json',
    };
    for (const deadline = Date.now() + 20_000; ;) {
      // A new user each time, because failed logins lock an account.
      const name = uniqueName('probe');
      const path = `${url}/_users/org.couchdb.user:${name}`;
      const status = async (secret: string): Promise<number> => {
        const headers = { authorization: basicAuth(name, secret) };
        const response = await fetch(`${url}/_session`, { headers });
        await response.text();
        return response.status;
      };
      const write = async (rev: string, secret: string): Promise<string> => {
        const body = JSON.stringify({ name, roles: [], type: 'user', password: secret });
        const response = await fetch(path + rev, { method: 'PUT', headers: asManager, body });
        return ((await response.json()) as { readonly rev: string }).rev;
      };
      const rev = await write('', 'before');
      expect(await status('before')).toBe(200);
      await write(`?rev=${rev}`, 'after');
      for (let attempt = 0; attempt < 3; attempt += 1) {
        if ((await status('after')) === 200) return;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      if (Date.now() > deadline) throw new Error('A changed password did not count in 20 s');
    }
  }

  needs('process')('stay logged in after a change of their own password', async () => {
    const own = await startIsolatedServer();
    cleanUps.push(() => own.stop());
    const manager = new Couch(own.url, { auth: [own.username, own.password] });
    await soon(manager.create('_users').status());
    // By default CouchDB 3 shows users other than administrators not even their own document.
    await soon(manager.config('couchdb/users_db_security_editable', true));
    await soon(manager.users.db.upkeep.security({ members: { roles: [] }, admins: { roles: [] } }));
    await untilPasswordsChange(own);
    const password = 'first';
    for (const username of ['ada', 'bob']) {
      await soon(manager.users.create(username, password));
      const user = { username, password };
      const couch = new Couch(own.url, { auth: username === 'ada' ? user : { session: user } });
      await soon(couch.session());
      await soon(couch.users.changePassword(username, 'second'));
      expect(await soon(couch.session())).toMatchObject({ name: username });
    }
  });
});

describe('the rights of a database', () => {
  it('are granted and revoked, without a change to other rights', async () => {
    const db = asAdmin.use(await createDatabase());
    await soon(
      db.upkeep.security({ admins: { names: ['eve'] }, members: { roles: ['a'] }, note: 1 }),
    );
    const many = Array.from({ length: 10 }, (_, i) =>
      db.upkeep.grant({ members: { names: [`u${i}`] } }),
    );
    await soon(forkJoin(many));
    await soon(
      db.upkeep.grant({ members: { names: ['u0'], roles: ['b'] }, admins: { roles: ['boss'] } }),
    );
    const rights = await soon(db.upkeep.security());
    expect(rights).toMatchObject({
      admins: { names: ['eve'], roles: ['boss'] },
      members: { roles: ['a', 'b'] },
      note: 1,
    });
    expect([...(rights.members?.names ?? [])].sort()).toEqual(many.map((_, i) => `u${i}`));
    const left = await soon(
      db.upkeep.revoke({ members: { names: ['u1', 'nobody'], roles: ['a'] } }),
    );
    expect(left.members?.names).not.toContain('u1');
    expect(left.members?.roles).toEqual(['b']);
    expect(await soon(db.upkeep.security())).toEqual(left);
  });

  it('are written again if a concurrent write overwrote them', async () => {
    const proxy = await proxied();
    const name = await createDatabase();
    const other = asAdmin.use(name);
    const db = new Couch(proxy.url, { auth: admin }).use(name);
    const isWrite = ({ method }: SeenRequest): boolean => method === 'PUT';
    const wrote = proxy.nextRequest(isWrite);
    const granted = soon(db.upkeep.grant({ members: { names: ['ada'] } }));
    await wrote;
    // Between the write and the read that checks it.
    proxy.stall(({ method }) => method === 'GET');
    await proxy.nextRequest(({ method }) => method === 'GET');
    await soon(other.upkeep.security({ members: { names: ['bob'] } }));
    proxy.resume();
    expect((await granted).members?.names).toEqual(['bob', 'ada']);
    expect((await soon(other.upkeep.security())).members?.names).toEqual(['bob', 'ada']);
    expect(proxy.requests.filter(isWrite)).toHaveLength(2);
  });
});
