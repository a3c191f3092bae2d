import { Observable, asyncScheduler, catchError, map, mergeMap, throwError, timeout } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { ConnectionError } from '../errors/connection-error.ts';
import type { CorduroyError, RequestSummary } from '../errors/corduroy-error.ts';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import { errorFromResponse } from '../errors/from-response.ts';
import { ProtocolError } from '../errors/protocol-error.ts';
import { describeCause, redactor } from '../errors/redact.ts';
import type { Redact } from '../errors/redact.ts';
import { TimeoutError } from '../errors/timeout-error.ts';
import { assertJson } from '../model/json.ts';
import { authorize } from './auth.ts';
import type { Auth } from './auth.ts';
import { readText } from './body.ts';
import { defaultTransport } from './default-transport.ts';
import type { RequestBody, ResponseHeaders, Transport, TransportResponse } from './transport.ts';
import { parseAddress } from './url.ts';

/** The server that is meant where none is named. */
export const DEFAULT_URL = 'http://127.0.0.1:5984';

/** How values are written to the wire and read from it. */
export interface JsonCodec {
  readonly parse: (text: string) => unknown;
  readonly stringify: (value: unknown) => string;
}

/** How a server is reached. */
export interface ConnectionOptions {
  /** Who asks. Wins over credentials in the URL. */
  readonly auth?: Auth | undefined;
  /**
   * What carries the requests.
   * @defaultValue `gotTransport()` in Node, `fetchTransport()` elsewhere
   */
  readonly transport?: Transport | undefined;
  /** Headers for every request; in browsers CouchDB's CORS rules let few through. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * How long the server may be silent, in milliseconds, before its answer and between two pieces
   * of it; 0 for as long as it likes. Feeds have a heartbeat instead.
   * @defaultValue 120000
   */
  readonly timeout?: number | undefined;
  /**
   * What reads and writes JSON.
   * @defaultValue `JSON`
   */
  readonly codec?: JsonCodec | undefined;
  /**
   * What every delay, window and timeout runs on; a `TestScheduler` makes time virtual.
   * @defaultValue `asyncScheduler`
   */
  readonly scheduler?: SchedulerLike | undefined;
}

/** A request as an operation describes it: relative, and without credentials. */
export interface RequestSpec {
  readonly method: string;
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

/** A decoded answer with its head. */
export interface Answer<T> {
  readonly value: T;
  readonly code: number;
  readonly headers: ResponseHeaders;
}

/** One server, and how it is reached: what every operation sends its requests through. */
export class Connection {
  /** The server's URL, without credentials and without a slash at the end. */
  readonly url: string;
  readonly codec: JsonCodec;
  readonly scheduler: SchedulerLike;
  readonly #transport: Transport;
  readonly #timeout: number;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #redact: Redact;

  constructor(url: string, options: ConnectionOptions = {}) {
    const address = parseAddress(url);
    const { auth, headers = {}, timeout: silence = 120_000 } = options;
    if (!(silence >= 0)) throw new RangeError('timeout must be a number of milliseconds from 0');
    const authorization = auth === undefined ? address.authorization : authorize(auth);
    const own = lowerCase(headers);
    this.url = address.url;
    this.codec = options.codec ?? JSON;
    this.scheduler = options.scheduler ?? asyncScheduler;
    this.#transport = options.transport ?? defaultTransport();
    this.#timeout = silence;
    this.#headers = { accept: 'application/json', ...own, ...authorization.headers };
    this.#redact = redactor([
      ...authorization.secrets,
      // What a user sends in a header of their own is as likely a key as not.
      ...Object.values(own).filter((value) => value.length > 7),
    ]);
  }

  /**
   * Sends one request at each subscription.
   *
   * Emits the answer when its head has arrived with a status of 2xx, and completes when its body
   * has been read; errors with the class of any other status, or with what kept the answer away.
   * `describe` is asked anew each time.
   */
  send(describe: () => RequestSpec): Observable<TransportResponse> {
    return new Observable((subscriber) => {
      const spec = describe();
      const request = this.#complete(spec);
      const summary = { method: spec.method, url: this.#redact(request.url) };
      const silence = spec.timeout ?? this.#timeout;
      const answer = this.#transport.send(request);
      return this.#within(silence, 'first', answer, summary)
        .pipe(
          catchError((error: unknown) => throwError(() => this.#unreachable(error, summary))),
          mergeMap((response) => {
            const body = this.#within(silence, 'each', response.body, summary).pipe(
              catchError((error: unknown) => throwError(() => this.#cutShort(error, summary))),
            );
            if (response.status >= 200 && response.status < 300) {
              return [{ ...response, body }];
            }
            return readText(body).pipe(
              mergeMap((text) =>
                throwError(() =>
                  errorFromResponse(response.status, response.headers, text, summary, this.#redact),
                ),
              ),
            );
          }),
        )
        .subscribe(subscriber);
    });
  }

  /** Sends one request at each subscription, and emits its answer decoded from JSON. */
  json<T>(
    describe: () => RequestSpec,
    decode: (body: unknown, response: TransportResponse) => T,
  ): Observable<Answer<T>> {
    return new Observable((subscriber) => {
      let summary: RequestSummary | undefined;
      const remember = (): RequestSpec => {
        const spec = describe();
        summary = { method: spec.method, url: this.#redact(this.url + spec.path) };
        return spec;
      };
      return this.send(remember)
        .pipe(
          mergeMap((response) =>
            readText(response.body).pipe(
              map((text) => ({
                value: this.#decode(text, response, decode, summary),
                code: response.status,
                headers: withoutCookies(response.headers),
              })),
            ),
          ),
        )
        .subscribe(subscriber);
    });
  }

  #complete(spec: RequestSpec): {
    method: string;
    url: string;
    headers: Record<string, string>;
    body: RequestBody | undefined;
    endless: boolean;
  } {
    const headers: Record<string, string> = Object.assign({}, this.#headers, spec.headers);
    let { body } = spec;
    if (spec.json !== undefined) {
      assertJson(spec.json, 'The body');
      body = this.codec.stringify(spec.json);
      headers['content-type'] = 'application/json';
    }
    return {
      method: spec.method,
      url: this.url + spec.path,
      headers,
      body,
      endless: spec.endless === true,
    };
  }

  #within<T>(
    silence: number,
    which: 'first' | 'each',
    source: Observable<T>,
    request: RequestSummary,
  ): Observable<T> {
    if (silence === 0) return source;
    return source.pipe(
      timeout({
        [which]: silence,
        scheduler: this.scheduler,
        with: () => throwError(() => new TimeoutError(silence, request)),
      }),
    );
  }

  #decode<T>(
    text: string,
    response: TransportResponse,
    decode: (body: unknown, response: TransportResponse) => T,
    request: RequestSummary | undefined,
  ): T {
    const where = request === undefined ? '' : `${request.method} ${request.url}: `;
    let body: unknown;
    try {
      body = text === '' ? null : this.codec.parse(text);
    } catch (error) {
      const start = JSON.stringify(this.#redact(text.slice(0, 200)).slice(0, 60));
      const cause = describeCause(error, this.#redact);
      throw new ProtocolError(
        `${where}the answer under status ${response.status} is not JSON: it begins with ${start}`,
        { request, cause, transient: true },
      );
    }
    try {
      return decode(body, response);
    } catch (error) {
      if (isCorduroyError(error)) throw error;
      const cause = describeCause(error, this.#redact);
      throw new ProtocolError(`${where}the answer is not what CouchDB answers: ${cause.message}`, {
        request,
        cause,
      });
    }
  }

  #unreachable(error: unknown, request: RequestSummary): CorduroyError {
    if (isCorduroyError(error)) return error;
    const cause = describeCause(innermost(error), this.#redact);
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : null;
    return new ConnectionError(
      `${request.method} ${request.url}: no connection: ${cause.message}`,
      {
        request,
        code,
        cause,
        transient: code === null || !PERMANENT.test(code),
      },
    );
  }

  #cutShort(error: unknown, request: RequestSummary): CorduroyError {
    if (isCorduroyError(error)) return error;
    const cause = describeCause(innermost(error), this.#redact);
    return new ProtocolError(
      `${request.method} ${request.url}: the answer ended early: ${cause.message}`,
      { request, cause, transient: true },
    );
  }
}

/** Certificates and URLs do not mend themselves. */
const PERMANENT =
  /^ERR_TLS|CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_INVALID|ERR_UNSUPPORTED|REDIRECTS/;

/** fetch says only "fetch failed"; what happened is in the cause. */
function innermost(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('cause' in error)) return error;
  const { cause } = error;
  return typeof cause === 'object' && cause !== null && 'message' in cause
    ? innermost(cause)
    : error;
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  const lower: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string') throw new TypeError(`headers: ${name} must be a string`);
    lower[name.toLowerCase()] = value;
  }
  return lower;
}

function withoutCookies(headers: ResponseHeaders): ResponseHeaders {
  if (!('set-cookie' in headers)) return headers;
  const { 'set-cookie': _cookie, ...rest } = headers;
  return rest;
}
