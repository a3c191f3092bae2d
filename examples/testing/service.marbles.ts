// The snippets of docs/guide/21-test-a-service.md as tests.
import { describe, expect, it } from '@jest/globals';
import { NotFound, withState } from 'corduroy';
import type { Document } from 'corduroy';
import { errorOf, marbleTests, memoryServer, status } from 'corduroy/testing';
import {
  NEVER,
  Subject,
  catchError,
  filter,
  firstValueFrom,
  lastValueFrom,
  map,
  merge,
  of,
  sample,
  scan,
  switchMap,
  timeout,
  timer,
} from 'rxjs';
import { Orders } from '../service/orders.ts';
import type { Order } from '../service/orders.ts';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

const ann: Document<Order> = Object.freeze({
  _id: 'ann',
  _rev: '1-a',
  customer: 'Ann',
  total: 30,
  status: 'open',
});
const bob: Document<Order> = Object.freeze({ ...ann, _id: 'bob', customer: 'Bob', total: 20 });

const customers = map((orders: readonly { readonly customer: string }[]) =>
  orders.map(({ customer }) => customer).join(', '),
);

describe('the orders of a shop', () => {
  it(
    'have a total',
    marbles(({ server, couch, cold, expectObservable }) => {
      server.on('GET /orders/:id', cold('--a', { a: ann }));

      const orders = new Orders(couch.use('orders'));
      expectObservable(orders.total('ann')).toBe('--(t|)', { t: 30 });
    }),
  );

  it(
    'can be watched',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('10ms a 20ms b', { a: 'ann', b: 'bob' }));

      const orders = new Orders(couch.use('orders'));
      expectObservable(orders.changed$, '500ms !').toBe('110ms x', { x: ['ann', 'bob'] });
    }),
  );

  it(
    'are on a page that follows them',
    marbles(({ hot, expectObservable }) => {
      const server = memoryServer({ databases: { orders: [ann] }, latency: 5 });
      const orders = new Orders(server.couch().use('orders'));
      const others = new Orders(server.couch().use('orders'));

      hot('100ms p').subscribe(() => others.pay('ann').subscribe());
      const page$ = orders.order$('ann').pipe(map((order) => order?.status));
      expectObservable(page$, '200ms !').toBe('10ms o 104ms p', { o: 'open', p: 'paid' });
    }),
  );

  it(
    'are on the list while they are open',
    marbles(({ hot, expectObservable }) => {
      const server = memoryServer({ databases: { orders: [ann] }, latency: 5 });
      const orders = new Orders(server.couch().use('orders'));
      const others = new Orders(server.couch().use('orders'));

      hot('100ms b').subscribe(() => others.add(bob).subscribe());
      expectObservable(orders.open$.pipe(customers), '200ms !').toBe('10ms x 99ms y', {
        x: 'Ann',
        y: 'Ann, Bob',
      });
    }),
  );

  it(
    'are saved when the user stops to type',
    marbles(({ hot, expectObservable }) => {
      const server = memoryServer({ databases: { orders: [ann] }, latency: 5 });
      const editor = new Orders(server.couch().use('orders')).edit('ann');

      const typed$ = hot('100ms n 199ms o', { n: 'no', o: 'no onions' });
      typed$.subscribe((note) => editor.patch({ note }));
      const form$ = editor.pipe(map(({ value, status: is }) => `${value?.note}, ${is}`));
      expectObservable(form$, '1s !').toBe('10ms a 89ms b 199ms c 299ms d 4ms e', {
        a: 'undefined, clean',
        b: 'no, edited',
        c: 'no onions, edited',
        d: 'no onions, saving',
        e: 'no onions, clean',
      });
      const writes$ = server.requestLines$.pipe(filter((line) => line.startsWith('PUT')));
      expectObservable(writes$, '1s !').toBe('605ms w', { w: 'PUT /orders/ann' });
    }),
  );

  it(
    'have one receipt each, also after a restart of the printer',
    marbles(({ hot, expectObservable }) => {
      const server = memoryServer({
        databases: { orders: [ann, { ...bob, status: 'paid' }] },
        latency: 5,
      });
      const orders = new Orders(server.couch().use('orders'));
      const printed$ = new Subject<string>();
      const print = ({ _id }: Document<Order>) => {
        printed$.next(_id);
        return timer(50);
      };

      hot('2s p').subscribe(() => orders.pay('ann').subscribe());
      // The printer runs for one second, stops for two, and runs again.
      hot('r 999ms s 1999ms r')
        .pipe(switchMap((step) => (step === 'r' ? orders.printReceipts(print) : NEVER)))
        .subscribe();
      const receipts$ = printed$.pipe(scan((all, id) => `${all} ${id}`, ''));
      expectObservable(receipts$.pipe(sample(hot('1s x 2999ms x')))).toBe('1s x 2999ms y', {
        x: ' bob',
        y: ' bob ann',
      });
    }),
  );

  it(
    'stay open if the server refuses the payment',
    marbles(({ expectObservable }) => {
      const server = memoryServer({ databases: { orders: [ann] }, latency: 5 });
      const orders = new Orders(server.couch().use('orders'));
      server.once('PUT /orders/:id', status(403, { error: 'forbidden', reason: 'Closed.' }));

      const nameOf = catchError((error: Error) => of(error.name));
      expectObservable(orders.pay('ann').pipe(nameOf)).toBe('10ms (n|)', { n: 'Forbidden' });
    }),
  );

  it(
    'stay on the list during an outage',
    marbles(({ hot, expectObservable }) => {
      const server = memoryServer({ databases: { orders: [ann] }, latency: 5 });
      const orders = new Orders(server.couch().use('orders'));
      const others = new Orders(server.couch().use('orders'));

      hot('100ms t 899ms f', { t: true, f: false }).subscribe(server.offline$);
      hot('2s b').subscribe(() => others.add(bob).subscribe());
      const list$ = orders.open$.pipe(
        withState(),
        map(({ value, stale }) => `${value?.length}${stale ? ', stale' : ''}`),
      );
      const at$ = hot('50ms x 449ms x 39s x');
      expectObservable(list$.pipe(sample(at$)), '60s !').toBe('50ms a 449ms b 39s c', {
        a: '1',
        b: '1, stale',
        c: '2',
      });
    }),
  );

  it(
    'keep the concurrent changes of two clients',
    marbles(({ hot, expectObservable, flush }) => {
      const server = memoryServer({ databases: { orders: [ann] }, latency: 5 });
      const orders = new Orders(server.couch().use('orders'));
      const others = server.couch().use<Order>('orders');

      // Both clients read revision 1 at 5 ms, and write at 10 ms. The loser reads and writes again.
      const note$ = others.upsert('ann', (order) => order && { ...order, note: 'no onions' });
      merge(orders.pay('ann'), note$).subscribe();
      const page$ = orders.order$('ann').pipe(map((order) => `${order?.status}, ${order?.note}`));
      expectObservable(page$.pipe(sample(hot('1s x'))), '1100ms !').toBe('1s p', {
        p: 'paid, no onions',
      });

      flush();
      expect(server.requestLines.filter((line) => line === 'PUT /orders/ann')).toHaveLength(3);
    }),
  );

  it('can be paid in real time', async () => {
    const server = memoryServer({ databases: { orders: [ann] } });
    const orders = new Orders(server.couch().use('orders'));

    await lastValueFrom(orders.pay('ann'));
    const page$ = orders.order$('ann').pipe(map((order) => order?.status));
    expect(await firstValueFrom(page$.pipe(timeout(1000)))).toBe('paid');
    expect(await errorOf(orders.total('eve'))).toBeInstanceOf(NotFound);
  });
});
