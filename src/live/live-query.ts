import {
  Observable,
  catchError,
  defer,
  distinctUntilChanged,
  map,
  of,
  startWith,
  switchMap,
} from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import type { FeedState } from '../changes/feed-state.ts';
import { canonical } from '../model/json.ts';
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

/** What a template needs to know of a stream, in one value. */
export interface WithState<V> {
  /** The value that came last; undefined before the first. */
  readonly value: V | undefined;
  /** Whether the first value is still to come. */
  readonly loading: boolean;
  /** What ended the stream; null while it goes on. */
  readonly error: unknown;
  /** Whether the value may be out of date, for the feed of changes is down. */
  readonly stale: boolean;
}

/**
 * Emits values with what is known of them: whether the first is still to come, whether the feed is
 * down, what went wrong. It never errors: an error is its last value, and it completes.
 *
 * Put it first behind a live query: of another Observable it is not known whether it is stale.
 *
 * ```
 * source:         --a-----b---#
 * withState():    l-a-----b---(e|)    l: loading; e: the value b, with the error
 * ```
 */
export function withState<V>(): OperatorFunction<V, WithState<V>> {
  return (source) => {
    const stale$ = source instanceof LiveQuery ? isDown(source.state$) : of(false);
    return defer(() => {
      let last: WithState<V> = { value: undefined, loading: true, error: null, stale: false };
      return source.pipe(
        map((value) => (last = { value, loading: false, error: null, stale: false })),
        startWith(last),
        switchMap((state) =>
          state.loading ? of(state) : stale$.pipe(map((stale) => ({ ...state, stale }))),
        ),
        catchError((error: unknown) => of({ ...last, loading: false, error, stale: true })),
      );
    });
  };
}

/** A feed that is opened for the first time is not down: what was read meanwhile is up to date. */
function isDown(state$: Observable<FeedState>): Observable<boolean> {
  return state$.pipe(
    map(
      (state) =>
        state.status === 'waiting' ||
        state.status === 'paused' ||
        state.status === 'failed' ||
        (state.status === 'connecting' && state.attempt > 0),
    ),
    distinctUntilChanged(),
  );
}
