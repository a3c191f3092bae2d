import {
  Observable,
  asyncScheduler,
  catchError,
  map,
  mergeMap,
  throwError,
  timeout,
  timer,
} from 'rxjs';
import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import type { CorduroyError, RequestSummary } from '../errors/corduroy-error.ts';
import { errorFromResponse } from '../errors/from-response.ts';
import { describeCause, redactor } from '../errors/redact.ts';
import type { Redact } from '../errors/redact.ts';
import { TimeoutError } from '../errors/timeout-error.ts';
import { assertJson } from '../model/json.ts';
import { mustBe } from '../model/must-be.ts';
import { authorize } from './auth.ts';
import type { Authorization } from './auth.ts';
import { readText } from './body.ts';
import type { ConnectionOptions, JsonCodec } from './connection-options.ts';
import { defaultTransport } from './default-transport.ts';
import type { Answer, Exchange, ReplicationEnd, RequestSpec } from './exchange.ts';
import { cutShort, innermost, protocolError, unreachable } from './failures.ts';
import type { ResponseHeaders, Transport, TransportRequest } from './transport.ts';
import { databasePath, parseAddress } from './url.ts';

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
  readonly #authorization: Authorization;

  constructor(url: string, options: ConnectionOptions = {}) {
    const address = parseAddress(url);
    const { auth, headers = {}, timeout: silence = 120_000 } = options;
    if (!(silence >= 0)) throw mustBe('timeout', 'milliseconds from 0', silence, RangeError);
    const authorization = auth === undefined ? address.authorization : authorize(auth);
    const own = lowerCase(headers);
    this.url = address.url;
    this.#authorization = authorization;
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

  /** Waits, on the scheduler of this connection; emits once. */
  after(milliseconds: number): Observable<unknown> {
    return timer(milliseconds, this.scheduler);
  }

  /** Describes a database of this server to a server that replicates. */
  replicationEnd(database: string): ReplicationEnd {
    const url = this.url + databasePath(database);
    const { basic, headers } = this.#authorization;
    if (basic !== undefined) return { url, auth: { basic } };
    return headers['authorization'] === undefined ? { url } : { url, headers };
  }

  /**
   * Sends one request at each subscription.
   *
   * Emits the answer when its head has arrived with a status of 2xx, and completes when its body
   * has been read; errors with the class of any other status, or with what kept the answer away.
   * `describe` is asked anew each time.
   */
  send(describe: () => RequestSpec): Observable<Exchange> {
    return new Observable((subscriber) => {
      const spec = describe();
      const request = { method: spec.method ?? 'GET', url: this.#redact(this.url + spec.path) };
      const silence = spec.timeout ?? this.#timeout;
      return this.#transport
        .send(this.#complete(spec))
        .pipe(
          this.#guard('first', silence, request, unreachable),
          mergeMap(({ status, headers, body: raw }) => {
            const body = raw.pipe(this.#guard('each', silence, request, cutShort));
            if (status >= 200 && status < 300) {
              return [{ status, headers: withoutCookies(headers), body, request }];
            }
            const refuse = (text: string): never => {
              throw errorFromResponse(status, headers, text, request, this.#redact);
            };
            return readText(body).pipe(map(refuse));
          }),
        )
        .subscribe(subscriber);
    });
  }

  /** Sends one request at each subscription, and emits its answer decoded from JSON. */
  json<T>(
    describe: () => RequestSpec,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Observable<Answer<T>> {
    return this.send(describe).pipe(
      mergeMap((exchange) =>
        readText(exchange.body).pipe(
          map((text) => ({
            value: this.#decode(text, exchange, decode),
            code: exchange.status,
            headers: exchange.headers,
          })),
        ),
      ),
    );
  }

  #complete(spec: RequestSpec): TransportRequest {
    const headers: Record<string, string> = Object.assign({}, this.#headers, spec.headers);
    let { body } = spec;
    if (spec.json !== undefined) {
      assertJson(spec.json, 'The body');
      body = this.codec.stringify(spec.json);
      headers['content-type'] = 'application/json';
    }
    const { method = 'GET', path, endless } = spec;
    return { method, url: this.url + path, headers, body, endless };
  }

  /** Ends a silence, and turns what a platform threw into an error of ours. */
  #guard<T>(
    which: 'first' | 'each',
    silence: number,
    request: RequestSummary,
    explain: (cause: Error, request: RequestSummary) => CorduroyError,
  ): MonoTypeOperatorFunction<T> {
    return (source) => {
      const watched =
        silence === 0
          ? source
          : source.pipe(
              timeout({
                [which]: silence,
                scheduler: this.scheduler,
                with: () => throwError(() => new TimeoutError(silence, request)),
              }),
            );
      return watched.pipe(
        catchError((error: unknown) => {
          throw isCorduroyError(error)
            ? error
            : explain(describeCause(innermost(error), this.#redact), request);
        }),
      );
    };
  }

  #decode<T>(
    text: string,
    exchange: Exchange,
    decode: (body: unknown, exchange: Exchange) => T,
  ): T {
    let body: unknown;
    try {
      body = text === '' ? null : this.codec.parse(text);
    } catch (error) {
      const start = JSON.stringify(this.#redact(text.slice(0, 200)).slice(0, 60));
      throw protocolError(
        exchange.request,
        `the answer under status ${exchange.status} is not JSON: it begins with ${start}`,
        { cause: describeCause(error, this.#redact), transient: true },
      );
    }
    try {
      return decode(body, exchange);
    } catch (error) {
      if (isCorduroyError(error)) throw error;
      const cause = describeCause(error, this.#redact);
      const what = `the answer is not what CouchDB answers: ${cause.message}`;
      throw protocolError(exchange.request, what, { cause });
    }
  }
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
