import { describe, expect, it } from '@jest/globals';
import { marbleTests, memoryServer, status } from 'corduroy/testing';
import type { MarbleHelpers, MarbleServer, MemoryServer } from 'corduroy/testing';
import type { CorduroyError } from 'corduroy';
import { catchError, map, of, takeUntil, timer } from 'rxjs';
import type { Observable } from 'rxjs';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

/** The failures are the same on both servers: each test runs on a scripted one and on one with documents. */
type Server = MarbleServer | MemoryServer;
const order = { _id: 'a', _rev: '1-a', total: 3 };
const servers: Record<string, (helpers: MarbleHelpers) => Server> = {
  'a marble server': ({ server, cold }) => {
    server.on('GET /orders/:id', cold('--o', { o: order }));
    server.feed('orders', cold('----o', { o: order }));
    return server;
  },
  'an in-memory server': ({ cold }) => {
    const server = memoryServer({ latency: 2, databases: { orders: [order] } });
    cold('40ms w').subscribe(() => server.couch().use('orders').save({ _id: 'b' }).subscribe());
    return server;
  },
};

const nameOf = (source: Observable<unknown>): Observable<unknown> =>
  source.pipe(
    map(() => 'value'),
    catchError((error: CorduroyError) => of(error.name)),
  );

describe.each(Object.entries(servers))('the failures of %s', (kind, make) => {
  const get = (server: Server): Observable<unknown> => server.couch().use('orders').get('a');

  it(
    'answer one request of a route in another way',
    marbles((helpers) => {
      const server = make(helpers);
      server.once('GET /orders/:id', status(503));
      const at = kind === 'a marble server' ? '' : '--';
      helpers.expectObservable(nameOf(get(server))).toBe(`${at}(e|)`, { e: 'ServerError' });
      helpers.expectObservable(nameOf(get(server)), '---^').toBe('-----(v|)', { v: 'value' });
    }),
  );

  it(
    'cut what waits for an answer, and feeds, which reconnect',
    marbles((helpers) => {
      const server = make(helpers);
      helpers.cold('-x').subscribe(() => server.cut('orders'));
      helpers.expectObservable(nameOf(get(server))).toBe('-(e|)', { e: 'ConnectionError' });
      helpers.expectObservable(nameOf(get(server)), '--^').toBe('----(v|)', { v: 'value' });
    }),
  );

  it(
    'cut the exchanges of one database alone',
    marbles((helpers) => {
      const server = make(helpers);
      helpers.cold('-x').subscribe(() => server.cut('events'));
      helpers.expectObservable(nameOf(get(server))).toBe('--(v|)', { v: 'value' });
    }),
  );

  it(
    'silence what is open, and answer later requests',
    marbles((helpers) => {
      const server = make(helpers);
      helpers.cold('-x').subscribe(() => server.silence());
      helpers.expectObservable(nameOf(get(server)), '50ms !').toBe('-');
      helpers.expectObservable(nameOf(get(server)), '--^').toBe('----(v|)', { v: 'value' });
    }),
  );

  it(
    'lock an account for requests with credentials, until it is unlocked',
    marbles((helpers) => {
      const server = make(helpers);
      const login = { auth: { username: 'ann', password: 'secret' } } as const;
      const withLogin = server.couch(login).use('orders').get('a');
      server.lockAccount();
      helpers.cold('-----x').subscribe(() => server.lockAccount(false));
      const at = kind === 'a marble server' ? '' : '--';
      helpers.expectObservable(nameOf(withLogin)).toBe(`${at}(e|)`, { e: 'AccountLocked' });
      helpers.expectObservable(nameOf(get(server))).toBe('--(v|)', { v: 'value' });
      helpers.expectObservable(nameOf(withLogin), '------^').toBe('--------(v|)', { v: 'value' });
    }),
  );

  it(
    'refuse connections while the server is offline, and break those that are open',
    marbles((helpers) => {
      const server = make(helpers);
      const { hot, expectObservable } = helpers;
      hot('-t---f', { t: true, f: false }).subscribe(server.offline$);
      expectObservable(nameOf(get(server))).toBe('-(e|)', { e: 'ConnectionError' });
      expectObservable(nameOf(get(server)), '--^').toBe('--(e|)', { e: 'ConnectionError' });
      expectObservable(nameOf(get(server)), '------^').toBe('--------(v|)', { v: 'value' });
    }),
  );

  it(
    'let a feed continue after an outage, without a lost change',
    marbles((helpers) => {
      const server = make(helpers);
      const { hot, expectObservable } = helpers;
      hot('--t---f', { t: true, f: false }).subscribe(server.offline$);
      const feed$ = server.couch().use('orders').changes$({ latency: 0, since: 0 });
      const seen: string[] = [];
      feed$
        .pipe(takeUntil(timer(5000)))
        .subscribe(({ changes }) => seen.push(...changes.map(({ id }) => id)));
      const last = kind === 'a marble server' ? ['a'] : ['a', 'b'];
      expectObservable(timer(6000).pipe(map(() => seen))).toBe('6s (s|)', { s: last });
    }),
  );

  it(
    'replace a database, which ends its feeds',
    marbles((helpers) => {
      const server = make(helpers);
      const { cold, expectObservable } = helpers;
      cold('10ms x').subscribe(() => server.replaceDatabase('orders'));
      const feed$ = server.couch().use('orders').changes$({ latency: 0 });
      const seen: unknown[] = [];
      nameOf(feed$).subscribe((name) => seen.push(name));
      const end$ = timer(20_000).pipe(map(() => seen.at(-1)));
      expectObservable(end$).toBe('20s (n|)', { n: 'DatabaseReplaced' });
    }),
  );

  it(
    'list the requests',
    marbles((helpers) => {
      const server = make(helpers);
      get(server).subscribe();
      helpers.cold('-----x').subscribe(() => {
        expect(server.requestLines).toContain('GET /orders/a');
        expect(server.requests).toContainEqual({
          method: 'GET',
          path: '/orders/a',
          query: {},
          body: null,
        });
      });
    }),
  );
});

describe('the testing kit', () => {
  it('refuses a marble test that returns a promise', () => {
    const test = marbles(() => Promise.resolve() as unknown as undefined);
    expect(test).toThrow(/the test returns a promise, and virtual time does not wait for it/);
  });

  it(
    'refuses a scripted feed of a database that the in-memory server behind it has',
    marbles(({ server, cold }) => {
      const memory = memoryServer({ databases: { orders: [] } });
      server.otherwise(memory);
      expect(() => server.feed('orders', cold('-'))).toThrow(/whose writes this feed would hide/);
      server.feed('events', cold('-'));
      const other = memoryServer({ databases: { events: [] } });
      expect(() => server.otherwise(other)).toThrow(/whose writes this feed would hide/);
    }),
  );

  it(
    'refuses to replace a database that is not there',
    marbles(({ server }) => {
      expect(() => server.replaceDatabase('orders')).toThrow('there is no feed of "orders"');
      expect(() => memoryServer().replaceDatabase('orders')).toThrow(
        'there is no database "orders"',
      );
    }),
  );

  it('records subscriptions in marble tests alone', () => {
    const route = memoryServer().on('GET /orders', {});
    expect(() => route.subscriptions).toThrow(/only a marble test records subscriptions/);
  });
});
