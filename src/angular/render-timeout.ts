import { defer, filter, identity, map, of, take, tap, timeout } from 'rxjs';
import type { MonoTypeOperatorFunction } from 'rxjs';
import { CorduroyError } from '../errors/corduroy-error.ts';
import type { WithState } from '../live/live-query.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** The default of `renderTimeout`, in milliseconds. */
const DEFAULT_TIMEOUT = 5_000;

/** The longest delay of a timer, in milliseconds. The platforms run a longer timer at once. */
const LONGEST_TIMER = 2_147_483_647;

/**
 * The error of a signal or a resource in server-side rendering (SSR) if neither a value nor an error arrived
 * within `renderTimeout`.
 */
export class RenderTimeout extends CorduroyError {
  override readonly name = 'RenderTimeout' as const;
  /** The limit that was exceeded, in milliseconds. */
  readonly timeout: number;

  constructor(limit: number) {
    super(`The stream has no value after ${limit} ms: the server renders the page without it`, {
      transient: true,
    });
    this.timeout = limit;
  }
}

/** Returns the limit in milliseconds. @throws TypeError or RangeError if it is not a duration. */
export function renderLimit(value: number | undefined, caller: string): number {
  if (value === undefined) return DEFAULT_TIMEOUT;
  if (typeof value === 'number' && value >= 0) return value;
  const ErrorClass = typeof value === 'number' ? RangeError : TypeError;
  throw invalidArgument(`${caller}: renderTimeout`, 'milliseconds from 0', value, ErrorClass);
}

/**
 * Takes the first value of a stream, or its error, and completes. After `limit` milliseconds it takes the
 * error that the stream waits out, or a {@link RenderTimeout}.
 */
export function firstState<V>(limit: number): MonoTypeOperatorFunction<WithState<V>> {
  return (states$) =>
    defer(() => {
      let last: WithState<V> | undefined;
      const expire = (): WithState<V> => ({
        value: undefined,
        loading: false,
        stale: true,
        error: last?.error ?? new RenderTimeout(limit),
        since: last?.since ?? null,
      });
      return states$.pipe(
        tap((state) => (last = state)),
        filter(({ loading }) => !loading),
        // A value can arrive before the state drops the error of the attempt before it.
        map((state) =>
          state.value === undefined ? state : { ...state, stale: false, error: null, since: null },
        ),
        limit > LONGEST_TIMER
          ? identity
          : timeout({ first: limit, with: () => defer(() => of(expire())) }),
        take(1),
      );
    });
}
