import type { Couch } from 'corduroy';
import { marbleTests, memoryServer, status } from 'corduroy/testing';
import { catchError, firstValueFrom, lastValueFrom, of, sample } from 'rxjs';
import { Orders } from './orders.ts';

const equal = (actual: unknown, expected: unknown): void => expect(actual).toEqual(expected);
const marbles = marbleTests(equal);
const ordersOf = (couch: Couch): Orders => new Orders(couch);

// The rest of this file is the same for each test runner.

const ann = { _id: 'ann', _rev: '1-a', customer: 'Ann', total: 30, paid: false };
const bob = { _id: 'bob', _rev: '1-b', customer: 'Bob', total: 20, paid: false };

describe('the orders', () => {
  it(
    'have a total',
    marbles(({ server, couch, cold, expectObservable }) => {
      server.on('GET /orders/:id', cold('--a', { a: ann }));
      expectObservable(ordersOf(couch).total('ann')).toBe('--(t|)', { t: 30 });
    }),
  );

  it(
    'leave the list when they are paid',
    marbles(({ hot, expectObservable }) => {
      const server = memoryServer({ databases: { orders: [ann, bob] }, latency: 5 });
      const orders = ordersOf(server.couch());
      hot('      100ms p').subscribe(() => orders.pay('ann').subscribe());
      const at$ = hot('50ms x 99ms x');
      expectObservable(orders.unpaid$.pipe(sample(at$)), '200ms !').toBe('50ms a 99ms b', {
        a: 'Ann, Bob',
        b: 'Bob',
      });
    }),
  );

  it(
    'stay unpaid if the server refuses the payment',
    marbles(({ server, couch, expectObservable }) => {
      server.on('GET /orders/:id', ann);
      server.on('PUT /orders/:id', status(403, { error: 'forbidden', reason: 'Closed.' }));
      const nameOf = catchError((error: Error) => of(error.name));
      expectObservable(ordersOf(couch).pay('ann').pipe(nameOf)).toBe('(n|)', { n: 'Forbidden' });
    }),
  );

  it('can be tested in real time', async () => {
    const server = memoryServer({ databases: { orders: [ann] } });
    const orders = ordersOf(server.couch());
    await lastValueFrom(orders.pay('ann'));
    equal(await firstValueFrom(orders.unpaid$), '');
  });
});
