import { Observable } from 'rxjs';
import { ConnectionError, ProtocolError } from '../errors/connection-error.ts';
import type { CorduroyErrorOptions, RequestSummary } from '../errors/corduroy-error.ts';
import type { BasicCredentials } from './auth.ts';
import type { RequestBody, ResponseHeaders, TransportResponse } from './transport.ts';
import { concatenate } from '../operators/lines.ts';

/** A request as an operation describes it: a relative path, without credentials. */
export interface RequestSpec {
  /** @defaultValue 'GET' */
  readonly method?: string;
  /** The path below the server's URL, encoded, with its query string. */
  readonly path: string;
  /** A body to encode as JSON. */
  readonly json?: unknown;
  /** A body to send unchanged. */
  readonly body?: RequestBody;
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the connection's `timeout`, in milliseconds. */
  readonly timeout?: number;
  /** Whether the response may never end, so that it must not occupy a socket of the pool. */
  readonly endless?: boolean;
  /**
   * Tells whether a response outside 2xx is an answer, rather than an error. Redirects are not followed
   * then.
   */
  readonly isAnswer?: (status: number, headers: ResponseHeaders) => boolean;
}

/** Tells whether a request can be sent twice. An async iterable can be read only once. */
export function isRepeatable({ body }: RequestSpec): boolean {
  return body === undefined || typeof body === 'string' || body instanceof Uint8Array;
}

/** A response whose head has arrived, with its request. */
export interface Exchange extends TransportResponse {
  readonly request: RequestSummary;
}

/** A response with its whole body. */
export interface ReadExchange {
  readonly text: string;
  readonly exchange: Exchange;
}

/** A database as the source or target of a replication: its URL and credentials. */
export interface ReplicationEndpoint {
  readonly url: string;
  readonly auth?: { readonly basic: BasicCredentials };
  readonly headers?: Readonly<Record<string, string>>;
}

/** A decoded response with its status code and headers. */
export interface Answer<T> {
  readonly value: T;
  readonly code: number;
  readonly headers: ResponseHeaders;
}

/** Makes the error of a request without a response. */
export function noResponseError(
  cause: Error & { code?: string },
  request: RequestSummary,
): ConnectionError {
  const { code = null } = cause;
  // A bad certificate stays bad.
  const transient = !/CERT|VERIFY/.test(code ?? '');
  const hint = corsHint(request.url, globalThis.location?.origin);
  const failure = `${request.method} ${request.url}: no connection: ${cause.message}`;
  const message = hint === null ? failure : `${failure}. ${hint}`;
  return new ConnectionError(message, { request, code, cause, transient, hint });
}

/**
 * Returns the advice for a failure in a browser, which does not reveal its cause: CORS may be missing.
 * Returns null if the server has the page's origin, or if there is no page.
 */
function corsHint(url: string, pageOrigin: string | undefined): string | null {
  if (pageOrigin === undefined || new URL(url).origin === pageOrigin) return null;
  return (
    `If the server is there, its CORS settings keep its answers from pages of ${pageOrigin}: CouchDB ` +
    `needs [chttpd] enable_cors = true and [cors] origins = ${pageOrigin}, with credentials = true where ` +
    'cookies are sent, and with headers and methods that allow for this request'
  );
}

/** Makes the error of a response that ended early. */
export function truncatedError(cause: Error, request: RequestSummary): ProtocolError {
  return protocolError(request, `the answer ended early: ${cause.message}`, {
    cause,
    transient: true,
  });
}

/** Makes the error of an unusable response. */
export function protocolError(
  request: RequestSummary,
  problem: string,
  options: CorduroyErrorOptions,
): ProtocolError {
  return new ProtocolError(`${request.method} ${request.url}: ${problem}`, { request, ...options });
}

/** Returns the innermost cause: fetch throws only "fetch failed", with the reason as its cause. */
export function rootCause(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('cause' in error)) return error;
  const { cause } = error;
  return typeof cause === 'object' && cause !== null && 'message' in cause
    ? rootCause(cause)
    : error;
}

// Shared, because it decodes only whole texts and so keeps no state.
const decoder = new TextDecoder();

/** Reads a whole body as text. Emits once, when the last byte has arrived. */
export function readText(body: Observable<Uint8Array>): Observable<string> {
  return collect(body, asText);
}

/** Reads a whole response. Emits once, when the last byte has arrived. */
export function readExchange(exchange: Exchange): Observable<ReadExchange> {
  return collect(exchange.body, (parts) => ({ text: asText(parts), exchange }));
}

/** Reads a whole body as bytes. Emits once, when the last byte has arrived. */
export function readBytes(body: Observable<Uint8Array>): Observable<Uint8Array> {
  return collect(body, concatenate);
}

/** Collects a body in a single Observable without operators, because every response passes here. */
function collect<T>(
  body: Observable<Uint8Array>,
  combine: (parts: readonly Uint8Array[]) => T,
): Observable<T> {
  return new Observable((subscriber) => {
    const parts: Uint8Array[] = [];
    return body.subscribe({
      next: (part) => {
        parts.push(part);
      },
      error: (error: unknown) => subscriber.error(error),
      complete: () => {
        let whole: T;
        try {
          whole = combine(parts);
        } catch (error) {
          // A response can be longer than the longest string.
          subscriber.error(error);
          return;
        }
        subscriber.next(whole);
        subscriber.complete();
      },
    });
  });
}

function asText(parts: readonly Uint8Array[]): string {
  return decoder.decode(concatenate(parts));
}
