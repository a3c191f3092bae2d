// The snippets of docs/guide/14-testing.md and docs/testing-failures.md as tests.
import { describe, expect, it } from '@jest/globals';
import { catchError, map, mergeMap, of, retry, timer } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { Couch } from 'corduroy';
import type { ChangesBatch } from 'corduroy';
import {
  fault,
  faults,
  marbleServer,
  marbleTests,
  memoryServer,
  raw,
  status,
} from 'corduroy/testing';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

interface Order {
  total: number;
}

const a = { _id: 'a', _rev: '1-a', total: 3 };
const b = { _id: 'b', _rev: '1-b', total: 5 };

/** The ids of a batch of changes. */
const names = ({ changes }: ChangesBatch<Order>): string => changes.map(({ id }) => id).join(' ');

describe('the first test', () => {
  it(
    'shows the total of an order',
    marbles(({ server, couch, cold, expectObservable }) => {
      server.on('GET /orders/:id', cold('--a', { a: { _id: '17', _rev: '1-a', total: 3 } }));

      const order$ = couch.use<Order>('orders').get('17');
      expectObservable(order$.pipe(map(({ total }) => total))).toBe('--(t|)', { t: 3 });
    }),
  );

  it('shows the total of an order, in a separate TestScheduler', () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    scheduler.run(({ cold, expectObservable }) => {
      const server = marbleServer({ cold });
      server.on('GET /orders/:id', cold('--a', { a }));

      const couch = new Couch('http://couch.test', { transport: server.transport, retry: false });
      expectObservable(couch.use('orders').get('a')).toBe('--(a|)', { a });
    });
  });
});

describe('answers', () => {
  it(
    'can be immediate, depend on the request, or be a status',
    marbles(({ server, couch, cold, expectObservable }) => {
      server.on('GET /orders', { db_name: 'orders', doc_count: 2, update_seq: '2' });
      server.on('GET /orders/:id', ({ id }) => cold('--o', { o: { _id: id, _rev: '1-a' } }));
      server.on('PUT /orders/:id', status(409));
      server.on('DELETE /orders/:id', cold('---f', { f: status(403, { error: 'forbidden' }) }));

      const db = couch.use('orders');
      const nameOf = catchError((error: Error) => of(error.name));
      expectObservable(db.get('17').pipe(map(({ _id }) => _id))).toBe('--(i|)', { i: '17' });
      expectObservable(db.save({ _id: '17' }).pipe(nameOf)).toBe('(c|)', { c: 'Conflict' });
      expectObservable(db.delete(a).pipe(nameOf)).toBe('---(f|)', { f: 'Forbidden' });
    }),
  );

  it(
    'can differ from request to request',
    marbles(({ server, couch, expectObservable }) => {
      server.once('GET /orders/a', status(503));
      server.on('GET /orders/a', a);

      const again = couch
        .use('orders')
        .get('a')
        .pipe(retry({ delay: () => timer(1000) }));
      expectObservable(again).toBe('1s (a|)', { a });
    }),
  );
});

describe('requests', () => {
  it(
    'are a stream',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.on('PUT /orders/:id', status(201, { ok: true, id: 'a', rev: '2-a' }));

      const saves = hot('--s', { s: { ...a, total: 4 } });
      saves.pipe(mergeMap((order) => couch.use('orders').save(order))).subscribe();
      expectObservable(server.requestLines$).toBe('--p', { p: 'PUT /orders/a' });
      expectObservable(server.requests$).toBe('--p', {
        p: { method: 'PUT', path: '/orders/a', query: {}, body: { ...a, total: 4 } },
      });
    }),
  );

  it(
    'end when the answer has been read, or when the subscriber unsubscribes',
    marbles(({ server, couch, cold, expectObservable, expectSubscriptions }) => {
      const route = server.on('GET /orders/:id', cold('-----a', { a }));

      expectObservable(couch.use('orders').get('a')).toBe('-----(a|)', { a });
      expectObservable(couch.use('orders').get('b'), '--!').toBe('---');
      expectSubscriptions(route.subscriptions).toBe(['^----!', '^-!']);
    }),
  );
});

describe('a feed', () => {
  it(
    'has a marble for each change',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a-b----d', { a, b, d: { ...a, _deleted: true } }));

      const changes = couch.use<Order>('orders').changes$({ latency: 0 });
      const deletions = map(({ changes: [change] }: ChangesBatch<Order>) =>
        change?.deleted === true ? 'gone' : 'there',
      );
      expectObservable(changes.pipe(map(names))).toBe('-a-b----a');
      expectObservable(changes.pipe(deletions)).toBe('-t-t----g', { t: 'there', g: 'gone' });
    }),
  );

  it(
    'collects the changes of one second by default',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a-b', { a, b }));
      const changes = couch.use<Order>('orders').changes$();
      expectObservable(changes.pipe(map(names)), '2s !').toBe('1001ms x', { x: 'a b' });
    }),
  );
});

describe('faults', () => {
  it(
    'the feed reconnects after a broken connection, and loses no change',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a-#', { a }), hot('----b 200ms a', { a, b }));

      const changes = couch.use<Order>('orders').changes$({ latency: 200 });
      expectObservable(changes.pipe(map(names)), '500ms !').toBe('201ms x 199ms y', {
        x: 'a b',
        y: 'a',
      });
    }),
  );

  it(
    'the feed replaces a silent connection',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      const feed = server.feed('orders', hot('-a-x', { a, x: fault.silence }));

      const changes = couch.use<Order>('orders').changes$({
        heartbeat: 10_000,
        backoff: { initialDelay: 100, random: () => 0.99 },
      });
      expectObservable(changes.pipe(map(names)), '30s !').toBe('1001ms a');
      // Twice the heartbeat of silence, and 100 ms of backoff.
      expectSubscriptions(feed.subscriptions).toBe(['^ 20000ms !', '20101ms ^ 9898ms !']);
    }),
  );

  it(
    'status 401 ends the feed, and status 503 is retried',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('closed', hot('-x', { x: status(401) }));
      server.feed('busy', hot('-x', { x: status(503) }), hot('10s a', { a }));

      const backoff = { random: () => 0.99 };
      const closed = couch.use<Order>('closed').changes$({ backoff });
      const busy = couch.use<Order>('busy').changes$({ backoff, latency: 0 });
      const nameOf = catchError((error: Error) => of(error.name));
      expectObservable(closed.pipe(map(names), nameOf)).toBe('101ms (u|)', { u: 'Unauthorized' });
      expectObservable(busy.pipe(map(names)), '15s !').toBe('12581ms a');
    }),
  );

  it(
    'a truncated answer is a ProtocolError',
    marbles(({ server, couch, cold, expectObservable }) => {
      const half = cold('-h-#', { h: '{"_id":"a","_rev":' });
      server.on('GET /orders/:id', raw(half));

      const order$ = couch.use('orders').get('a');
      expectObservable(order$.pipe(catchError((error: Error) => of(error.name)))).toBe('---(e|)', {
        e: 'ProtocolError',
      });
    }),
  );

  it(
    'a request without an answer times out',
    marbles(({ server, cold, expectObservable }) => {
      server.on('GET /orders/:id', cold('-'));

      const order$ = server.couch({ timeout: 5000 }).use('orders').get('a');
      expectObservable(order$.pipe(catchError((error: Error) => of(error.name)))).toBe('5s (e|)', {
        e: 'TimeoutError',
      });
    }),
  );
});

describe('retries', () => {
  it(
    'can be tested with injected faults',
    marbles(({ server, expectObservable }) => {
      server.on('GET /orders/a', a);

      const busy = faults({ status: 503, times: 1 });
      const half = { initialDelay: 100, random: () => 0.5 };
      const healed = server
        .couch({ networkLinks: [busy], retry: half })
        .use('orders')
        .get('a');
      expectObservable(healed).toBe('51ms (a|)', { a });

      const reset = faults({ fail: 'reset', delay: 10 });
      const failed = server
        .couch({ links: [reset] })
        .use('orders')
        .get('a');
      const nameOf = catchError((error: Error) => of(error.name));
      expectObservable(failed.pipe(nameOf)).toBe('10ms (e|)', { e: 'ConnectionError' });
    }),
  );
});

describe('a server with documents', () => {
  it(
    'stores documents',
    marbles(({ expectObservable }) => {
      const server = memoryServer({ databases: { orders: [{ _id: 'a', total: 3 }] }, latency: 10 });
      const db = server.couch().use<Order>('orders');

      const raised = db.upsert('a', (order) => ({ ...order, total: (order?.total ?? 0) + 1 }));
      const total = raised.pipe(
        mergeMap(() => db.get('a')),
        map((order) => order.total),
      );
      expectObservable(total).toBe('30ms (t|)', { t: 4 });
    }),
  );

  it(
    'can answer the requests that no route answers',
    marbles(({ server, couch, expectObservable }) => {
      server.otherwise(memoryServer({ databases: { orders: [{ _id: 'a', total: 3 }] } }));
      server.once('PUT /orders/a', status(409));

      const db = couch.use<Order>('orders');
      const raise = (order: Order | null): Order => ({ total: (order?.total ?? 0) + 1 });
      const raised = db.upsert('a', raise, { backoff: { initialDelay: 20, random: () => 0.99 } });
      expectObservable(raised.pipe(map((order) => order?.total))).toBe('23ms (t|)', { t: 4 });
    }),
  );
});
