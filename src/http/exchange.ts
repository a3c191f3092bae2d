import { Observable } from 'rxjs';
import { ConnectionError, ProtocolError } from '../errors/connection-error.ts';
import type { CorduroyErrorOptions, RequestSummary } from '../errors/corduroy-error.ts';
import type { BasicCredentials } from './auth.ts';
import type { RequestBody, ResponseHeaders, TransportResponse } from './transport.ts';
import { concatenate } from '../operators/lines.ts';

/** A request as an operation describes it: relative, and without credentials. */
export interface RequestSpec {
  /** @defaultValue 'GET' */
  readonly method?: string;
  /** The path below the server's URL, encoded, with the query string. */
  readonly path: string;
  /** A body to be written as JSON. */
  readonly json?: unknown;
  /** A body that is sent as it is. */
  readonly body?: RequestBody;
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the connection's `timeout`, in milliseconds. */
  readonly timeout?: number;
  readonly endless?: boolean;
}

/** Whether a request can be sent a second time: a stream of bytes is gone when it has been read. */
export function isRepeatable({ body }: RequestSpec): boolean {
  return body === undefined || typeof body === 'string' || body instanceof Uint8Array;
}

/** An answer whose head has come, with the request that it is to. */
export interface Exchange extends TransportResponse {
  readonly request: RequestSummary;
}

/** An answer that has been read. */
export interface ReadExchange {
  readonly text: string;
  readonly exchange: Exchange;
}

/** A database as the other end of a replication: where it is, and who may read or write it. */
export interface ReplicationEndpoint {
  readonly url: string;
  readonly auth?: { readonly basic: BasicCredentials };
  readonly headers?: Readonly<Record<string, string>>;
}

/** A decoded answer with its head. */
export interface Answer<T> {
  readonly value: T;
  readonly code: number;
  readonly headers: ResponseHeaders;
}

/** Makes the error of a request to which no answer came. */
export function noAnswerError(
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
export function truncatedError(cause: Error, request: RequestSummary): ProtocolError {
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
export function rootCause(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('cause' in error)) return error;
  const { cause } = error;
  return typeof cause === 'object' && cause !== null && 'message' in cause
    ? rootCause(cause)
    : error;
}

// Decodes whole texts alone, so it keeps nothing from one to the next.
const decoder = new TextDecoder();

/** Reads a body whole, as text. Emits once, when the last byte is there. */
export function readText(body: Observable<Uint8Array>): Observable<string> {
  return read(body, asText);
}

/** Reads an answer whole. Emits once, when the last byte is there. */
export function readExchange(exchange: Exchange): Observable<ReadExchange> {
  return read(exchange.body, (parts) => ({ text: asText(parts), exchange }));
}

/** Reads a body whole, as bytes. Emits once, when the last byte is there. */
export function readBytes(body: Observable<Uint8Array>): Observable<Uint8Array> {
  return read(body, concatenate);
}

/** One layer, for every answer passes through it. */
function read<T>(
  body: Observable<Uint8Array>,
  finish: (parts: readonly Uint8Array[]) => T,
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
          whole = finish(parts);
        } catch (error) {
          // There are answers that are longer than a string can be.
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
