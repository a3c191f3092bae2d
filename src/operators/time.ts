import {
  EMPTY,
  Observable,
  Subscription,
  asapScheduler,
  asyncScheduler,
  buffer,
  bufferTime,
  catchError,
  concat,
  connect,
  defer,
  exhaustMap,
  filter,
  map,
  mergeMap,
  repeat,
  startWith,
  takeWhile,
  throwError,
} from 'rxjs';
import type { MonoTypeOperatorFunction, OperatorFunction, SchedulerLike } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';

/**
 * Returns a duration in milliseconds that the caller of a method gave. `Infinity` is valid: it means
 * that the time never ends.
 *
 * @param name - The name of the option, for the error.
 * @throws TypeError if it is not a number; RangeError for NaN and negative numbers.
 */
export function duration(value: unknown, name: string): number {
  if (typeof value === 'number' && value >= 0) return value;
  const ErrorClass = typeof value === 'number' ? RangeError : TypeError;
  throw invalidArgument(name, 'milliseconds from 0', value, ErrorClass);
}

/** The longest delay of a timer, in milliseconds. The platforms run a longer timer at once. */
export const LONGEST_TIMER = 2_147_483_647;

/** Calls a function once after a delay of any length; never if the delay is `Infinity`. */
export function schedule(work: () => void, delay: number, scheduler: SchedulerLike): Subscription {
  if (delay <= LONGEST_TIMER) return scheduler.schedule(() => work(), delay);
  const timers = new Subscription();
  if (delay === Infinity) return timers;
  const proceed = (): void => {
    timers.add(schedule(work, delay - LONGEST_TIMER, scheduler));
  };
  timers.add(scheduler.schedule(proceed, LONGEST_TIMER));
  return timers;
}

/** Emits once after a delay of any length, and completes; never if the delay is `Infinity`. */
export function after(delay: number, scheduler: SchedulerLike): Observable<0> {
  // Browsers delay each timer of a hidden page by up to a second.
  const isTurn = delay === 0 && scheduler === asyncScheduler;
  return new Observable((subscriber) =>
    schedule(
      () => {
        subscriber.next(0);
        subscriber.complete();
      },
      delay,
      isTurn ? asapScheduler : scheduler,
    ),
  );
}

/**
 * Returns a clock for durations, in milliseconds. It never goes back, even if the user sets the
 * computer's clock back. The clock of a virtual scheduler is the scheduler itself.
 *
 * Get it when a duration starts, because `TestScheduler.run` makes `asyncScheduler` virtual.
 */
export function clock(scheduler: SchedulerLike): () => number {
  return isRealTime(scheduler) ? monotonicTime : () => scheduler.now();
}

/** Whether the clock of a scheduler is that of the computer. */
export function isRealTime(scheduler: SchedulerLike): boolean {
  return Math.abs(scheduler.now() - Date.now()) < 1000;
}

function monotonicTime(): number {
  return performance.now();
}

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
                windows(latency, scheduler),
                takeWhile((window) => window.length > 0),
              ),
            ),
          ),
        ),
        map(flatten),
      ),
    );
}

function windows<T>(latency: number, scheduler: SchedulerLike): OperatorFunction<T, T[]> {
  return latency <= LONGEST_TIMER
    ? bufferTime(latency, scheduler)
    : buffer(after(latency, scheduler).pipe(repeat()));
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
