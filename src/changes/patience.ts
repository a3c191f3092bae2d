import { retry, tap, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { Pace } from './pace.ts';

/** Tries again what fails for now, at a pace; errors with what is not to be put up with. */
export function patiently<T>(connection: Connection, pace: Pace): MonoTypeOperatorFunction<T> {
  return (work) =>
    work.pipe(
      tap(() => pace.succeeded()),
      retry({
        delay: (error: unknown) => {
          const delay = pace.failed(error);
          return delay === null ? throwError(() => error) : connection.after(delay);
        },
      }),
    );
}
