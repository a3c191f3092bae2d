import { CorduroyError, brand, isKind } from './corduroy-error.ts';
import type { RequestSummary } from './corduroy-error.ts';
import { isTransientAnswer } from './transient.ts';

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
