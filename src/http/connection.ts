import { Observable, asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { Redactor, secretsOfHeaders } from '../errors/redact.ts';
import type { Redact, SecretKind } from '../errors/redact.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { RetryOptions } from '../operators/retry-policy.ts';
import { after, duration } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { assertHeader } from './auth.ts';
import type { Authorization } from './auth.ts';
import { Authenticator } from './authenticator.ts';
import { classifyLink, classifyOwnLink } from './classify.ts';
import { coalescing } from './connection-options.ts';
import type { Coalescing, ConnectionOptions, JsonCodec } from './connection-options.ts';
import { asRead, decodeBody, wholeBodyLink } from './exchange.ts';
import type { Answer, ReadExchange, ReplicationEndpoint } from './exchange.ts';
import { defaultTransport } from './fetch-transport.ts';
import { idleTimeoutLink } from './idle-timeout.ts';
import { RequestContext, chain } from './link.ts';
import type { Exchange, LinkRequest, Next, Priority, RequestSpec } from './link.ts';
import { failoverLink } from './nodes.ts';
import { requireRetry, retryLink } from './retry.ts';
import { observed } from './transport.ts';
import type { TransportRequest } from './transport.ts';
import { databasePath, parseAddresses } from './url.ts';

/** How requests are sent, unless a request says otherwise. */
export interface RequestDefaults {
  /** The longest time without data, in milliseconds. */
  readonly timeout?: number | undefined;
  readonly retry?: RetryOptions | false | undefined;
  readonly priority?: Priority | undefined;
}

type Defaults = {
  readonly [Name in keyof RequestDefaults]-?: Exclude<RequestDefaults[Name], undefined>;
};

/** What all connections of one server share: those that {@link Connection.with} derives, too. */
interface Shared {
  readonly url: string;
  readonly codec: JsonCodec;
  readonly scheduler: SchedulerLike;
  readonly coalescing: Coalescing | null;
  readonly authenticator: Authenticator;
  readonly maxBodySize: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly redactor: Redactor;
  readonly send: Next;
}

/** A connection to one server, or to the nodes of a cluster. It sends the requests of all operations. */
export class Connection {
  /** Identifies the server: the same object for all connections that {@link with} derives. */
  readonly shared: object;
  readonly #shared: Shared;
  readonly #defaults: Defaults;

  private constructor(shared: Shared, defaults: Defaults) {
    this.shared = shared;
    this.#shared = shared;
    this.#defaults = defaults;
  }

  /**
   * Opens a connection. Sends nothing.
   *
   * @throws TypeError or RangeError for an invalid URL or option.
   */
  static open(url: string | readonly string[], options: ConnectionOptions = {}): Connection {
    const { timeout = 120_000, retry = {}, priority = 'normal' } = options;
    const defaults = { timeout, retry, priority };
    requireDefaults(defaults);
    return new Connection(share(url, options, defaults), defaults);
  }

  /**
   * Returns a connection that shares all but the given defaults.
   *
   * @throws TypeError or RangeError for an invalid option.
   */
  with({ timeout, retry, priority }: RequestDefaults): Connection {
    const { timeout: t, retry: r, priority: p } = this.#defaults;
    const defaults = { timeout: timeout ?? t, retry: retry ?? r, priority: priority ?? p };
    requireDefaults(defaults);
    return new Connection(this.#shared, defaults);
  }

  /** The URL of the server, or of the first node, without credentials and without a final slash. */
  get url(): string {
    return this.#shared.url;
  }

  get codec(): JsonCodec {
    return this.#shared.codec;
  }

  get scheduler(): SchedulerLike {
    return this.#shared.scheduler;
  }

  /** How single reads and writes are combined, unless a database overrides it; null if they are not. */
  get coalescing(): Coalescing | null {
    return this.#shared.coalescing;
  }

  get authenticator(): Authenticator {
    return this.#shared.authenticator;
  }

  /** The largest body that is read as a whole, in bytes. */
  get maxBodySize(): number {
    return this.#shared.maxBodySize;
  }

  /** Emits once after a delay, on the scheduler of this connection. */
  after(milliseconds: number): Observable<unknown> {
    return after(milliseconds, this.scheduler);
  }

  /** Masks secrets in all errors from now on: credentials, or secrets of single requests. */
  hide(secrets: readonly string[], kind?: SecretKind): void {
    this.#shared.redactor.hide(secrets, kind);
  }

  /** Masks the secrets of this connection in a text. */
  get redact(): Redact {
    return this.#shared.redactor.text;
  }

  /** Masks the credentials of this connection in a path. */
  get redactPath(): Redact {
    return this.#shared.redactor.path;
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
   * One subscription may send several requests: retries, and others after a 401 or if a node fails.
   *
   * @param isWhole - Whether to emit the response when its whole body has arrived.
   */
  send(describe: () => RequestSpec, isWhole = false): Observable<Exchange> {
    return new Observable((subscriber) => {
      const shared = this.#shared;
      const request = toRequest(describe(), shared, this.#defaults, isWhole);
      return (shared.send(request) as Observable<Exchange>).subscribe(subscriber);
    });
  }

  /** Sends a request at each subscription, and emits its response decoded from JSON. */
  json<T>(
    describe: () => RequestSpec,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Observable<Answer<T>> {
    return new Observable((subscriber) =>
      this.send(describe, true).subscribe(
        guarded(subscriber, {
          next: (exchange) => subscriber.next(this.decode(asRead(exchange), decode)),
          complete: () => subscriber.complete(),
        }),
      ),
    );
  }

  /** Decodes a response from JSON. An error that `decode` throws becomes a `ProtocolError`. */
  decode<T>(
    { text, exchange }: ReadExchange,
    decode: (body: unknown, exchange: Exchange) => T,
  ): Answer<T> {
    const value = decodeBody(this.codec, text, exchange, decode);
    return { value, code: exchange.status, headers: exchange.headers };
  }
}

const PRIORITIES: readonly unknown[] = ['high', 'normal', 'low'];

function requireDefaults({ timeout, retry, priority }: Defaults): void {
  duration(timeout, 'timeout');
  requireRetry(retry, 'retry');
  if (!PRIORITIES.includes(priority))
    throw invalidArgument('priority', "'high', 'normal' or 'low'", priority);
}

/** Composes the links, and opens what the requests share. */
function share(
  url: string | readonly string[],
  options: ConnectionOptions,
  defaults: Defaults,
): Shared {
  const { url: first, urls, authorization } = parseAddresses(url);
  const { auth = authorization, headers = {}, scheduler = asyncScheduler, codec = JSON } = options;
  const { links = [], networkLinks = [], transport = defaultTransport(), nodeBackoff } = options;
  requireLinks(links, 'links');
  requireLinks(networkLinks, 'networkLinks');
  const maxBodySize = sizeLimit(options.maxBodySize);
  const ownHeaders = lowerCase(headers);
  // A custom header may hold a key.
  const redactor = new Redactor(secretsOfHeaders(ownHeaders));
  const hide = (secrets: readonly string[]): void => redactor.hide(secrets);
  const attempt = chain(
    [
      ...(urls.length === 1 ? [] : [failoverLink(urls, scheduler, nodeBackoff)]),
      classifyLink(maxBodySize),
      idleTimeoutLink(scheduler),
      ...networkLinks,
    ],
    (request) => transport.send(toTransport(request)),
  );
  const retry = retryLink(scheduler);
  const withRetry = chain([retry, wholeBodyLink], attempt);
  const sendAs = (spec: RequestSpec, as: Authorization): Observable<Exchange> =>
    new Observable((subscriber) => {
      const request = toRequest(spec, shared, defaults, false);
      request.context.authorize(as);
      return (withRetry(request) as Observable<Exchange>).subscribe(subscriber);
    });
  const authenticator = new Authenticator(auth, { scheduler, send: sendAs, hide });
  const ofUser = links.length === 0 ? [] : [wholeBodyLink, classifyOwnLink(maxBodySize), ...links];
  const shared: Shared = {
    url: first,
    codec,
    scheduler,
    coalescing: coalescing(options.coalesce ?? false, scheduler),
    authenticator,
    maxBodySize,
    headers: { accept: 'application/json', ...ownHeaders },
    redactor,
    send: chain([...ofUser, retry, wholeBodyLink, authenticator.link], attempt),
  };
  return shared;
}

/** Completes what an operation describes. */
function toRequest(
  spec: RequestSpec,
  shared: Shared,
  defaults: Defaults,
  isWhole: boolean,
): LinkRequest {
  const { method = 'GET', reads = method === 'GET' || method === 'HEAD' } = spec;
  const { endless = false } = spec;
  let { body } = spec;
  let { headers } = shared;
  if (spec.headers !== undefined) headers = Object.assign({}, headers, spec.headers);
  if (spec.json !== undefined) {
    assertJson(spec.json, 'The body', shared.codec);
    body = shared.codec.stringify(spec.json);
    headers = Object.assign({}, headers, JSON_TYPE);
  }
  // A proxy that compresses would hold back what a feed sends.
  if (endless) headers = Object.assign({}, headers, IDENTITY);
  return {
    method,
    route: spec.route ?? '',
    server: shared.url,
    path: spec.path,
    headers,
    body,
    reads,
    repeatable: spec.repeatable ?? reads,
    endless,
    priority: spec.priority ?? defaults.priority,
    timeout: spec.timeout ?? defaults.timeout,
    attempt: 1,
    context: new RequestContext(spec, spec.retry ?? defaults.retry, isWhole, shared.redactor),
  };
}

const JSON_TYPE = { 'content-type': 'application/json' };
const IDENTITY = { 'accept-encoding': 'identity' };

/** Completes a request for the transport, with credentials. */
function toTransport(request: LinkRequest): TransportRequest {
  const { method, server, path, endless, reads, context } = request;
  const { authorization, spec, source } = context;
  context.activity?.sent(request);
  let { body } = request;
  if (typeof body === 'object' && Symbol.asyncIterator in body) body = observed(body, source);
  return {
    method,
    url: server + path,
    headers: Object.assign({}, request.headers, authorization.headers),
    body,
    endless,
    reads,
    cookies: authorization.cookies,
    followRedirects: spec.isAnswer === undefined,
  };
}

const DEFAULT_MAX_BODY_SIZE = 268_435_456;

function sizeLimit(maxBodySize: unknown = DEFAULT_MAX_BODY_SIZE): number {
  if (typeof maxBodySize === 'number' && maxBodySize >= 0) return maxBodySize || Infinity;
  const ErrorClass = typeof maxBodySize === 'number' ? RangeError : TypeError;
  throw invalidArgument('maxBodySize', 'a number of bytes from 0', maxBodySize, ErrorClass);
}

function requireLinks(links: unknown, name: string): void {
  if (!Array.isArray(links)) throw invalidArgument(name, 'an array of functions', links);
  const other: unknown = links.find((link) => typeof link !== 'function');
  if (other !== undefined) throw invalidArgument(`${name}: a link`, 'a function', other);
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  const lower = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    assertHeader(name, value, 'headers');
    lower.set(name.toLowerCase(), value);
  }
  return Object.fromEntries(lower);
}
