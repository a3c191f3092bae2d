import {
  EMPTY,
  bufferTime,
  catchError,
  concat,
  defer,
  filter,
  map,
  mergeMap,
  throwError,
} from 'rxjs';
import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';

/**
 * Gathers arrays of items into one array each `latency` milliseconds; windows without items give
 * none. With a latency of 0 each item comes by itself, as soon as it is there.
 *
 * What is in an open window when the source completes or errors is emitted before the end:
 * `bufferTime` alone would lose it on an error.
 *
 * ```
 * source:                 -a--b-----c-#
 * bufferLatency(5):       -----(x)----(y#)    x: ab, y: c
 * ```
 */
export function bufferLatency<T>(
  latency: number,
  scheduler: SchedulerLike,
): MonoTypeOperatorFunction<readonly T[]> {
  if (latency === 0) {
    return mergeMap((items) => items.map((item) => [item]));
  }
  return (source) =>
    defer(() => {
      let failure: { readonly error: unknown } | undefined;
      const withoutError = source.pipe(
        catchError((error: unknown) => {
          failure = { error };
          return EMPTY;
        }),
      );
      return concat(
        withoutError.pipe(
          bufferTime(latency, scheduler),
          map((window) => window.flat()),
          filter((items) => items.length > 0),
        ),
        defer(() => {
          const failed = failure;
          return failed === undefined ? EMPTY : throwError(() => failed.error);
        }),
      );
    });
}
