import { CorduroyError, isKind, withMayBeWritten } from './corduroy-error.ts';
import { isHTTPError } from './http-error.ts';
import type { CorduroyErrorOptions, RequestSummary } from './corduroy-error.ts';

/**
 * Thrown if no response arrived: connection refused or reset, unknown host, bad certificate. In
 * browsers also thrown if CORS does not allow the page to read the response, and if a browser drops
 * the cookie of a login.
 */
export class ConnectionError extends CorduroyError {
  override readonly name = 'ConnectionError' as const;
  /** The platform's error code (`'ECONNREFUSED'`, `'ENOTFOUND'`…); null in browsers. */
  readonly code: string | null;
  /** The probable cause and its fix, which the message includes; null if neither is known. */
  readonly hint: string | null;
  /**
   * Whether the server closed a kept-alive connection when the request was sent, before a byte of the
   * response. Always false in browsers, which send such requests again themselves.
   */
  readonly reusedSocket: boolean;

  constructor(
    message: string,
    options: CorduroyErrorOptions & {
      readonly code?: string | null;
      readonly hint?: string | null;
      readonly reusedSocket?: boolean;
    } = {},
  ) {
    super(message, options);
    this.code = options.code ?? null;
    this.hint = options.hint ?? null;
    this.reusedSocket = options.reusedSocket ?? false;
  }
}

/** Tells whether an error is a {@link ConnectionError}. */
export function isConnectionError(error: unknown): error is ConnectionError {
  return isKind(error, 'ConnectionError');
}

/** Thrown if the server sent nothing for longer than the `timeout` option allows. */
export class TimeoutError extends CorduroyError {
  override readonly name = 'TimeoutError' as const;
  /** The limit that was exceeded, in milliseconds. */
  readonly timeout: number;

  /** @param isWrite - Whether the server may have carried out a write. */
  constructor(timeout: number, request: RequestSummary, isWrite = false) {
    const note = isWrite ? `. ${MAY_BE_WRITTEN}` : '';
    super(`${request.method} ${request.url}: no answer within ${timeout} ms${note}`, {
      request,
      transient: true,
    });
    if (isWrite) withMayBeWritten(this);
    this.timeout = timeout;
  }
}

/** Tells whether an error is Corduroy's {@link TimeoutError}. */
export function isTimeoutError(error: unknown): error is TimeoutError {
  return isKind(error, 'TimeoutError');
}

/** Thrown if a response is unusable: truncated, not JSON, or not in CouchDB's format. */
export class ProtocolError extends CorduroyError {
  override readonly name = 'ProtocolError' as const;
  /** The limit in bytes that the response exceeds; null for other errors. */
  readonly limit: number | null;

  constructor(
    message: string,
    options: CorduroyErrorOptions & { readonly limit?: number | null } = {},
  ) {
    super(message, options);
    this.limit = options.limit ?? null;
  }
}

/** Tells whether an error is a {@link ProtocolError}. */
export function isProtocolError(error: unknown): error is ProtocolError {
  return isKind(error, 'ProtocolError');
}

/** The two origins of a redirect, and why Corduroy does not follow it. */
export interface RefusedRedirect {
  readonly from: string;
  readonly to: string | null;
  readonly problem: string;
}

/**
 * Thrown if the server redirects to where Corduroy does not follow: to another origin, to a URL that is
 * invalid or not http(s), or in a loop. Nothing of the request has reached the other origin.
 *
 * Use the URL that the redirect leads to as the server's URL, if you trust it.
 */
export class RedirectRefused extends CorduroyError {
  override readonly name = 'RedirectRefused' as const;
  /** The origin that redirects. */
  readonly from: string;
  /** The origin that the redirect leads to; null if its URL is invalid. */
  readonly to: string | null;
  /** Why Corduroy does not follow. */
  readonly problem: string;

  constructor({ from, to, problem }: RefusedRedirect, request: RequestSummary) {
    const target = to === null ? '' : ` to ${to}`;
    super(`${request.method} ${request.url}: redirect from ${from}${target} refused: ${problem}`, {
      request,
    });
    this.from = from;
    this.to = to;
    this.problem = problem;
  }
}

/** Tells whether an error is a {@link RedirectRefused}. */
export function isRedirectRefused(error: unknown): error is RedirectRefused {
  return isKind(error, 'RedirectRefused');
}

/**
 * Thrown by a feed if its database was deleted and created again under the same name. The changes
 * so far belong to the old database. A new subscription starts with the new one.
 *
 * CouchDB reports the time of creation in whole seconds. A database that is deleted and created again
 * within the second of its creation is not noticed; the feed then emits all changes of the new one.
 */
export class DatabaseReplaced extends CorduroyError {
  override readonly name = 'DatabaseReplaced' as const;

  constructor(request: RequestSummary) {
    super(`${request.url}: the database was deleted and created again under the same name`, {
      request,
    });
  }
}

/** Tells whether an error is a {@link DatabaseReplaced}. */
export function isDatabaseReplaced(error: unknown): error is DatabaseReplaced {
  return isKind(error, 'DatabaseReplaced');
}

/**
 * Thrown if a checkpoint holds no sequence: it is empty, or damaged. The feed does not start, because
 * changes would be missed or come again. Repair the checkpoint, or delete it.
 */
export class InvalidCheckpoint extends CorduroyError {
  override readonly name = 'InvalidCheckpoint' as const;

  constructor(stored: string) {
    super(`the checkpoint must hold a sequence that CouchDB gave (it holds ${stored})`);
  }
}

/** Tells whether an error is an {@link InvalidCheckpoint}. */
export function isInvalidCheckpoint(error: unknown): error is InvalidCheckpoint {
  return isKind(error, 'InvalidCheckpoint');
}

/** The end of the message of an error if a write may have been carried out. */
export const MAY_BE_WRITTEN = 'The server may have carried out the request';

/** Codes of connections that failed before a byte of the request was sent. */
const UNSENT_CODES = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_SSL_WRONG_VERSION_NUMBER',
]);

/** Tells whether a platform gives this code to a connection that failed before it sent a byte. */
export function isUnsentCode(code: string | null): boolean {
  return UNSENT_CODES.has(code ?? '');
}

/** Tells whether no byte of the request can have arrived. In browsers this is unknown. */
export function wasNotSent(error: unknown): boolean {
  return isConnectionError(error) && isUnsentCode(error.code);
}

/** Tells whether the server may have carried out a write although the request failed. */
export function mayBeWritten(error: unknown): boolean {
  if (isConnectionError(error)) return !wasNotSent(error);
  if (isTimeoutError(error) || isProtocolError(error)) return true;
  return isHTTPError(error) && (error.status >= 500 || error.status === 408);
}
