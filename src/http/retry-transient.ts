import { merge, mergeMap, retry, take, tap, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { RetryPolicy } from '../operators/retry-policy.ts';
import type { Connection } from './connection.ts';

/** Told before each wait: the failures so far, the delay in milliseconds, and the error. */
export type OnWait = (attempt: number, delay: number, error: CorduroyError) => void;

/**
 * Returns an operator that retries transient errors with backoff, until the policy gives up. After a
 * 401 it also retries when the credentials change. It emits, completes and errors as its source does.
 */
export function retryTransient<T>(
  connection: Connection,
  policy: RetryPolicy,
  onWait: OnWait = () => {},
): MonoTypeOperatorFunction<T> {
  return (source) =>
    source.pipe(
      tap(() => policy.succeeded()),
      retry({
        delay: (error: CorduroyError) => {
          const delay = retryDelay(error, connection, policy);
          if (delay === null) return throwError(() => error);
          onWait(policy.attempt, delay, error);
          return waitForRetry(delay, error, connection, policy);
        },
      }),
    );
}

/**
 * Returns the delay before a retry, in milliseconds. `Infinity` means: wait for other credentials.
 * Null means: do not retry.
 */
export function retryDelay(
  error: unknown,
  connection: Connection,
  policy: RetryPolicy,
): number | null {
  const delay = policy.failed(error);
  const mayRecover = policy.tolerance > 0 && connection.authenticator.mayRecover(error);
  return delay === null && mayRecover ? Infinity : delay;
}

/**
 * Emits when a retry is due, after the delay from {@link retryDelay}. Errors with `error` if other
 * credentials do not arrive within the policy's tolerance.
 */
export function waitForRetry(
  delay: number,
  error: unknown,
  connection: Connection,
  { tolerance }: RetryPolicy,
): Observable<unknown> {
  if (delay !== Infinity) return connection.after(delay);
  const { changed$ } = connection.authenticator;
  if (tolerance === Infinity) return changed$.pipe(take(1));
  const timeout$ = connection.after(tolerance).pipe(mergeMap(() => throwError(() => error)));
  return merge(changed$, timeout$).pipe(take(1));
}
