import { Observable, defer, of } from 'rxjs';
import { ProtocolError } from '../errors/connection-error.ts';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import type { CorduroyErrorOptions, RequestSummary } from '../errors/corduroy-error.ts';
import { describeCause } from '../errors/redact.ts';
import type { JsonCodec } from './connection-options.ts';
import { guarded } from '../operators/to-observable.ts';
import type { BasicCredentials } from './auth.ts';
import type { Exchange, Link } from './link.ts';
import type { ResponseHeaders } from './transport.ts';
import { Chunks } from '../operators/lines.ts';

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

/** Makes the error of an unusable response. */
export function protocolError(
  request: RequestSummary,
  problem: string,
  options: CorduroyErrorOptions & { readonly limit?: number },
): ProtocolError {
  return new ProtocolError(`${request.method} ${request.url}: ${problem}`, { request, ...options });
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

/** Returns a response whose body {@link wholeBodyLink} has read. */
export function asRead(exchange: Exchange): ReadExchange {
  return { text: asText(exchange.bytes ?? new Uint8Array()), exchange };
}

/** Reads a whole body as bytes. Emits once, when the last byte has arrived. */
export function readBytes(exchange: Exchange): Observable<Uint8Array> {
  return collectBody(exchange, (bytes) => bytes);
}

/**
 * Reads the whole body before it emits the response, for readers that need all of it. A failure in the
 * body is then a failure of the attempt, which can be repeated.
 */
export const wholeBodyLink: Link = (request, next) =>
  request.context.isWhole ? withWholeBody(next(request) as Observable<Exchange>) : next(request);

function withWholeBody(exchange$: Observable<Exchange>): Observable<Exchange> {
  return new Observable((subscriber) => {
    // A transport may complete before its body does.
    let active = 1;
    const complete = (): void => {
      active -= 1;
      if (active === 0) subscriber.complete();
    };
    return exchange$.subscribe(
      guarded(subscriber, {
        next: (exchange) => {
          active += 1;
          const next = (whole: Exchange): void => subscriber.next(whole);
          const body = collectBody(
            exchange,
            (bytes): Exchange => new WholeExchange(exchange, bytes),
          );
          subscriber.add(body.subscribe(guarded(subscriber, { next, complete })));
        },
        complete,
      }),
    );
  });
}

/** A response whose body has been read. */
class WholeExchange implements Exchange {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly request: RequestSummary;
  readonly redact: Exchange['redact'];
  readonly maxBodySize: number;
  readonly bytes: Uint8Array;
  readonly body: Observable<Uint8Array>;

  constructor({ status, headers, request, redact, maxBodySize }: Exchange, bytes: Uint8Array) {
    this.status = status;
    this.headers = headers;
    this.request = request;
    this.redact = redact;
    this.maxBodySize = maxBodySize;
    this.bytes = bytes;
    this.body = of(bytes);
  }
}

function collectBody<T>(exchange: Exchange, combine: (bytes: Uint8Array) => T): Observable<T> {
  const { bytes } = exchange;
  if (bytes !== undefined) return defer(() => of(combine(bytes)));
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
