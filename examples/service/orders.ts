import { isTombstone, resolveConflicts } from 'corduroy';
import type { Change, Couch, Database, Document } from 'corduroy';
import { Subject, catchError, defer, map, merge, scan, shareReplay } from 'rxjs';
import type { Observable } from 'rxjs';

/** An order of a shop. */
export interface Order {
  customer: string;
  total: number;
  status: 'open' | 'paid';
  note?: string;
}

type StoredOrder = Document<Order>;
type OrdersById = ReadonlyMap<string, StoredOrder>;

/** Provides the orders of a shop to its pages. */
export class Orders {
  /** Emits the open orders, and emits again when an order is added, changed or deleted. */
  readonly open$: Observable<readonly StoredOrder[]>;
  /** Emits whether the orders are up to date: false while the connection is down. */
  readonly live$: Observable<boolean>;
  readonly #db: Database<Order>;
  readonly #edits$ = new Subject<StoredOrder>();

  constructor(couch: Couch) {
    this.#db = couch.use<Order>('orders');
    const feed = this.#db.changes$({ since: 0, includeDocs: true, latency: 50 });
    const changes = feed.pipe(
      map((batch) => (orders: OrdersById) => batch.changes.reduce(applyChange, orders)),
    );
    const edits = this.#edits$.pipe(
      map((order) => (orders: OrdersById) => setOrder(orders, order)),
    );
    this.open$ = merge(changes, edits).pipe(
      scan((orders, change) => change(orders), new Map() as OrdersById),
      map((orders) => [...orders.values()].filter(({ status }) => status === 'open')),
      shareReplay({ bufferSize: 1, refCount: true }),
    );
    this.live$ = feed.state$.pipe(map(({ status }) => status === 'live'));
  }

  /**
   * Marks an order as paid, and keeps concurrent changes of other users. `open$` emits the change at
   * once, and emits the former order again if the server refuses the payment.
   */
  pay(order: StoredOrder): Observable<unknown> {
    return defer(() => {
      const paid: StoredOrder = { ...order, status: 'paid' };
      this.#edits$.next(paid);
      return this.#db.save(paid).pipe(
        resolveConflicts<Order>((_mine, theirs) => theirs && { ...theirs, status: 'paid' }),
        map(() => 'paid'),
        catchError((error: unknown) => {
          this.#edits$.next(order);
          throw error;
        }),
      );
    });
  }
}

function applyChange(orders: OrdersById, { id, doc }: Change<Order>): OrdersById {
  if (doc && !isTombstone(doc)) return setOrder(orders, doc);
  return new Map([...orders].filter(([other]) => other !== id));
}

function setOrder(orders: OrdersById, order: StoredOrder): OrdersById {
  return new Map(orders).set(order._id, order);
}
