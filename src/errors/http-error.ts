import {
  CorduroyError,
  brand,
  isKind,
  isTransientAnswer,
  withResolution,
} from './corduroy-error.ts';
import type { RequestSummary, Resolvable } from './corduroy-error.ts';

/** The properties of an HTTP response that reports a failure. */
export interface HTTPErrorDetails {
  readonly status: number;
  /** CouchDB's error code: `'not_found'`, `'conflict'`… */
  readonly error: string;
  /** CouchDB's explanation. */
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly request: RequestSummary;
  /** The same before masking. Decisions read it. Default: the values above. */
  readonly raw?: RawAnswer;
}

/** The parts of a response that decisions read, with credentials that it may contain. */
export interface RawAnswer {
  readonly error: string;
  readonly reason: string;
  /** The header `retry-after`. */
  readonly retryAfter: string | undefined;
}

/** Not a property of the error, because logs print properties. */
const rawAnswers = new WeakMap<HTTPError, RawAnswer>();

/**
 * Returns what the server answered, for decisions: a mask in `error.reason` must not change them.
 * Never show it.
 */
export function rawAnswer(failure: HTTPError): RawAnswer {
  const { error, reason, headers } = failure;
  return rawAnswers.get(failure) ?? { error, reason, retryAfter: headers['retry-after'] };
}

/**
 * Thrown if the server answered with a status other than 2xx. The base class of one class for each
 * common status.
 *
 * @see https://docs.couchdb.org/en/stable/api/basics.html#http-status-codes
 */
export class HTTPError extends CorduroyError {
  override readonly name: string = 'HTTPError';
  /** The HTTP status code. */
  readonly status: number;
  /** CouchDB's error code, such as `'not_found'`; `''` if it sent none. */
  readonly error: string;
  /** CouchDB's explanation; `''` if it sent none. */
  readonly reason: string;
  /** The response headers, without cookies and credentials. */
  readonly headers: Readonly<Record<string, string>>;
  declare readonly request: RequestSummary;

  constructor(details: HTTPErrorDetails, transient?: boolean) {
    const { status, error, reason, request } = details;
    const explanation = [error, reason].filter((part) => part !== '').join(': ');
    super(`${request.method} ${request.url}: ${status}${explanation && ` ${explanation}`}`, {
      request,
      transient: transient ?? isTransientAnswer(status, details.raw?.error ?? error),
    });
    if (details.raw !== undefined) rawAnswers.set(this, details.raw);
    this.status = status;
    this.error = error;
    this.reason = reason;
    this.headers = details.headers;
  }

  static {
    brand(this, 'HTTPError');
  }
}

/** Tells whether an error is a response with a status other than 2xx. */
export function isHTTPError(error: unknown): error is HTTPError {
  return isKind(error, 'HTTPError');
}

/** Thrown if the server cannot understand the request (400). */
export class BadRequest extends HTTPError {
  override readonly name = 'BadRequest' as const;
}

/** Thrown if credentials are missing or wrong (401). */
export class Unauthorized extends HTTPError {
  override readonly name = 'Unauthorized' as const;
}

/** Thrown if the user lacks the permission, or a validation function rejected the write (403). */
export class Forbidden extends HTTPError {
  override readonly name: 'Forbidden' | 'AccountLocked' = 'Forbidden';

  static {
    brand(this, 'Forbidden');
  }
}

/**
 * Thrown if CouchDB has locked the account (403), because several logins with its name failed. The
 * lock also refuses correct passwords. CouchDB removes it, by default five minutes after the first
 * failure. The error is transient: feeds and live queries wait until the lock ends.
 *
 * @see https://docs.couchdb.org/en/stable/config/auth.html
 */
export class AccountLocked extends Forbidden {
  override readonly name = 'AccountLocked' as const;

  constructor(details: HTTPErrorDetails) {
    super(details, true);
  }
}

/** Thrown if the database, document, attachment, view… does not exist (404). */
export class NotFound extends HTTPError {
  override readonly name = 'NotFound' as const;
  /** Whether the document existed and was deleted. */
  readonly deleted: boolean;

  constructor(details: HTTPErrorDetails) {
    super(details);
    this.deleted = rawAnswer(this).reason === 'deleted';
  }
}

/** Thrown if a document has changed meanwhile: its `_rev` is not the server's (409). */
export class Conflict extends HTTPError {
  override readonly name = 'Conflict' as const;

  constructor(details: HTTPErrorDetails, resolution: Resolvable | null = null) {
    super(details);
    withResolution(this, resolution);
  }
}

/** Thrown if the database to create exists already, or a precondition of the request fails (412). */
export class PreconditionFailed extends HTTPError {
  override readonly name = 'PreconditionFailed' as const;
}

/** Thrown if a document, an attachment or a request exceeds the server's size limit (413). */
export class PayloadTooLarge extends HTTPError {
  override readonly name = 'PayloadTooLarge' as const;
}

/** Thrown if the server, or a proxy in front of it, throttles the client (429). */
export class TooManyRequests extends HTTPError {
  override readonly name = 'TooManyRequests' as const;
}

/** Thrown if the server failed (5xx). */
export class ServerError extends HTTPError {
  override readonly name = 'ServerError' as const;
}

/** Tells whether an error is a {@link BadRequest}. */
export const isBadRequest = (error: unknown): error is BadRequest => isKind(error, 'BadRequest');
/** Tells whether an error is an {@link Unauthorized}. */
export const isUnauthorized = (error: unknown): error is Unauthorized =>
  isKind(error, 'Unauthorized');
/** Tells whether an error is a {@link Forbidden}. */
export const isForbidden = (error: unknown): error is Forbidden => isKind(error, 'Forbidden');
/** Tells whether an error is an {@link AccountLocked}. */
export const isAccountLocked = (error: unknown): error is AccountLocked =>
  isKind(error, 'AccountLocked');
/** Tells whether an error is a {@link NotFound}. */
export const isNotFound = (error: unknown): error is NotFound => isKind(error, 'NotFound');
/** Tells whether an error is a {@link Conflict}. */
export const isConflict = (error: unknown): error is Conflict => isKind(error, 'Conflict');
/** Tells whether an error is a {@link PreconditionFailed}. */
export const isPreconditionFailed = (error: unknown): error is PreconditionFailed =>
  isKind(error, 'PreconditionFailed');
/** Tells whether an error is a {@link PayloadTooLarge}. */
export const isPayloadTooLarge = (error: unknown): error is PayloadTooLarge =>
  isKind(error, 'PayloadTooLarge');
/** Tells whether an error is a {@link TooManyRequests}. */
export const isTooManyRequests = (error: unknown): error is TooManyRequests =>
  isKind(error, 'TooManyRequests');
/** Tells whether an error is a {@link ServerError}. */
export const isServerError = (error: unknown): error is ServerError => isKind(error, 'ServerError');
