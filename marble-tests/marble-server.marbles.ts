import { describe, expect, it } from '@jest/globals';
import { catchError, map, mergeMap, of, retry, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { Couch, ProtocolError } from 'corduroy';
import type { CorduroyError, Document } from 'corduroy';
import { marbleServer, marbleTests, memoryServer, raw, status } from 'corduroy/testing';
import type { MarbleHelpers } from 'corduroy/testing';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

const one = { _id: 'one', _rev: '1-a', total: 3 };
const nameOf = <T>(source: Observable<T>): Observable<T | string> =>
  source.pipe(
    catchError((error: CorduroyError & { reason?: string }) =>
      of(`${error.name}: ${error.reason ?? error.message}`),
    ),
  );

/** Runs a test that must fail, and returns its error. */
function failureOf(test: (helpers: MarbleHelpers) => void): string {
  try {
    marbles(test)();
  } catch (error) {
    return String(error);
  }
  return 'no failure';
}

describe('a marble server', () => {
  it(
    'answers at the frame of the marble, with its value as JSON',
    marbles(({ server, couch, cold, expectObservable, expectSubscriptions }) => {
      const answer = cold('           --a|   ', { a: one });
      const route = server.on('GET /orders/:id', answer);
      expectObservable(couch.use('orders').get('one')).toBe('--(a|)', { a: one });
      expectSubscriptions(answer.subscriptions).toBe('       ^-!');
      expectSubscriptions(route.subscriptions).toBe('        ^-!');
    }),
  );

  it(
    'answers at once with a plain value, and with the result of a function of the request',
    marbles(({ server, couch, cold, expectObservable }) => {
      server.on('GET /orders/one', one);
      server.on('GET /orders/_design/:name', ({ name }, { query, nth }) =>
        cold('-d', { d: { _id: `_design/${name}`, _rev: '1-a', query, nth } }),
      );
      const db = couch.use('orders');
      expectObservable(db.get('one')).toBe('(a|)', { a: one });
      expectObservable(db.get('_design/all', { conflicts: true })).toBe('-(d|)', {
        d: { _id: '_design/all', _rev: '1-a', query: { conflicts: 'true' }, nth: 1 },
      });
    }),
  );

  it(
    'answers with a status, and the error of CouchDB or of the test',
    marbles(({ server, couch, cold, expectObservable }) => {
      const db = couch.use('orders');
      server.on('GET /orders/:id', status(404));
      server.on('PUT /orders/:id', cold('--c', { c: status(409, { error: 'conflict' }) }));
      server.on('GET /', status(503, undefined, { 'retry-after': '2' }));
      expectObservable(nameOf(db.get('one'))).toBe('(n|)', { n: 'NotFound: missing' });
      expectObservable(nameOf(db.save({ _id: 'one' }))).toBe('--(c|)', { c: 'Conflict: ' });
      expectObservable(
        couch
          .version()
          .status()
          .pipe(map(({ code, headers }) => [code, headers])),
      ).toBe('(s|)', { s: [503, { 'content-type': 'application/json', 'retry-after': '2' }] });
    }),
  );

  it(
    'breaks the connection at a #, and if the stream completes without a value',
    marbles(({ server, couch, cold, expectObservable }) => {
      server.on('GET /orders/:id', cold('--#', undefined, new Error('ECONNRESET')));
      server.on('GET /', cold('---|'));
      expectObservable(nameOf(couch.use('orders').get('one'))).toBe('--(e|)', {
        e: 'ConnectionError: GET http://couch.test/orders/one: no connection: ECONNRESET',
      });
      expectObservable(nameOf(couch.version())).toBe('---(e|)', {
        e:
          'ConnectionError: GET http://couch.test/: no connection: ' +
          'the connection closed before a response',
      });
    }),
  );

  it(
    'streams a raw body, complete or truncated',
    marbles(({ server, couch, cold, expectObservable }) => {
      const text = { a: '{"version":', b: '"3.5.0"}' };
      server.once('GET /', raw(cold('-a--b|', text)));
      server.once('GET /', raw(cold('-a--#', text, new Error('reset'))));
      server.once('GET /', raw('what?', { status: 502 }));
      const error = new ProtocolError('GET http://couch.test/: the answer ended early: reset');
      expectObservable(couch.version()).toBe('-----(v|)', { v: '3.5.0' });
      expectObservable(couch.version()).toBe('----#', undefined, error);
      expectObservable(nameOf(couch.version())).toBe('(e|)', { e: 'ServerError: what?' });
    }),
  );

  it(
    'law 2: records an unsubscribe, before the head and during the body',
    marbles(({ server, couch, cold, expectObservable, expectSubscriptions }) => {
      const late = cold('-------a', { a: one });
      const body = cold('--b------', { b: '{' });
      const heads = server.on('GET /orders/:id', late);
      const bodies = server.on('GET /', raw(body));
      expectObservable(couch.use('orders').get('one'), '-^--!').toBe('-----');
      expectObservable(couch.version(), '               ----^---!').toBe('-----');
      expectSubscriptions(late.subscriptions).toBe('    -^--!');
      expectSubscriptions(heads.subscriptions).toBe('   -^--!');
      expectSubscriptions(body.subscriptions).toBe('    ----^---!');
      expectSubscriptions(bodies.subscriptions).toBe('  ----^---!');
    }),
  );

  it(
    'law 1: emits each request at its frame, once per subscription',
    marbles(({ server, couch, cold, expectObservable }) => {
      const db = couch.use('orders');
      server.on('GET /orders/:id', one);
      const writes = server.on(
        'PUT /orders/:id',
        status(201, { ok: true, id: 'a/2 ü', rev: '1-b' }),
      );
      const work = cold('--g--p|', {
        g: db.get('one', { revs: true }),
        p: db.save({ _id: 'a/2 ü', n: 1 }),
      });
      expectObservable(
        work.pipe(
          mergeMap((operation: Observable<unknown>) => operation),
          map(() => 'x'),
        ),
      ).toBe('--x--x|');
      expectObservable(server.requests$).toBe('--g--p', {
        g: { method: 'GET', path: '/orders/one', query: { revs: 'true' }, body: null },
        p: { method: 'PUT', path: '/orders/a%2F2 ü', query: {}, body: { _id: 'a/2 ü', n: 1 } },
      });
      expectObservable(server.requestLines$).toBe('--g--p', {
        g: 'GET /orders/one?revs=true',
        p: 'PUT /orders/a%2F2 ü',
      });
      expectObservable(writes.requests$.pipe(map(({ method }) => method))).toBe('-----p', {
        p: 'PUT',
      });
    }),
  );

  it(
    'replays the requests of a frame to subscribers of that frame',
    marbles(({ server, couch, expectObservable }) => {
      server.on('GET /', { version: '3.5.0' });
      expectObservable(couch.version()).toBe('(v|)', { v: '3.5.0' });
      expectObservable(server.requestLines$).toBe('a', { a: 'GET /' });
      expectObservable(server.requestLines$, '-^').toBe('--');
    }),
  );

  it(
    'answers with once, in order, before on',
    marbles(({ server, couch, expectObservable }) => {
      server.once('GET /', status(503));
      server.once('GET /', status(500));
      server.on('GET /', { version: '3.5.0' });
      const version = couch.version().pipe(retry({ delay: () => timer(10) }));
      expectObservable(version).toBe('20ms (v|)', { v: '3.5.0' });
      expectObservable(server.requestLines$.pipe(map(() => 'r'))).toBe('r 9ms r 9ms r');
    }),
  );

  it(
    'answers with the last added route that matches method, path and query',
    marbles(({ server, couch, flush }) => {
      const asked: string[] = [];
      const answer =
        (label: string) =>
        (_: object, { path }: { readonly path: string }) => {
          asked.push(label);
          const _id = path.split('/').slice(2).join('/');
          return { _id, _rev: '1-a', rows: [], results: [], last_seq: '0' };
        };
      server.on('GET /*', answer('anything'));
      server.on('GET /orders/:id', answer('a document'));
      server.on('GET /orders/one', answer('one'));
      server.on('GET /orders/one?revs=true', answer('its revisions'));
      const db = couch.use('orders');
      const operations: readonly Observable<unknown>[] = [
        db.get('two'),
        db.get('one'),
        db.get('one', { revs: true }),
        db.get('_design/d'),
        db.view('_all_docs'),
        db.changes(),
        couch.use('a/b').get('one'),
      ];
      for (const operation of operations) operation.subscribe();
      flush();
      expect(asked).toEqual([
        'a document',
        'one',
        'its revisions',
        'anything',
        'anything',
        'anything',
        'anything',
      ]);
    }),
  );

  it('fails the test for a request without a route, and names the request and the routes', () => {
    const failure = failureOf(({ server, couch, hot, cold }) => {
      server.on('GET /orders/:id', cold('-a', { a: one }));
      server.feed('orders', hot('-'));
      // This code tolerates every error.
      couch
        .use('orders')
        .save({ _id: 'one' })
        .pipe(catchError(() => of(null)))
        .subscribe();
    });
    expect(failure).toBe(
      'Error: No route matches PUT /orders/one. This server answers:\n' +
        '  GET /orders/:id\n' +
        '  the feed of orders\n' +
        "Add server.on('PUT /orders/one', …).",
    );
    expect(failureOf(({ couch }) => couch.version().subscribe({ error: () => {} }))).toContain(
      'No route matches GET /. This server has no routes.',
    );
  });

  it('rejects an invalid route', () => {
    expect(marbles(({ server }) => server.on('orders/:id', one))).toThrow(
      `route must be a method and a path, for example 'GET /orders/:id' (received "orders/:id")`,
    );
  });

  it('throws for invalid arguments at the call', () => {
    expect(() => marbleTests(undefined as never)).toThrow(/assertDeepEqual must be a function/);
    expect(() => marbleTests(() => {}, { duration: -1 })).toThrow(RangeError);
    expect(() => marbleServer({} as never)).toThrow(/cold must be the helper of TestScheduler.run/);
    expect(() => status(42)).toThrow(RangeError);
    expect(() => memoryServer({ latency: -1 })).toThrow(RangeError);
    expect(() => memoryServer({ databases: { Orders: [] } })).toThrow(
      /The name of a database must begin/,
    );
    marbles(({ server }) => {
      expect(() => server.on('GET /orders', 1 as never)).toThrow(
        'GET /orders: answer must be an object, an Observable or a function (received 1)',
      );
      expect(() => server.feed('')).toThrow(/the name of a database/);
      expect(() => server.feed('orders', '-a-' as never)).toThrow(/changes must be Observables/);
    })();
  });

  it('reports differences through the given comparison', () => {
    const failure = failureOf(({ server, couch, expectObservable }) => {
      server.on('GET /', { version: '3.5.0' });
      expectObservable(couch.version()).toBe('-(v|)', { v: '3.5.0' });
    });
    expect(failure).toContain('toEqual');
  });

  it('works in a plain TestScheduler without a scheduler option', () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    scheduler.run(({ cold, expectObservable }) => {
      const server = marbleServer({ cold });
      server.on('GET /', cold('-------'));
      const couch = new Couch('http://couch.test', { transport: server.transport, timeout: 5 });
      const version: Observable<Document | string> = nameOf(couch.use('db').get('one'));
      server.on('GET /db/one', cold('-------'));
      expectObservable(version).toBe('-----(t|)', {
        t: 'TimeoutError: GET http://couch.test/db/one: no answer within 5 ms',
      });
    });
  });
});
