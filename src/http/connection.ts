import { Observable, asyncScheduler, timer } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import { errorFromResponse } from '../errors/from-response.ts';
import { Redactor, describeCause } from '../errors/redact.ts';
import type { Redact } from '../errors/redact.ts';
import { TimeoutError } from '../errors/connection-error.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { Authorization } from './auth.ts';
import { Authenticator } from './authenticator.ts';
import { readExchange, readText } from './exchange.ts';
import { coalescing } from './coalescing.ts';
import type { Coalescing } from './coalescing.ts';
import type { ConnectionOptions, JsonCodec } from './connection-options.ts';
import { defaultTransport } from './fetch-transport.ts';
import { isRepeatable } from './exchange.ts';
import type {
  Answer,
  Exchange,
  ReadExchange,
  ReplicationEndpoint,
  RequestSpec,
} from './exchange.ts';
import { Nodes } from './nodes.ts';
import { truncatedError, rootCause, protocolError, noAnswerError } from './exchange.ts';
import type { ResponseHeaders, Transport, TransportRequest } from './transport.ts';
import { databasePath, parseAddresses } from './url.ts';
import { withIdleTimeout } from './idle-timeout.ts';

/**
 * One server, or the nodes of a cluster, and how they are reached: what every operation sends its
 * requests through.
 */
export class Connection {
  /** The server's URL, the first of several, without credentials and without a slash at the end. */
  readonly url: string;
  readonly codec: JsonCodec;
  readonly scheduler: SchedulerLike;
  /** Whether single reads and writes go together, unless a database says otherwise. */
  readonly coalescing: Coalescing | null;
  /** Who asks. */
  readonly authenticator: Authenticator;
  readonly #transport: Transport;
  readonly #timeout: number;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #redactor: Redactor;
  readonly #redact: Redact;
  readonly #nodes: Nodes | null;

  constructor(url: string | readonly string[], options: ConnectionOptions = {}) {
    const { url: first, urls, authorization } = parseAddresses(url);
    const { auth = authorization, headers = {}, timeout: silence = 120_000 } = options;
    if (!(silence >= 0))
      throw invalidArgument('timeout', 'milliseconds from 0', silence, RangeError);
    const own = lowerCase(headers);
    this.url = first;
    this.codec = options.codec ?? JSON;
    this.scheduler = options.scheduler ?? asyncScheduler;
    this.coalescing = coalescing(options.coalesce ?? false, this.scheduler);
    this.#transport = options.transport ?? defaultTransport();
    this.#timeout = silence;
    this.#headers = { accept: 'application/json', ...own };
    // What a user sends in a header of their own is as likely a key as not.
    this.#redactor = new Redactor(Object.values(own).filter((value) => value.length > 7));
    this.#redact = this.#redactor.redact;
    this.#nodes = urls.length === 1 ? null : new Nodes(urls, this.scheduler, options.nodeBackoff);
    this.authenticator = new Authenticator(auth, {
      scheduler: this.scheduler,
      ask: (spec, as) => this.#ask(spec, as),
      hide: (secrets) => this.hide(secrets),
    });
  }

  /** Waits, on the scheduler of this connection; emits once. */
  after(milliseconds: number): Observable<unknown> {
    return timer(milliseconds, this.scheduler);
  }

  /** Sees to it that no error shows these from now on. */
  hide(secrets: readonly string[]): void {
    this.#redactor.hide(secrets);
  }

  /** Takes credentials out of a text that is to be shown. */
  get redact(): Redact {
    return this.#redact;
  }

  /** Describes a database of this server to a server that replicates. */
  replicationEndpoint(database: string): ReplicationEndpoint {
    const url = this.url + databasePath(database);
    const { basic, headers } = this.authenticator.present;
    if (basic !== undefined) return { url, auth: { basic } };
    return Object.keys(headers).length === 0 ? { url } : { url, headers };
  }

  /**
   * Sends one request at each subscription.
   *
   * Emits the answer when its head has arrived with a status of 2xx, and completes when its body
   * has been read; errors with the class of any other status, or with what kept the answer away.
   * `describe` is asked anew each time. Where credentials or nodes allow for it, one subscription may
   * take several requests.
   */
  send(describe: () => RequestSpec): Observable<Exchange> {
    return new Observable((subscriber) => {
      const { fixed } = this.authenticator;
      if (fixed !== null) return this.#ask(describe(), fixed).subscribe(subscriber);
      let spec: RequestSpec = { path: '' };
      return this.authenticator
        .send(
          (authorization) => this.#ask((spec = describe()), authorization),
          () => isRepeatable(spec),
        )
        .subscribe(subscriber);
    });
  }

  /** Sends one request at each subscription, and emits its answer decoded from JSON. */
  json<T>(
    describe: () => RequestSpec,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Observable<Answer<T>> {
    return new Observable((subscriber) => {
      let open = 1;
      const close = (): void => {
        open -= 1;
        if (open === 0) subscriber.complete();
      };
      const error = (failure: unknown): void => subscriber.error(failure);
      const emit = (reading: ReadExchange): void => {
        let answer: Answer<T>;
        try {
          answer = this.decode(reading, decode);
        } catch (failure) {
          error(failure);
          return;
        }
        subscriber.next(answer);
      };
      return this.send(describe).subscribe({
        next: (exchange) => {
          open += 1;
          subscriber.add(readExchange(exchange).subscribe({ next: emit, error, complete: close }));
        },
        error,
        complete: close,
      });
    });
  }

  /** Decodes an answer from JSON; what is thrown by `decode` becomes a `ProtocolError`. */
  decode<T>(
    { text, exchange }: ReadExchange,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Answer<T> {
    const value = this.#decode(text, exchange, decode);
    return { value, code: exchange.status, headers: exchange.headers };
  }

  /** Sends a request to the server, or to a node that answers. */
  #ask(spec: RequestSpec, authorization: Authorization): Observable<Exchange> {
    return this.#nodes === null
      ? this.#exchange(spec, authorization, this.url)
      : this.#nodes.send(spec, (url) => this.#exchange(spec, authorization, url));
  }

  #exchange(spec: RequestSpec, authorization: Authorization, base: string): Observable<Exchange> {
    const request = { method: spec.method ?? 'GET', url: this.#redact(base + spec.path) };
    const silence = spec.timeout ?? this.#timeout;
    const explain =
      (how: typeof noAnswerError | typeof truncatedError) =>
      (cause: unknown): Error =>
        isCorduroyError(cause)
          ? cause
          : how(describeCause(rootCause(cause), this.#redact), request);
    return new Observable((subscriber) => {
      let refused = false;
      const error = (failure: unknown): void => subscriber.error(failure);
      return withIdleTimeout(this.#transport.send(this.#complete(spec, authorization, base)), {
        silence,
        scheduler: this.scheduler,
        tooLate: () => new TimeoutError(silence, request),
        unanswered: explain(noAnswerError),
        brokenOff: explain(truncatedError),
      }).subscribe({
        next: ({ status, headers, body }) => {
          if (status >= 200 && status < 300) {
            subscriber.next({
              status,
              headers: takeCookies(headers, authorization),
              body,
              request,
            });
            return;
          }
          refused = true;
          const refuse = (text: string): void =>
            error(errorFromResponse(status, headers, text, request, this.#redact));
          subscriber.add(readText(body).subscribe({ next: refuse, error }));
        },
        error,
        complete: () => {
          if (!refused) subscriber.complete();
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
      assertJson(spec.json, 'The body');
      body = this.codec.stringify(spec.json);
      headers['content-type'] = 'application/json';
    }
    const { method = 'GET', path, endless } = spec;
    return { method, url: base + path, headers, body, endless, cookies: authorization.cookies };
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

/** Hands a cookie to those who know what to do with it, and to nobody else. */
function takeCookies(headers: ResponseHeaders, { onCookie }: Authorization): ResponseHeaders {
  if (!('set-cookie' in headers)) return headers;
  const { 'set-cookie': cookie = '', ...rest } = headers;
  onCookie?.(cookie);
  return rest;
}
