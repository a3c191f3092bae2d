import type { Consumer, Database, Document, LiveDocument, LiveEdit, LiveQuery } from 'corduroy';
import { map } from 'rxjs';
import type { Observable, ObservableInput } from 'rxjs';

/** An order of a shop. */
export interface Order {
  customer: string;
  total: number;
  status: 'open' | 'paid';
  note?: string;
}

/** The orders of a shop: what its pages show, and its printer of receipts. */
export class Orders {
  /** The list: emits the open orders, and emits again when one is added, changed or paid. */
  readonly open$: LiveQuery<readonly LiveDocument<Order>[]>;
  /** Emits the ids of the orders that change, at most every 100 ms. */
  readonly changed$: Observable<readonly string[]>;
  readonly #db: Database<Order>;

  constructor(db: Database<Order>) {
    this.#db = db;
    this.open$ = db.find$({ selector: { status: 'open' } });
    this.changed$ = db
      .changes$({ latency: 100 })
      .pipe(map(({ changes }) => changes.map(({ id }) => id)));
  }

  /** Emits the total of an order, and completes. Errors with `NotFound` if there is no such order. */
  total(id: string): Observable<number> {
    return this.#db.get(id).pipe(map(({ total }) => total));
  }

  /** The detail page: emits an order, and emits again when it changes. Null means missing or deleted. */
  order$(id: string): LiveQuery<LiveDocument<Order> | null> {
    return this.#db.doc$(id);
  }

  /** The editor: shows an edit at once, and saves it when no edit has followed for 300 ms. */
  edit(id: string): LiveEdit<Order> {
    return this.#db.edit$(id, { debounce: 300 });
  }

  /** Adds an order. Errors with `Conflict` if another order has its id. */
  add(order: Readonly<Order & { _id: string }>): Observable<unknown> {
    return this.#db.save(order);
  }

  /** Marks an order as paid, and keeps what others change meanwhile. Emits null if it is missing. */
  pay(id: string): Observable<Document<Order> | null> {
    return this.#db.upsert(id, (order) => order && { ...order, status: 'paid' });
  }

  /** Deletes an order. Emits null. */
  cancel(id: string): Observable<Document<Order> | null> {
    return this.#db.upsert(id, (order) => order && { ...order, _deleted: true });
  }

  /**
   * Prints a receipt for each order that is paid, also after a restart: CouchDB stores the place.
   * `print` runs again if it fails.
   */
  printReceipts(print: (order: Document<Order>) => ObservableInput<unknown>): Consumer<Order> {
    return this.#db.consume(
      ({ doc }) => (doc && 'status' in doc && doc.status === 'paid' ? print(doc) : null),
      { name: 'receipts', since: 0, includeDocs: true },
    );
  }
}
