import type { Couch, Database } from 'corduroy';
import { map } from 'rxjs';
import type { Observable } from 'rxjs';

/** An order of a shop. */
export interface Order {
  customer: string;
  total: number;
  paid: boolean;
}

/** The orders of a shop. */
export class Orders {
  /** Emits the customers who must pay, and emits again when they change. */
  readonly unpaid$: Observable<string>;
  readonly #db: Database<Order>;

  constructor(couch: Couch) {
    this.#db = couch.use<Order>('orders');
    this.unpaid$ = this.#db
      .find$({ selector: { paid: false } })
      .pipe(map((orders) => orders.map(({ customer }) => customer).join(', ')));
  }

  /** Emits the total of an order, and completes. */
  total(id: string): Observable<number> {
    return this.#db.get(id).pipe(map(({ total }) => total));
  }

  /** Marks an order as paid. */
  pay(id: string): Observable<unknown> {
    return this.#db.upsert(id, (order) => order && { ...order, paid: true });
  }
}
