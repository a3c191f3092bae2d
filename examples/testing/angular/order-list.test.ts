import { TestBed } from '@angular/core/testing';
import { Couch } from 'corduroy';
import { marbleTests, memoryServer } from 'corduroy/testing';
import { map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { OrderList } from './order-list.ts';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

const ann = { _id: 'ann', customer: 'Ann', total: 30, paid: false };
const bob = { _id: 'bob', customer: 'Bob', total: 20, paid: false };

describe('the list of orders', () => {
  it(
    'shows that it is loading, the customers, and a payment',
    marbles(({ hot, expectObservable }) => {
      const server = memoryServer({ databases: { orders: [ann, bob] }, latency: 5 });
      const couch = server.couch();
      TestBed.configureTestingModule({ providers: [{ provide: Couch, useValue: couch }] });
      const page = TestBed.createComponent(OrderList);

      const others = server.couch().use('orders');
      hot('            100ms p').subscribe(() =>
        others.upsert('ann', (order) => order && { ...order, paid: true }).subscribe(),
      );
      const looks$ = hot('x 49ms x 99ms x').pipe(
        map(() => {
          page.detectChanges();
          return (page.nativeElement as HTMLElement).textContent.trim();
        }),
      );
      expectObservable(looks$).toBe('l 49ms b 99ms p', {
        l: 'Loading',
        b: 'Unpaid: Ann, Bob',
        p: 'Unpaid: Bob',
      });
      hot('200ms x').subscribe(() => page.destroy());
    }),
  );
});
