import { CorduroyError, isKind } from './corduroy-error.ts';
import type { RequestSummary } from './corduroy-error.ts';

/** Thrown when the server was silent for longer than the `timeout` option allows. */
export class TimeoutError extends CorduroyError {
  override readonly name = 'TimeoutError' as const;
  /** The silence that was allowed, in milliseconds. */
  readonly timeout: number;

  constructor(timeout: number, request: RequestSummary) {
    super(`${request.method} ${request.url}: no answer within ${timeout} ms`, {
      request,
      transient: true,
    });
    this.timeout = timeout;
  }
}

/** Tells whether an error is Corduroy's {@link TimeoutError}. */
export function isTimeoutError(error: unknown): error is TimeoutError {
  return isKind(error, 'TimeoutError');
}
