import { Observable, asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { errorFromResponse, isWrongPassword, rememberRedaction } from '../errors/from-response.ts';
import { Redactor, secretsOfHeaders } from '../errors/redact.ts';
import type { Redact, Redactions, SecretKind } from '../errors/redact.ts';
import { TimeoutError } from '../errors/connection-error.ts';
import { guarded } from '../operators/to-observable.ts';
import { assertJson } from '../model/json.ts';
import { assertHeader } from './auth.ts';
import type { Authorization } from './auth.ts';
import { Authenticator } from './authenticator.ts';
import { coalescing } from './connection-options.ts';
import type { Coalescing } from './connection-options.ts';
import type { ConnectionOptions, JsonCodec } from './connection-options.ts';
import { defaultTransport } from './fetch-transport.ts';
import {
  SentRequest,
  decodeBody,
  explainFailure,
  isRepeatable,
  noResponseError,
  readErrorText,
  readExchange,
  truncatedError,
} from './exchange.ts';
import type {
  Answer,
  ErrorText,
  Exchange,
  ReadExchange,
  ReplicationEndpoint,
  RequestSpec,
} from './exchange.ts';
import { withIdleTimeout } from './idle-timeout.ts';
import { Nodes } from './nodes.ts';
import { observed } from './transport.ts';
import type { ResponseHeaders, Transport, TransportRequest, UploadSource } from './transport.ts';
import { databasePath, explainEmptyAnswer, parseAddresses } from './url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
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
  /** The largest body that is read as a whole, in bytes. */
  readonly maxBodySize: number;
  readonly #redactor: Redactor;
  readonly #nodes: Nodes | null;

  constructor(url: string | readonly string[], options: ConnectionOptions = {}) {
    const { url: first, urls, authorization: urlAuthorization } = parseAddresses(url);
    const { auth = urlAuthorization, headers = {}, timeout = 120_000 } = options;
    const { maxBodySize = DEFAULT_MAX_BODY_SIZE } = options;
    if (typeof maxBodySize !== 'number' || !(maxBodySize >= 0)) {
      const ErrorClass = typeof maxBodySize === 'number' ? RangeError : TypeError;
      throw invalidArgument('maxBodySize', 'a number of bytes from 0', maxBodySize, ErrorClass);
    }
    const ownHeaders = lowerCase(headers);
    this.maxBodySize = maxBodySize === 0 ? Infinity : maxBodySize;
    this.url = first;
    this.codec = options.codec ?? JSON;
    this.scheduler = options.scheduler ?? asyncScheduler;
    this.coalescing = coalescing(options.coalesce ?? false, this.scheduler);
    this.#transport = options.transport ?? defaultTransport();
    this.#timeout = duration(timeout, 'timeout');
    this.#headers = { accept: 'application/json', ...ownHeaders };
    // A custom header may hold a key.
    this.#redactor = new Redactor(secretsOfHeaders(ownHeaders));
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

  /** Masks secrets in all errors from now on: credentials, or secrets of single requests. */
  hide(secrets: readonly string[], kind?: SecretKind): void {
    this.#redactor.hide(secrets, kind);
  }

  /** Masks the secrets of this connection in a text. */
  get redact(): Redact {
    return this.#redactor.text;
  }

  /** Masks the credentials of this connection in a path. */
  get redactPath(): Redact {
    return this.#redactor.path;
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
      const next = (response: ReadExchange): void => {
        subscriber.next(this.decode(response, decode));
      };
      const reader = guarded(subscriber, { next, complete });
      return this.send(describe).subscribe(
        guarded(subscriber, {
          next: (exchange) => {
            active += 1;
            subscriber.add(readExchange(exchange).subscribe(reader));
          },
          complete,
        }),
      );
    });
  }

  /** Decodes a response from JSON. An error that `decode` throws becomes a `ProtocolError`. */
  decode<T>(
    { text, exchange }: ReadExchange,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Answer<T> {
    const value = decodeBody(this.codec, text, exchange, decode);
    return { value, code: exchange.status, headers: exchange.headers };
  }

  /** Sends a request with given credentials, to the server or to an available node. */
  #sendAs(spec: RequestSpec, authorization: Authorization): Observable<Exchange> {
    return this.#nodes === null
      ? this.#exchange(spec, authorization, this.url)
      : this.#nodes.send(spec, (url) => this.#exchange(spec, authorization, url));
  }

  #exchange(spec: RequestSpec, authorization: Authorization, base: string): Observable<Exchange> {
    let made: Redactions | undefined;
    const { secrets = [], secretHeaders = [] } = spec;
    if (secrets.length > 0) this.#redactor.hide(secrets, 'request');
    if (secretHeaders.length > 0) this.#redactor.hide(secretHeaders, 'header');
    const redactions = (): Redactions =>
      (made ??= this.#redactor.including([...authorization.secrets, ...secrets], secretHeaders));
    const redact: Redact = (text, max) => redactions().text(text, max);
    const request = new SentRequest(spec, base, redactions);
    const timeout = spec.timeout ?? this.#timeout;
    const source: UploadSource = { failure: null };
    const explain =
      (makeError: typeof noResponseError | typeof truncatedError) =>
      (cause: unknown): unknown =>
        source.failure === null
          ? explainFailure(cause, makeError, request, redact)
          : source.failure.error;
    const { maxBodySize } = this;
    return new Observable((subscriber) => {
      let failed = false;
      const sent = this.#complete(spec, authorization, base, source);
      return withIdleTimeout(sent, this.#transport, {
        timeout,
        scheduler: this.scheduler,
        timeoutError: () => new TimeoutError(timeout, request),
        explainFailure: explain(noResponseError),
        explainTruncation: explain(truncatedError),
      }).subscribe(
        guarded(subscriber, {
          next: ({ status, headers: received, body }) => {
            if ((status >= 200 && status < 300) || spec.isAnswer?.(status, received) === true) {
              const headers = takeCookies(received, authorization);
              rememberRedaction(headers, redact);
              subscriber.next({ status, headers, body, request, redact, maxBodySize });
              return;
            }
            failed = true;
            const next = ({ text, isDamaged }: ErrorText): void => {
              const reason = text || explainEmptyAnswer(status, request.method, spec.path);
              const failure = errorFromResponse(status, received, reason, request, redact);
              // The reason may be in the part that is missing.
              const isUnclear = isDamaged && status === 401 && failure.error === '';
              if (isUnclear || isWrongPassword(failure)) authorization.onRefused?.(failure);
              subscriber.error(failure);
            };
            subscriber.add(readErrorText(body).subscribe(guarded(subscriber, { next })));
          },
          complete: () => {
            if (!failed) subscriber.complete();
          },
        }),
      );
    });
  }

  #complete(
    spec: RequestSpec,
    authorization: Authorization,
    base: string,
    source: UploadSource,
  ): TransportRequest {
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
    if (typeof body === 'object' && !(body instanceof Uint8Array)) body = observed(body, source);
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
}

const DEFAULT_MAX_BODY_SIZE = 268_435_456;

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
