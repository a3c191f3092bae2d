import type { RequestSummary } from './corduroy-error.ts';
import { HTTPError } from './http-error.ts';
import type { HTTPErrorDetails } from './http-error.ts';
import type { Redact } from './redact.ts';
import {
  AccountLocked,
  BadRequest,
  Conflict,
  Forbidden,
  NotFound,
  PayloadTooLarge,
  PreconditionFailed,
  ServerError,
  TooManyRequests,
  Unauthorized,
} from './http-error.ts';

const CLASSES: Readonly<Record<number, new (details: HTTPErrorDetails) => HTTPError>> = {
  400: BadRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  409: Conflict,
  412: PreconditionFailed,
  413: PayloadTooLarge,
  429: TooManyRequests,
};

const MAX_REASON_LENGTH = 300;

/** Makes the error for a response with a status other than 2xx, without credentials. */
export function errorFromResponse(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  request: RequestSummary,
  redact: Redact,
): HTTPError {
  const { error, reason } = parseBody(body);
  const details = {
    status,
    headers: redactHeaders(headers, redact),
    error: redact(error),
    reason: redact(reason),
    request,
  };
  // Decided from the reason as CouchDB sent it, because a word of it may be a secret.
  if (status === 403 && LOCKED.test(reason)) return new AccountLocked(details);
  const failure = httpError(details);
  if (status === 401 && WRONG_PASSWORD.test(reason)) wrongPasswords.add(failure);
  return failure;
}

/** The reason of CouchDB 3.4 and later, for an account with too many failed logins. */
const LOCKED = /^account is temporarily locked/i;
/** The reason of CouchDB for a wrong name or password. It also has other reasons for a 401. */
const WRONG_PASSWORD = /^name or password is incorrect/i;

const wrongPasswords = new WeakSet();

/** Tells whether CouchDB refused the name or the password, and not the request. */
export function isWrongPassword(error: unknown): boolean {
  return typeof error === 'object' && error !== null && wrongPasswords.has(error);
}

/** Makes an error of the class for a status. */
export function httpError(details: HTTPErrorDetails): HTTPError {
  const Class = CLASSES[details.status] ?? (details.status >= 500 ? ServerError : HTTPError);
  return new Class(details);
}

/** Returns the headers of a response without cookies and credentials. */
export function redactHeaders(
  headers: Readonly<Record<string, string>>,
  redact: Redact,
): Record<string, string> {
  const clean: Record<string, string> = {};
  for (const name of Object.keys(headers)) {
    if (name !== 'set-cookie') clean[name] = redact(headers[name] ?? '');
  }
  return clean;
}

/** Reads CouchDB's `{error, reason}`, or the text of a proxy's HTML or plain-text page. */
function parseBody(body: string): { error: string; reason: string } {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null) {
      const { error, reason, status } = parsed as Partial<Record<string, unknown>>;
      // `/_up` reports its failure as `{"status":"maintenance_mode"}`.
      return { error: asText(error ?? status), reason: asText(reason) };
    }
  } catch {
    // Not JSON: the page of a proxy.
  }
  const text = body.replace(/(<[^>]*>|\s)+/g, ' ').trim();
  return { error: '', reason: text.slice(0, MAX_REASON_LENGTH) };
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
