import { catchError, defer, distinctUntilChanged, map, of, startWith, switchMap } from 'rxjs';
import type { Observable, OperatorFunction } from 'rxjs';
import type { FeedState } from '../changes/feed-state.ts';
import { LiveQuery } from './live-query.ts';

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
