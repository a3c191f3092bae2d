import { Observable, asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import { errorFromResponse, isWrongPassword } from '../errors/from-response.ts';
import { Redactor, describeCause } from '../errors/redact.ts';
import type { Redact } from '../errors/redact.ts';
import { TimeoutError } from '../errors/connection-error.ts';
import { assertJson } from '../model/json.ts';
import { assertHeader } from './auth.ts';
import type { Authorization } from './auth.ts';
import { Authenticator } from './authenticator.ts';
import { coalescing } from './coalescing.ts';
import type { Coalescing } from './coalescing.ts';
import type { ConnectionOptions, JsonCodec } from './connection-options.ts';
import { defaultTransport } from './fetch-transport.ts';
import {
  isRepeatable,
  noResponseError,
  protocolError,
  readExchange,
  readText,
  rootCause,
  truncatedError,
} from './exchange.ts';
import type {
  Answer,
  Exchange,
  ReadExchange,
  ReplicationEndpoint,
  RequestSpec,
} from './exchange.ts';
import { withIdleTimeout } from './idle-timeout.ts';
import { Nodes } from './nodes.ts';
import type { ResponseHeaders, Transport, TransportRequest } from './transport.ts';
import { databasePath, explainEmptyAnswer, parseAddresses } from './url.ts';
import { after, duration } from '../operators/time.ts';

/** A connection to one server, or to the nodes of a cluster. It sends the requests of all operations. */
export class Connection {
  /** The URL of the server, or of the first node, without credentials and without a final slash. */
  readonly url: string;
  readonly codec: JsonCodec;
  readonly scheduler: SchedulerLike;
  /** How single reads and writes are combined, unless a database overrides it; null if they are not. */
  readonly coalescing: Coalescing | null;
  readonly authenticator: Authenticator;
  readonly #transport: Transport;
  readonly #timeout: number;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #redactor: Redactor;
  readonly #redact: Redact;
  readonly #nodes: Nodes | null;

  constructor(url: string | readonly string[], options: ConnectionOptions = {}) {
    const { url: first, urls, authorization: urlAuthorization } = parseAddresses(url);
    const { auth = urlAuthorization, headers = {}, timeout = 120_000 } = options;
    const ownHeaders = lowerCase(headers);
    this.url = first;
    this.codec = options.codec ?? JSON;
    this.scheduler = options.scheduler ?? asyncScheduler;
    this.coalescing = coalescing(options.coalesce ?? false, this.scheduler);
    this.#transport = options.transport ?? defaultTransport();
    this.#timeout = duration(timeout, 'timeout');
    this.#headers = { accept: 'application/json', ...ownHeaders };
    // A custom header may hold a key.
    this.#redactor = new Redactor(Object.values(ownHeaders).filter((value) => value.length > 7));
    this.#redact = this.#redactor.redact;
    this.#nodes = urls.length === 1 ? null : new Nodes(urls, this.scheduler, options.nodeBackoff);
    this.authenticator = new Authenticator(auth, {
      scheduler: this.scheduler,
      send: (spec, authorization) => this.#sendAs(spec, authorization),
      hide: (secrets) => this.hide(secrets),
    });
  }

  /** Emits once after a delay, on the scheduler of this connection. */
  after(milliseconds: number): Observable<unknown> {
    return after(milliseconds, this.scheduler);
  }

  /** Masks secrets in all errors from now on. */
  hide(secrets: readonly string[]): void {
    this.#redactor.hide(secrets);
  }

  /** Masks the credentials of this connection in a text. */
  get redact(): Redact {
    return this.#redact;
  }

  /** Describes a database of this server as the source or target of a replication. */
  replicationEndpoint(database: string): ReplicationEndpoint {
    const url = this.url + databasePath(database);
    const { basic, headers } = this.authenticator.immediate;
    if (basic !== undefined) return { url, auth: { basic } };
    return Object.keys(headers).length === 0 ? { url } : { url, headers };
  }

  /**
   * Sends a request at each subscription.
   *
   * - **Temperature:** cold. Each subscription calls `describe` again.
   * - **Emits** the response when its head has arrived with a 2xx status.
   * - **Completes** when the body has been read.
   * - **Errors** with the class of any other status, or with the reason that no response arrived.
   * - **On unsubscribe** the exchange is aborted.
   *
   * One subscription may send several requests: after a 401, or if a node fails.
   */
  send(describe: () => RequestSpec): Observable<Exchange> {
    return new Observable((subscriber) => {
      const { fixed } = this.authenticator;
      if (fixed !== null) return this.#sendAs(describe(), fixed).subscribe(subscriber);
      let spec: RequestSpec = { path: '' };
      return this.authenticator
        .send(
          (authorization) => this.#sendAs((spec = describe()), authorization),
          () => isRepeatable(spec),
        )
        .subscribe(subscriber);
    });
  }

  /** Sends a request at each subscription, and emits its response decoded from JSON. */
  json<T>(
    describe: () => RequestSpec,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Observable<Answer<T>> {
    return new Observable((subscriber) => {
      let active = 1;
      const complete = (): void => {
        active -= 1;
        if (active === 0) subscriber.complete();
      };
      const error = (failure: unknown): void => subscriber.error(failure);
      const next = (response: ReadExchange): void => {
        let answer: Answer<T>;
        try {
          answer = this.decode(response, decode);
        } catch (failure) {
          error(failure);
          return;
        }
        subscriber.next(answer);
      };
      return this.send(describe).subscribe({
        next: (exchange) => {
          active += 1;
          subscriber.add(readExchange(exchange).subscribe({ next, error, complete }));
        },
        error,
        complete,
      });
    });
  }

  /** Decodes a response from JSON. An error that `decode` throws becomes a `ProtocolError`. */
  decode<T>(
    { text, exchange }: ReadExchange,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Answer<T> {
    const value = this.#decode(text, exchange, decode);
    return { value, code: exchange.status, headers: exchange.headers };
  }

  /** Sends a request with given credentials, to the server or to an available node. */
  #sendAs(spec: RequestSpec, authorization: Authorization): Observable<Exchange> {
    return this.#nodes === null
      ? this.#exchange(spec, authorization, this.url)
      : this.#nodes.send(spec, (url) => this.#exchange(spec, authorization, url));
  }

  #exchange(spec: RequestSpec, authorization: Authorization, base: string): Observable<Exchange> {
    const request = { method: spec.method ?? 'GET', url: this.#redact(base + spec.path) };
    const timeout = spec.timeout ?? this.#timeout;
    const explain =
      (makeError: typeof noResponseError | typeof truncatedError) =>
      (cause: unknown): Error =>
        isCorduroyError(cause)
          ? cause
          : makeError(describeCause(rootCause(cause), this.#redact), request);
    return new Observable((subscriber) => {
      let failed = false;
      const error = (failure: unknown): void => subscriber.error(failure);
      return withIdleTimeout(this.#complete(spec, authorization, base), this.#transport, {
        timeout,
        scheduler: this.scheduler,
        timeoutError: () => new TimeoutError(timeout, request),
        explainFailure: explain(noResponseError),
        explainTruncation: explain(truncatedError),
      }).subscribe({
        next: ({ status, headers, body }) => {
          if ((status >= 200 && status < 300) || spec.isAnswer?.(status, headers) === true) {
            subscriber.next({
              status,
              headers: takeCookies(headers, authorization),
              body,
              request,
            });
            return;
          }
          failed = true;
          const fail = (text: string): void => {
            const reason = text || explainEmptyAnswer(status, request.method, spec.path);
            const failure = errorFromResponse(status, headers, reason, request, this.#redact);
            if (isWrongPassword(failure)) authorization.onRefused?.(failure);
            error(failure);
          };
          subscriber.add(readText(body).subscribe({ next: fail, error }));
        },
        error,
        complete: () => {
          if (!failed) subscriber.complete();
        },
      });
    });
  }

  #complete(spec: RequestSpec, authorization: Authorization, base: string): TransportRequest {
    const headers: Record<string, string> = Object.assign(
      {},
      this.#headers,
      authorization.headers,
      spec.headers,
    );
    let { body } = spec;
    if (spec.json !== undefined) {
      assertJson(spec.json, 'The body', this.codec);
      body = this.codec.stringify(spec.json);
      headers['content-type'] = 'application/json';
    }
    const { method = 'GET', path, endless, isAnswer } = spec;
    // A proxy that compresses would hold back what a feed sends.
    if (endless === true) headers['accept-encoding'] = 'identity';
    const { cookies } = authorization;
    const url = base + path;
    return {
      method,
      url,
      headers,
      body,
      endless,
      cookies,
      followRedirects: isAnswer === undefined,
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
      const problem = `the answer is not in CouchDB's format: ${cause.message}`;
      throw protocolError(exchange.request, problem, { cause });
    }
  }
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  const lower = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    assertHeader(name, value, 'headers');
    lower.set(name.toLowerCase(), value);
  }
  return Object.fromEntries(lower);
}

/** Passes a cookie to the session, and removes it from the headers. */
function takeCookies(headers: ResponseHeaders, { onCookie }: Authorization): ResponseHeaders {
  if (!('set-cookie' in headers)) return headers;
  const { 'set-cookie': cookie = '', ...rest } = headers;
  onCookie?.(cookie);
  return rest;
}
