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
import type { FeedState } from '../changes/feed-model.ts';
import { canonical } from '../model/json.ts';
import type { LiveDatabase } from './live-database.ts';

/**
 * Emits its result, and emits again each time the result changes: `db.doc$()`, `db.find$()` and the
 * other live queries return it.
 *
 * - **Temperature:** sends nothing before the first subscription, and is hot and shared from then
 *   on. Equal calls on one `Couch` share one query, and all live queries on a database share one
 *   changes feed.
 * - **Emits** the present result first, also to late subscribers, and then each new result. Parts
 *   that did not change are the same objects (`===`) as before: do not modify them.
 * - **Completes** never.
 * - **Errors** with what a retry cannot repair (401, 403, 404, or a replaced database). Transient
 *   errors are retried. After an error, subscribe again to read again.
 * - **On unsubscribe** the query emits nothing more. The last subscriber of a query cancels its
 *   read, and the last subscriber of all live queries on the database closes the connection.
 */
export class LiveQuery<V> extends Observable<V> {
  /** Emits the state of the changes feed. Hot. A subscription to it opens no connection. */
  readonly state$: Observable<FeedState>;

  /** @internal */
  constructor(live: LiveDatabase, key: readonly unknown[], follow: () => Observable<V>) {
    const values$ = defer(() => live.shared(canonical(key), follow));
    super((subscriber) => values$.subscribe(subscriber));
    this.state$ = live.state$;
  }
}

/** The value of a stream together with its state, as a template shows it. */
export interface WithState<V> {
  /** The latest value; undefined before the first. */
  readonly value: V | undefined;
  /** Whether the first value has not arrived yet. */
  readonly loading: boolean;
  /** The error that ended the stream; null before that. */
  readonly error: unknown;
  /** Whether the value may be out of date, because the changes feed is down. */
  readonly stale: boolean;
}

/**
 * Emits each value together with its state: whether the first value is still loading, whether the
 * value is stale, and the error. It never errors: it emits the error in its last value, and completes.
 *
 * Put it first in the `pipe` of a live query: for other Observables, `stale` is true only after an
 * error.
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

/** Emits whether a feed is down. It is not while it first connects: what was read then is new. */
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
