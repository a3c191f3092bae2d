import {
  EMPTY,
  bufferTime,
  catchError,
  concat,
  connect,
  defer,
  exhaustMap,
  filter,
  map,
  mergeMap,
  startWith,
  takeWhile,
  throwError,
} from 'rxjs';
import type { MonoTypeOperatorFunction, Observable, SchedulerLike } from 'rxjs';

/**
 * Gathers arrays of items into one array at most every `latency` milliseconds. The first item after
 * a silence opens a window; with a latency of 0 each item comes by itself, as soon as it is there.
 *
 * What is in an open window when the source completes or errors is emitted before the end.
 *
 * ```
 * source:                 -a--b---------c-#
 * bufferLatency(5):       ------x---------(y#)    x: ab, y: c
 * ```
 */
export function bufferLatency<T>(
  latency: number,
  scheduler: SchedulerLike,
): MonoTypeOperatorFunction<readonly T[]> {
  if (latency === 0) return mergeMap((items) => items.map((item) => [item]));
  return (source) =>
    afterError(source, (items$) =>
      items$.pipe(
        filter((items) => items.length > 0),
        connect((shared$) =>
          shared$.pipe(
            // `bufferTime` alone would tick for ever, at rest as well, and keep virtual time running.
            exhaustMap((first) =>
              shared$.pipe(
                startWith(first),
                bufferTime(latency, scheduler),
                takeWhile((window) => window.length > 0),
              ),
            ),
          ),
        ),
        map(flattened),
      ),
    );
}

/** Lets a stream end as if there were no error, and errors then: `bufferTime` drops its window. */
function afterError<T, R>(
  source: Observable<T>,
  project: (withoutError: Observable<T>) => Observable<R>,
): Observable<R> {
  return defer(() => {
    let failure: { readonly error: unknown } | undefined;
    const withoutError = source.pipe(
      catchError((error: unknown) => {
        failure = { error };
        return EMPTY;
      }),
    );
    const end = defer(() => {
      const failed = failure;
      return failed === undefined ? EMPTY : throwError(() => failed.error);
    });
    return concat(project(withoutError), end);
  });
}

/** The items of several arrays; those of one are not copied. */
function flattened<T>(window: readonly (readonly T[])[]): readonly T[] {
  const [first] = window;
  if (window.length === 1 && first !== undefined) return first;
  const all: T[] = [];
  for (const items of window) for (const item of items) all.push(item);
  return all;
}
