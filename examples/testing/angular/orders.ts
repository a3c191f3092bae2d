import { Injectable } from '@angular/core';
import { injectDatabase } from 'corduroy/angular';
import { map } from 'rxjs';
import type { Observable } from 'rxjs';

/** An order of a shop. */
export interface Order {
  customer: string;
  total: number;
  paid: boolean;
}

/** The orders of a shop. */
@Injectable({ providedIn: 'root' })
export class Orders {
  readonly #db = injectDatabase<Order>('orders');

  /** Emits the customers who must pay, and emits again when they change. */
  readonly unpaid$ = this.#db
    .find$({ selector: { paid: false } })
    .pipe(map((orders) => orders.map(({ customer }) => customer).join(', ')));

  /** Emits the total of an order, and completes. */
  total(id: string): Observable<number> {
    return this.#db.get(id).pipe(map(({ total }) => total));
  }

  /** Marks an order as paid. */
  pay(id: string): Observable<unknown> {
    return this.#db.upsert(id, (order) => order && { ...order, paid: true });
  }
}
