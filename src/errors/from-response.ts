import type { RequestSummary } from './corduroy-error.ts';
import { HTTPError } from './http-error.ts';
import type { HTTPErrorDetails } from './http-error.ts';
import { MASK } from './redact.ts';
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

/** The limits of what an error shows, in characters. */
const MAX_PAGE_LENGTH = 300;
const MAX_REASON_LENGTH = 2000;
const MAX_CODE_LENGTH = 200;

/**
 * Makes the error for a response with a status other than 2xx, without credentials. It decides on the
 * raw response, then masks, and then shortens.
 */
export function errorFromResponse(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  request: RequestSummary,
  redact: Redact,
): HTTPError {
  const answer = parseBody(body);
  if (answer !== null) return errorFromAnswer(status, headers, answer, request, redact);
  return httpError({
    status,
    headers: redactHeaders(headers, redact),
    error: '',
    reason: cleanPage(body, redact),
    request,
    raw: { error: '', reason: pageText(body), retryAfter: headers['retry-after'] },
  });
}

/** Makes the error for an answer of CouchDB that reports a failure, without credentials. */
export function errorFromAnswer(
  status: number,
  headers: Readonly<Record<string, string>>,
  { error, reason }: { readonly error: string; readonly reason: string },
  request: RequestSummary,
  redact: Redact,
): HTTPError {
  const details = {
    status,
    headers: redactHeaders(headers, redact),
    error: redact(error, MAX_CODE_LENGTH),
    reason: redact(reason, MAX_REASON_LENGTH),
    request,
    raw: { error, reason, retryAfter: headers['retry-after'] },
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

/** The functions that mask the headers of 2xx responses. Most headers are never shown. */
const redactions = new WeakMap<object, Redact>();
let viewers = 0;

/** Announces that headers of responses will be shown. Returns a function that ends it. */
export function viewHeaders(): () => void {
  viewers += 1;
  return () => {
    viewers -= 1;
  };
}

/** Records how to mask the headers of a response, if a viewer waits. An entry costs 1 µs. */
export function rememberRedaction(headers: Readonly<Record<string, string>>, redact: Redact): void {
  if (viewers > 0) redactions.set(headers, redact);
}

/** Returns the headers of a response that a viewer has waited for, without cookies and credentials. */
export function cleanHeaders(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const redact = redactions.get(headers);
  return redact === undefined ? headers : redactHeaders(headers, redact);
}

/** Headers of requests too, because a server can send back what it received. */
const SECRET_HEADERS = new Set([
  'authorization',
  'cookie',
  'proxy-authorization',
  'set-cookie',
  'set-cookie2',
  'x-auth-couchdb-token',
]);

/** Returns the headers of a response without cookies and credentials. */
export function redactHeaders(
  headers: Readonly<Record<string, string>>,
  redact: Redact,
): Record<string, string> {
  const clean: Record<string, string> = {};
  for (const name of Object.keys(headers)) {
    const shown = redact(name);
    if (!SECRET_HEADERS.has(name)) clean[shown] = redact(headers[name] ?? '');
  }
  return clean;
}

/** Reads CouchDB's `{error, reason}`. Returns null for the page of a proxy. */
function parseBody(body: string): { error: string; reason: string } | null {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== 'object' || parsed === null) return null;
    const { error, reason, status } = parsed as Partial<Record<string, unknown>>;
    // `/_up` reports its failure as `{"status":"maintenance_mode"}`.
    return { error: asText(error ?? status), reason: asText(reason) };
  } catch {
    // Not JSON, or nested too deeply.
    return null;
  }
}

/** Returns the text of a page without credentials. */
function cleanPage(page: string, redact: Redact): string {
  const clean = redact(page);
  // Tags and blanks may split a credential, which the mask then does not find.
  const joined = clean.replace(/<[^<>]*>|\s+/g, '').replaceAll('@', '%40');
  // An encoded `@` is read as the same character, but does not make an address of joined words.
  return redact(joined, joined.length) === joined ? pageText(clean) : MASK;
}

/** Returns the text of an HTML or plain-text page. Its expressions take linear time. */
function pageText(page: string): string {
  const text = page.replace(/<[^<>]*>/g, ' ').replace(/\s+/g, ' ');
  return text.trim().slice(0, MAX_PAGE_LENGTH);
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
