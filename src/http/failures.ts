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
  const hint = corsHint(request.url, globalThis.location?.origin);
  const what = `${request.method} ${request.url}: no connection: ${cause.message}`;
  const message = hint === null ? what : `${what}. ${hint}`;
  return new ConnectionError(message, { request, code, cause, transient, hint });
}

/**
 * What may be behind a failure of which a browser says nothing more: a server that lets no page of
 * another origin read its answers. Null where that cannot be it.
 */
function corsHint(url: string, page: string | undefined): string | null {
  if (page === undefined || new URL(url).origin === page) return null;
  return (
    `If the server is there, its CORS settings keep its answers from pages of ${page}: CouchDB needs ` +
    `[chttpd] enable_cors = true and [cors] origins = ${page}, with credentials = true where ` +
    'cookies are sent, and with headers and methods that allow for this request'
  );
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
