import type { RequestSummary } from './corduroy-error.ts';
import { HTTPError } from './http-error.ts';
import type { HTTPErrorDetails } from './http-error.ts';
import type { Redact } from './redact.ts';
import {
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

const LONGEST_REASON = 300;

/** The funnel: turns an answer other than 2xx into the error of its class, without credentials. */
export function errorFromResponse(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  request: RequestSummary,
  redact: Redact,
): HTTPError {
  const { error, reason } = explain(body);
  return httpError({
    status,
    headers: redactHeaders(headers, redact),
    error: redact(error),
    reason: redact(reason),
    request,
  });
}

/** Makes the error of the class that belongs to a status. */
export function httpError(details: HTTPErrorDetails): HTTPError {
  const Class = CLASSES[details.status] ?? (details.status >= 500 ? ServerError : HTTPError);
  return new Class(details);
}

/** The headers of an answer as they may be shown: no cookies, no credentials. */
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

/** CouchDB answers `{error, reason}`; proxies answer HTML or text, of which the words are kept. */
function explain(body: string): { error: string; reason: string } {
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer === 'object' && answer !== null) {
      const { error, reason, status } = answer as Partial<Record<string, unknown>>;
      // `/_up` says `{"status":"maintenance_mode"}`.
      return { error: asText(error ?? status), reason: asText(reason) };
    }
  } catch {
    // Not JSON: no answer of CouchDB itself.
  }
  const words = body.replace(/(<[^>]*>|\s)+/g, ' ').trim();
  return { error: '', reason: words.slice(0, LONGEST_REASON) };
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
