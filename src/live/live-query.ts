import { Observable, defer } from 'rxjs';
import type { FeedState } from '../changes/feed-state.ts';
import { canonical } from '../model/equal.ts';
import type { LiveDatabase } from './live-database.ts';

/**
 * A read that goes on: what `db.doc$()`, `db.find$()` and their like return.
 *
 * - **Temperature:** cold to make, shared while it is subscribed to: equal calls on one `Couch` share
 *   one. All that is live on a database rides on one connection for changes.
 * - **Emits** the present value, to late subscribers too, and then each time it changed. What did not
 *   change is the same object (`===`) as before: take it as read-only.
 * - **Completes** never.
 * - **Errors** with what cannot pass by itself (401, 403, 404, a database that was replaced); the
 *   rest is waited out. A new subscription begins anew.
 * - **On unsubscribe** nothing more is emitted; the last one aborts what is being read, and the last
 *   of all that is live on the database closes the connection.
 */
export class LiveQuery<V> extends Observable<V> {
  /** What the connection for changes is doing. Hot; listening to it opens no connection. */
  readonly state$: Observable<FeedState>;

  /** @internal */
  constructor(live: LiveDatabase, key: readonly unknown[], follow: () => Observable<V>) {
    const values$ = defer(() => live.shared(canonical(key), follow));
    super((subscriber) => values$.subscribe(subscriber));
    this.state$ = live.state$;
  }
}
