import { describe, expect, it } from '@jest/globals';
import { catchError, combineLatest, map, mergeMap, of, sample } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Document, Forbidden } from 'corduroy';
import { marbleTests, memoryServer, status } from 'corduroy/testing';
import { Orders } from './orders.ts';
import type { Order } from './orders.ts';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

// Two open orders, and the first one after its payment.
const ann: Document<Order> = {
  _id: 'ann',
  _rev: '1-a',
  customer: 'Ann',
  total: 30,
  status: 'open',
};
const bob: Document<Order> = {
  _id: 'bob',
  _rev: '1-b',
  customer: 'Bob',
  total: 20,
  status: 'open',
};
const paid: Document<Order> = { ...ann, _rev: '2-a', status: 'paid' };
const changes = { a: ann, b: bob, p: paid };

/** Emits the customers on the list. */
const customers = (open$: Observable<readonly Order[]>): Observable<string> =>
  open$.pipe(map((orders) => orders.map(({ customer }) => customer).join(', ')));

describe('the orders of a shop', () => {
  it(
    'are on the list while they are open, and unsubscribing closes the feed',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      // Ann orders, Bob orders, Ann pays. The service emits each change after its `latency` of 50 ms.
      const feed = server.feed('orders', hot('a 199ms b 199ms p', changes));
      const unsubscription = '               500ms !         ';
      const expected = '                     50ms x 199ms y 199ms z';

      const list = customers(new Orders(couch).open$);
      expectObservable(list, unsubscription).toBe(expected, { x: 'Ann', y: 'Ann, Bob', z: 'Bob' });
      expectSubscriptions(feed.subscriptions).toBe('^ 499ms !');
    }),
  );

  it(
    'stay on the page during an outage, and are up to date after it',
    marbles(({ server, couch, hot, expectObservable }) => {
      // The connection breaks at 200 ms, and the server is busy until Bob orders at 400 ms. The feed
      // retries after up to 30 s, which pass in virtual time.
      server.feed('orders', hot('a 199ms #', changes, status(503)), hot('400ms b', changes));
      const samples = '                  100ms x 199ms x 31s x';
      const expected = '                 100ms x 199ms y 31s z';

      const orders = new Orders(couch);
      const page = combineLatest([orders.live$, customers(orders.open$)]);
      expectObservable(page.pipe(sample(hot(samples))), '32s !').toBe(expected, {
        x: [true, 'Ann'],
        y: [false, 'Ann'],
        z: [true, 'Ann, Bob'],
      });
    }),
  );

  it(
    'leave the list when they are paid, before the server answers',
    marbles(({ server, couch, cold, hot, expectObservable }) => {
      server.feed('orders', hot('(ab)', changes));
      const answer = status(201, { ok: true, id: 'ann', rev: '2-a' });
      server.on('PUT /orders/:id', cold('300ms w', { w: answer }));

      const orders = new Orders(couch);
      const payment = hot('100ms p').pipe(mergeMap(() => orders.pay(ann)));
      expectObservable(payment).toBe('400ms p', { p: 'paid' });
      expectObservable(customers(orders.open$), '500ms !').toBe('50ms x 49ms y', {
        x: 'Ann, Bob',
        y: 'Bob',
      });
      expectObservable(server.requestLines$).toBe('100ms r', { r: 'PUT /orders/ann' });
    }),
  );

  it(
    'return to the list if the server refuses the payment',
    marbles(({ server, couch, cold, hot, expectObservable }) => {
      server.feed('orders', hot('a', changes));
      const refusal = status(403, { error: 'forbidden', reason: 'The till is closed.' });
      server.on('PUT /orders/:id', cold('300ms r', { r: refusal }));

      const orders = new Orders(couch);
      const payment = hot('100ms p').pipe(mergeMap(() => orders.pay(ann)));
      const reason = payment.pipe(catchError((error: Forbidden) => of(error.reason)));
      expectObservable(reason).toBe('400ms (r|)', { r: 'The till is closed.' });
      expectObservable(customers(orders.open$), '500ms !').toBe('50ms x 49ms y 299ms x', {
        x: 'Ann',
        y: '',
      });
    }),
  );

  it(
    'keep the concurrent change of another user',
    marbles(({ expectObservable }) => {
      // The server has a newer revision of Ann's order than the page.
      const theirs = { ...ann, _rev: '2-b', note: 'no onions' };
      const server = memoryServer({ databases: { orders: [theirs] }, latency: 20 });

      const couch = server.couch();
      const stored = new Orders(couch).pay(ann).pipe(
        mergeMap(() => couch.use<Order>('orders').get('ann')),
        map((order) => `${order.status}, ${order.note}`),
      );
      // Four requests: the conflict, the newer revision, the merged order, and the final read.
      expectObservable(stored).toBe('80ms (s|)', { s: 'paid, no onions' });
    }),
  );
});
