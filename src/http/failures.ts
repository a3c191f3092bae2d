import { ConnectionError } from '../errors/connection-error.ts';
import type { CorduroyErrorOptions, RequestSummary } from '../errors/corduroy-error.ts';
import { ProtocolError } from '../errors/protocol-error.ts';

/** Makes the error of a request to which no answer came. */
export function unreachable(
  cause: Error & { code?: string },
  request: RequestSummary,
): ConnectionError {
  const { code = null } = cause;
  // Certificates do not mend themselves.
  const transient = !/CERT|VERIFY/.test(code ?? '');
  const what = `${request.method} ${request.url}: no connection: ${cause.message}`;
  return new ConnectionError(what, { request, code, cause, transient });
}

/** Makes the error of an answer that broke off. */
export function cutShort(cause: Error, request: RequestSummary): ProtocolError {
  return protocolError(request, `the answer ended early: ${cause.message}`, {
    cause,
    transient: true,
  });
}

/** Makes the error of an answer that cannot be used. */
export function protocolError(
  request: RequestSummary,
  what: string,
  options: CorduroyErrorOptions,
): ProtocolError {
  return new ProtocolError(`${request.method} ${request.url}: ${what}`, { request, ...options });
}

/** Finds what happened: fetch says only "fetch failed"; what happened is in the cause. */
export function innermost(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('cause' in error)) return error;
  const { cause } = error;
  return typeof cause === 'object' && cause !== null && 'message' in cause
    ? innermost(cause)
    : error;
}
