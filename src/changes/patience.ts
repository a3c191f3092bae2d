import { merge, mergeMap, retry, take, tap, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { Pace } from './pace.ts';

/** Tries again what fails for now, at a pace; errors with what is not to be put up with. */
export function patiently<T>(connection: Connection, pace: Pace): MonoTypeOperatorFunction<T> {
  return (work) =>
    work.pipe(
      tap(() => pace.succeeded()),
      retry({
        delay: (error: unknown) => {
          const delay = waitAfter(error, connection, pace);
          return delay === null ? throwError(() => error) : pause(delay, error, connection, pace);
        },
      }),
    );
}

/**
 * Returns how long to wait after a failure, in milliseconds: `Infinity` for other credentials, where
 * they may come and failures are put up with; null where the failure is not to be waited out.
 */
export function waitAfter(error: unknown, connection: Connection, pace: Pace): number | null {
  const delay = pace.failed(error);
  const mayRecover = pace.tolerance > 0 && connection.authenticator.mayRecover(error);
  return delay === null && mayRecover ? Infinity : delay;
}

/** Waits as long as `waitAfter` says; for other credentials no longer than failures are put up with. */
export function pause(
  delay: number,
  error: unknown,
  connection: Connection,
  { tolerance }: Pace,
): Observable<unknown> {
  if (delay !== Infinity) return connection.after(delay);
  const { changed$ } = connection.authenticator;
  if (tolerance === Infinity) return changed$.pipe(take(1));
  const tooLong = connection.after(tolerance).pipe(mergeMap(() => throwError(() => error)));
  return merge(changed$, tooLong).pipe(take(1));
}
