import { Observable, map } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { FeedState } from '../changes/feed-model.ts';
import { canonical } from '../model/json.ts';
import type { LiveDatabase } from './live-database.ts';
import { isDown } from './shared-queries.ts';
import type { ReadWaits } from './shared-queries.ts';

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
 * - **Errors** with what a retry cannot repair (401, 403, 404, or a replaced database), and if transient
 *   errors last longer than `errorTolerance`. Until then they are retried, and `state$` and
 *   {@link withState} show them. After an error, subscribe again to read again.
 * - **On unsubscribe** the query emits nothing more. After the last subscriber has left, the query stays
 *   up to date for `live.linger` (1000 ms by default). Then it cancels its read, and the last query of a
 *   database closes the connection.
 */
export class LiveQuery<V> extends Observable<V> {
  /**
   * Emits the state of the changes feed, or of this query's reads while they wait for a retry. Hot, and
   * replayed to late subscribers. A subscription to it opens no connection.
   */
  readonly state$: Observable<FeedState>;

  /** @internal The clock of the connection, in milliseconds since 1970. */
  readonly now: () => number;

  /** @internal */
  constructor(
    values$: Observable<V>,
    { state$, now }: { readonly state$: Observable<FeedState>; readonly now: () => number },
  ) {
    super((subscriber) => values$.subscribe(subscriber));
    this.state$ = state$;
    this.now = now;
  }

  /**
   * Returns a live query with converted values and the same state.
   * @internal
   */
  mapValue<R>(project: (value: V) => R): LiveQuery<R> {
    return new LiveQuery(this.pipe(map(project)), this);
  }
}

/** Makes a live query. Equal parameters share one. */
export function liveQuery<V>(
  live: LiveDatabase,
  parameters: readonly unknown[],
  create: (waits: ReadWaits) => Observable<V>,
): LiveQuery<V> {
  const key = canonical(parameters);
  return new LiveQuery(live.queries.stream(key, create), {
    state$: live.queries.state(key),
    now: () => live.db.connection.scheduler.now(),
  });
}

/** The value of a stream together with its state, as a template shows it. */
export interface WithState<V> {
  /** The latest value; undefined before the first. */
  readonly value: V | undefined;
  /** Whether the first value has not arrived yet. */
  readonly loading: boolean;
  /**
   * Whether the value may be out of date: the changes feed is down, a read of the live query waits for a
   * retry, or the stream has errored.
   */
  readonly stale: boolean;
  /**
   * The error that a retry waits out, or the error that ended the stream; null if there is none.
   * `stale` is true as long as there is an error.
   */
  readonly error: CorduroyError | null;
  /** Since when the value may be out of date, in milliseconds since 1970; null if `stale` is false. */
  readonly since: number | null;
}

/**
 * Emits each value together with its state: whether the first value is still loading, whether the
 * value is stale and since when, and the error. It never errors: it emits the error in its last value, and
 * completes. While a live query retries, it emits the error that it waits out, from the first failure on.
 *
 * It finds the live query at the beginning of a `pipe` through operators such as `map`. For Observables that
 * begin with no live query, `stale` is true only after an error.
 *
 * ```
 * source:         --a-----b---#
 * withState():    l-a-----b---(e|)    l: loading; e: the value b, with the error
 * ```
 */
export function withState<V>(): OperatorFunction<V, WithState<V>> {
  return (source) => {
    const live = liveQueryOf(source);
    const now = (): number => live?.now() ?? Date.now();
    return new Observable<WithState<V>>((subscriber) => {
      let last: WithState<V> = LOADING;
      const emit = (changes: Partial<WithState<V>>): void => {
        last = { ...last, ...changes };
        subscriber.next(last);
      };
      const onState = (state: FeedState): void => {
        if (!isDown(state)) {
          if (last.stale) emit({ stale: false, error: null, since: null });
          return;
        }
        // A feed that connects again keeps the error of its last attempt.
        const error = 'error' in state ? state.error : last.error;
        if (!last.stale || error !== last.error)
          emit({ stale: true, error, since: last.since ?? now() });
      };
      emit({});
      if (live !== null) subscriber.add(live.state$.subscribe(onState));
      if (subscriber.closed) return;
      subscriber.add(
        source.subscribe({
          next: (value) => emit({ value, loading: false }),
          error: (error: CorduroyError) => {
            emit({ loading: false, stale: true, error, since: last.since ?? now() });
            subscriber.complete();
          },
          complete: () => subscriber.complete(),
        }),
      );
    });
  };
}

const LOADING = { value: undefined, loading: true, stale: false, error: null, since: null };

/** Returns the live query at the beginning of a `pipe`; null if another Observable begins it. */
function liveQueryOf(observable: Observable<unknown>): LiveQuery<unknown> | null {
  let source: Observable<unknown> | undefined = observable;
  while (source !== undefined) {
    if (source instanceof LiveQuery) return source;
    // RxJS links the result of each operator to its source.
    source = source.source as Observable<unknown> | undefined;
  }
  return null;
}
