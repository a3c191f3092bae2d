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

type Stored = Document<Order>;
type OrdersById = ReadonlyMap<string, Stored>;

/** The orders of a shop, as its pages see them. */
export class Orders {
  /** The open orders: those there are, and anew whenever one comes, changes or goes. */
  readonly open$: Observable<readonly Stored[]>;
  /** Whether what is shown is up to date: false while there is no connection. */
  readonly live$: Observable<boolean>;
  readonly #db: Database<Order>;
  readonly #edits$ = new Subject<Stored>();

  constructor(couch: Couch) {
    this.#db = couch.use<Order>('orders');
    const feed = this.#db.changes$({ since: 0, includeDocs: true, latency: 50 });
    const changes = feed.pipe(
      map((batch) => (orders: OrdersById) => batch.changes.reduce(apply, orders)),
    );
    const edits = this.#edits$.pipe(map((order) => (orders: OrdersById) => put(orders, order)));
    this.open$ = merge(changes, edits).pipe(
      scan((orders, change) => change(orders), new Map() as OrdersById),
      map((orders) => [...orders.values()].filter(({ status }) => status === 'open')),
      shareReplay({ bufferSize: 1, refCount: true }),
    );
    this.live$ = feed.state$.pipe(map(({ status }) => status === 'live'));
  }

  /**
   * Pays an order, and keeps what others have written into it meanwhile. It is shown as paid at once,
   * and as it was should the server refuse.
   */
  pay(order: Stored): Observable<unknown> {
    return defer(() => {
      const paid: Stored = { ...order, status: 'paid' };
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

function apply(orders: OrdersById, { id, doc }: Change<Order>): OrdersById {
  if (doc && !isTombstone(doc)) return put(orders, doc);
  return new Map([...orders].filter(([other]) => other !== id));
}

function put(orders: OrdersById, order: Stored): OrdersById {
  return new Map(orders).set(order._id, order);
}
