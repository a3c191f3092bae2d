import { CorduroyError, isKind } from './corduroy-error.ts';
import type { CorduroyErrorOptions, RequestSummary } from './corduroy-error.ts';

/**
 * Thrown when no answer came: connection refused, reset, an unknown host, a bad certificate; and in
 * browsers also when an answer came that the page is not allowed to read (CORS).
 */
export class ConnectionError extends CorduroyError {
  override readonly name = 'ConnectionError' as const;
  /** The platform's word for it (`'ECONNREFUSED'`, `'ENOTFOUND'`…), or null in browsers. */
  readonly code: string | null;
  /** What may be behind it and how to mend it, where that can be told; it is in the message too. */
  readonly hint: string | null;

  constructor(
    message: string,
    options: CorduroyErrorOptions & {
      readonly code?: string | null;
      readonly hint?: string | null;
    } = {},
  ) {
    super(message, options);
    this.code = options.code ?? null;
    this.hint = options.hint ?? null;
  }
}

/** Tells whether an error is a {@link ConnectionError}. */
export function isConnectionError(error: unknown): error is ConnectionError {
  return isKind(error, 'ConnectionError');
}

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

/** Thrown when an answer ended early or cannot be understood: truncated, not JSON, not CouchDB's. */
export class ProtocolError extends CorduroyError {
  override readonly name = 'ProtocolError' as const;
}

/** Tells whether an error is a {@link ProtocolError}. */
export function isProtocolError(error: unknown): error is ProtocolError {
  return isKind(error, 'ProtocolError');
}

/**
 * Thrown by a feed whose database was deleted and made again under the same name meanwhile: what it
 * had delivered is of another database. A new subscription begins with the new one.
 */
export class DatabaseReplaced extends CorduroyError {
  override readonly name = 'DatabaseReplaced' as const;

  constructor(request: RequestSummary) {
    super(`${request.url}: the database was deleted, and made again under the same name`, {
      request,
    });
  }
}

/** Tells whether an error is a {@link DatabaseReplaced}. */
export function isDatabaseReplaced(error: unknown): error is DatabaseReplaced {
  return isKind(error, 'DatabaseReplaced');
}
