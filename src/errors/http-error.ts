import type { Observable } from 'rxjs';
import { CorduroyError, brand, isKind, isTransientAnswer } from './corduroy-error.ts';
import type { RequestSummary } from './corduroy-error.ts';

/** What an HTTP answer says of its failure. */
export interface HTTPErrorDetails {
  readonly status: number;
  /** CouchDB's short word for it: `'not_found'`, `'conflict'`… */
  readonly error: string;
  /** CouchDB's sentence. */
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly request: RequestSummary;
}

/** Thrown when the server answered with a status other than 2xx. The base of one class a status. */
export class HTTPError extends CorduroyError {
  override readonly name: string = 'HTTPError';
  readonly status: number;
  /** CouchDB's short word for what went wrong, as in `'not_found'`; `''` where it gave none. */
  readonly error: string;
  /** CouchDB's sentence on what went wrong; `''` where it gave none. */
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  declare readonly request: RequestSummary;

  constructor(details: HTTPErrorDetails) {
    const { status, error, reason, request } = details;
    const said = [error, reason].filter((part) => part !== '').join(': ');
    super(`${request.method} ${request.url}: ${status}${said && ` ${said}`}`, {
      request,
      transient: isTransientAnswer(status, error),
    });
    this.status = status;
    this.error = error;
    this.reason = reason;
    this.headers = details.headers;
  }

  static {
    brand(this, 'HTTPError');
  }
}

/** Tells whether an error is an answer of the server other than 2xx. */
export function isHTTPError(error: unknown): error is HTTPError {
  return isKind(error, 'HTTPError');
}

/** Thrown when the server cannot make sense of the request (400). */
export class BadRequest extends HTTPError {
  override readonly name = 'BadRequest' as const;
}

/** Thrown when credentials are missing or wrong (401). */
export class Unauthorized extends HTTPError {
  override readonly name = 'Unauthorized' as const;
}

/** Thrown when these credentials may not do this, or a validation function refused it (403). */
export class Forbidden extends HTTPError {
  override readonly name = 'Forbidden' as const;
}

/** Thrown when there is no such database, document, attachment, view… (404). */
export class NotFound extends HTTPError {
  override readonly name = 'NotFound' as const;
  /** Whether there was such a document, and it has been deleted. */
  readonly deleted: boolean;

  constructor(details: HTTPErrorDetails) {
    super(details);
    this.deleted = details.reason === 'deleted';
  }
}

/** What a {@link Conflict} carries of an unfinished save: a `ConflictResolution`. */
export interface Resolvable {
  readonly pending: ReadonlyMap<string, unknown>;
  readonly resolved: ReadonlyMap<string, unknown>;
  // oxlint-disable-next-line typescript/no-explicit-any -- an error does not know the type of documents
  resolve(merge: (local: any, server: any) => any): Observable<Resolvable>;
  overwrite(): Observable<Resolvable>;
  toString(): string;
}

/** Thrown when a document was changed meanwhile: its `_rev` is not the server's (409). */
export class Conflict extends HTTPError {
  override readonly name = 'Conflict' as const;
  /** The unfinished save, to be resolved or overwritten; null for requests other than a save. */
  declare readonly resolution: Resolvable | null;

  constructor(details: HTTPErrorDetails, resolution: Resolvable | null = null) {
    super(details);
    // A resolution holds documents and a connection: it is no part of what a log should show.
    Object.defineProperty(this, 'resolution', { value: resolution, enumerable: false });
  }
}

/** Thrown when what should be made exists already (412). */
export class PreconditionFailed extends HTTPError {
  override readonly name = 'PreconditionFailed' as const;
}

/** Thrown when a document, an attachment or a request is larger than the server takes (413). */
export class PayloadTooLarge extends HTTPError {
  override readonly name = 'PayloadTooLarge' as const;
}

/** Thrown when the server, or a proxy in front of it, throttles (429). */
export class TooManyRequests extends HTTPError {
  override readonly name = 'TooManyRequests' as const;
}

/** Thrown when the server failed (5xx). */
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
