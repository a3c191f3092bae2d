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
 * Collects arrays of items into one array at most every `latency` milliseconds. The first item after
 * an idle period opens a window. With a latency of 0 each item is emitted alone and at once.
 *
 * - **Temperature:** that of the source.
 * - **Emits** no empty array.
 * - **Completes, errors** with the source, after it has emitted the items of the open window.
 * - **On unsubscribe** the items of the open window are dropped, and the timer stops.
 *
 * @param latency - The length of a window, in milliseconds.
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
            // `bufferTime` alone would tick for ever, even without items, and never end virtual time.
            exhaustMap((first) =>
              shared$.pipe(
                startWith(first),
                bufferTime(latency, scheduler),
                takeWhile((window) => window.length > 0),
              ),
            ),
          ),
        ),
        map(flatten),
      ),
    );
}

/** Completes the projected stream before it errors, because `bufferTime` drops its window on an error. */
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
    const failure$ = defer(() => {
      const caught = failure;
      return caught === undefined ? EMPTY : throwError(() => caught.error);
    });
    return concat(project(withoutError), failure$);
  });
}

/** Concatenates arrays. Returns a single array as it is. */
function flatten<T>(window: readonly (readonly T[])[]): readonly T[] {
  const [first] = window;
  if (window.length === 1 && first !== undefined) return first;
  const all: T[] = [];
  for (const items of window) for (const item of items) all.push(item);
  return all;
}
