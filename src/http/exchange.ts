import { Observable } from 'rxjs';
import {
  ConnectionError,
  ProtocolError,
  RedirectRefused,
  isRedirectRefused,
} from '../errors/connection-error.ts';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import type { CorduroyErrorOptions, RequestSummary } from '../errors/corduroy-error.ts';
import { describeCause } from '../errors/redact.ts';
import type { Redact, Redactions } from '../errors/redact.ts';
import type { JsonCodec } from './connection-options.ts';
import { guarded } from '../operators/to-observable.ts';
import type { BasicCredentials } from './auth.ts';
import type { Priority } from './link.ts';
import type { RetryOptions } from './retry.ts';
import type { RequestBody, ResponseHeaders, TransportResponse } from './transport.ts';
import { Chunks } from '../operators/lines.ts';

/** A request as an operation describes it: a relative path, without credentials. */
export interface RequestSpec {
  /** @defaultValue 'GET' */
  readonly method?: string;
  /** The path with names in place of values, without a query: `/{db}/{docid}`. */
  readonly route: string;
  /** Whether the request changes nothing. @defaultValue true for GET and HEAD, else false */
  readonly reads?: boolean;
  /**
   * Whether a second request leaves the server as one does, and has the same response.
   * @defaultValue that of `reads`
   */
  readonly repeatable?: boolean;
  /** @defaultValue that of the connection: 'normal' */
  readonly priority?: Priority;
  /** @defaultValue that of the connection */
  readonly retry?: RetryOptions | false;
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
  /** Secrets in the body, such as a new password. Errors mask them. */
  readonly secrets?: readonly string[];
  /** Values of headers that may be secret. Errors mask them, but not in paths. */
  readonly secretHeaders?: readonly string[];
}

/** Tells whether a request can be sent twice. An async iterable can be read only once. */
export function isRepeatable({ body }: RequestSpec): boolean {
  return body === undefined || typeof body === 'string' || body instanceof Uint8Array;
}

/** A response whose head has arrived, with its request. */
export interface Exchange extends TransportResponse {
  readonly request: RequestSummary;
  /** Masks the credentials of the connection and of this request. */
  readonly redact: Redact;
  /** The connection's limit. */
  readonly maxBodySize: number;
}

/** A request with its URL, which is made when an error shows it. */
export class SentRequest implements RequestSummary {
  readonly method: string;
  readonly #base: string;
  readonly #path: string;
  readonly #redactions: () => Redactions;

  constructor({ method = 'GET', path }: RequestSpec, base: string, redactions: () => Redactions) {
    this.method = method;
    this.#base = base;
    this.#path = path;
    this.#redactions = redactions;
  }

  /** Of clean parts: a base without userinfo, and a path without credentials. */
  get url(): string {
    return this.#base + this.#redactions().path(this.#path);
  }
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
  if (pageOrigin === undefined || url === pageOrigin || url.startsWith(`${pageOrigin}/`))
    return null;
  return (
    `If the server is there, its CORS settings keep its answers from pages of ${pageOrigin}: CouchDB ` +
    `needs [chttpd] enable_cors = true and [cors] origins = ${pageOrigin}, with credentials = true where ` +
    'cookies are sent, and with headers and methods that allow for this request'
  );
}

/** Makes the error for what a transport has thrown. */
export function explainFailure(
  thrown: unknown,
  makeError: typeof noResponseError | typeof truncatedError,
  request: RequestSummary,
  redact: Redact,
): Error {
  if (isRedirectRefused(thrown)) {
    const { from, to, problem } = thrown;
    return new RedirectRefused({ from, to: to === null ? null : redact(to), problem }, request);
  }
  if (isCorduroyError(thrown)) return thrown;
  return makeError(describeCause(rootCause(thrown), redact), request);
}

/** Decodes the text of a response. An error that `decode` throws becomes a `ProtocolError`. */
export function decodeBody<T>(
  codec: JsonCodec,
  text: string,
  exchange: Exchange,
  decode: (body: unknown, exchange: Exchange) => T,
): T {
  const { request, redact, status } = exchange;
  let body: unknown;
  try {
    body = text === '' ? null : codec.parse(text);
  } catch (error) {
    const start = JSON.stringify(redact(text, 60));
    const problem = `the answer under status ${status} is not JSON: it begins with ${start}`;
    const cause = describeCause(error, redact);
    throw protocolError(request, problem, { cause, transient: true });
  }
  try {
    return decode(body, exchange);
  } catch (error) {
    if (isCorduroyError(error)) throw error;
    const cause = describeCause(error, redact);
    const problem = `the answer is not in CouchDB's format: ${cause.message}`;
    throw protocolError(request, problem, { cause });
  }
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
  options: CorduroyErrorOptions & { readonly limit?: number },
): ProtocolError {
  return new ProtocolError(`${request.method} ${request.url}: ${problem}`, { request, ...options });
}

/** Returns the innermost cause: fetch throws only "fetch failed", with the reason as its cause. */
function rootCause(error: unknown): unknown {
  let root = error;
  // A chain of causes can be a cycle.
  for (let depth = 0; depth < 10; depth++) {
    if (typeof root !== 'object' || root === null || !('cause' in root)) break;
    const { cause } = root;
    if (typeof cause !== 'object' || cause === null || !('message' in cause)) break;
    root = cause;
  }
  return root;
}

// Shared, because it decodes only whole texts and so keeps no state.
const decoder = /* @__PURE__ */ new TextDecoder();

/** Makes the error of a body, a line or a row that is longer than the connection allows. */
export function sizeError(
  { request, maxBodySize }: Pick<Exchange, 'request' | 'maxBodySize'>,
  what: string,
): ProtocolError {
  const problem = `${what} is longer than maxBodySize (${maxBodySize} bytes)`;
  return protocolError(request, problem, { limit: maxBodySize });
}

/** Limits the length of one line: the list may be of any length. */
export function lineLimit(exchange: Pick<Exchange, 'request' | 'maxBodySize'>): {
  readonly max: number;
  readonly tooLong: () => Error;
} {
  const { maxBodySize: max } = exchange;
  return { max, tooLong: () => sizeError(exchange, 'a line of the answer') };
}

/** The limit for the body of an error, in bytes. */
const MAX_ERROR_BODY = 65_536;

/** The start of the body of an error. */
export interface ErrorText {
  readonly text: string;
  /** Whether the body ended early, stalled or could not be decompressed. */
  readonly isDamaged: boolean;
}

/**
 * Reads the start of the body of an error as text. Emits once, and cancels a longer body. Never errors:
 * the status is known, and a damaged body must not hide that the server refused the request.
 */
export function readErrorText(body: Observable<Uint8Array>): Observable<ErrorText> {
  return collect(body, asErrorText, MAX_ERROR_BODY, null, true);
}

/** Reads a whole body as text, without a limit. Emits once, when the last byte has arrived. */
export function readText(body: Observable<Uint8Array>): Observable<string> {
  return collect(body, asText, Infinity, null);
}

/** Reads a whole response. Emits once, when the last byte has arrived. */
export function readExchange(exchange: Exchange): Observable<ReadExchange> {
  return collectBody(exchange, (bytes) => ({ text: asText(bytes), exchange }));
}

/** Reads a whole body as bytes. Emits once, when the last byte has arrived. */
export function readBytes(exchange: Exchange): Observable<Uint8Array> {
  return collectBody(exchange, (bytes) => bytes);
}

function collectBody<T>(exchange: Exchange, combine: (bytes: Uint8Array) => T): Observable<T> {
  const tooLong = (): Error => sizeError(exchange, 'the answer');
  return collect(exchange.body, combine, exchange.maxBodySize, tooLong);
}

/**
 * Collects a body in a single Observable without operators, because every response passes here.
 *
 * @param tooLong - Makes the error of a longer body; null to cut it after `max` bytes.
 * @param acceptsDamage - Whether an error of the body ends it, so that the bytes before it are emitted.
 */
function collect<T>(
  body: Observable<Uint8Array>,
  combine: (bytes: Uint8Array, isDamaged: boolean) => T,
  max: number,
  tooLong: (() => Error) | null,
  acceptsDamage = false,
): Observable<T> {
  return new Observable((subscriber) => {
    const chunks = new Chunks();
    const finish = (isDamaged = false): void => {
      subscriber.next(combine(chunks.take(), isDamaged));
      subscriber.complete();
    };
    return body.subscribe(
      guarded(subscriber, {
        next: (part) => {
          if (chunks.length + part.length <= max) {
            chunks.add(part);
          } else if (tooLong === null) {
            chunks.add(part.subarray(0, max - chunks.length));
            finish();
          } else {
            subscriber.error(tooLong());
          }
        },
        // A response can be longer than the longest string: `guarded` reports what `combine` throws.
        complete: finish,
        error: (failure: unknown) => {
          if (acceptsDamage) finish(true);
          else subscriber.error(failure);
        },
      }),
    );
  });
}

function asErrorText(bytes: Uint8Array, isDamaged: boolean): ErrorText {
  return { text: asText(bytes), isDamaged };
}

function asText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
