import { merge, mergeMap, retry, take, tap, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import type { RetryPolicy } from '../operators/retry-policy.ts';
import type { Connection } from './connection.ts';

/** Tries again what fails for now, at a pace; errors with what is not to be put up with. */
export function retryTransient<T>(
  connection: Connection,
  pace: RetryPolicy,
): MonoTypeOperatorFunction<T> {
  return (work) =>
    work.pipe(
      tap(() => pace.succeeded()),
      retry({
        delay: (error: unknown) => {
          const delay = retryDelay(error, connection, pace);
          return delay === null
            ? throwError(() => error)
            : waitForRetry(delay, error, connection, pace);
        },
      }),
    );
}

/**
 * Returns how long to wait after a failure, in milliseconds: `Infinity` for other credentials, where
 * they may come and failures are put up with; null where the failure is not to be waited out.
 */
export function retryDelay(
  error: unknown,
  connection: Connection,
  pace: RetryPolicy,
): number | null {
  const delay = pace.failed(error);
  const mayRecover = pace.tolerance > 0 && connection.authenticator.mayRecover(error);
  return delay === null && mayRecover ? Infinity : delay;
}

/** Waits as long as `retryDelay` says; for other credentials no longer than failures are put up with. */
export function waitForRetry(
  delay: number,
  error: unknown,
  connection: Connection,
  { tolerance }: RetryPolicy,
): Observable<unknown> {
  if (delay !== Infinity) return connection.after(delay);
  const { changed$ } = connection.authenticator;
  if (tolerance === Infinity) return changed$.pipe(take(1));
  const tooLong = connection.after(tolerance).pipe(mergeMap(() => throwError(() => error)));
  return merge(changed$, tooLong).pipe(take(1));
}
