import { Observable, Subject, asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { Redactor, secretsOfHeaders } from '../errors/redact.ts';
import type { Redact, SecretKind } from '../errors/redact.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { after } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { assertHeader } from './auth.ts';
import type { Authorization } from './auth.ts';
import { Authenticator } from './authenticator.ts';
import { ChangesServer } from './changes-server.ts';
import { classifyLink, classifyOwnLink } from './classify.ts';
import type { Concurrency } from './concurrency.ts';
import type { ConnectionBudget } from './connection-budget.ts';
import { coalescing, requireKnownOptions } from './connection-options.ts';
import type { Coalescing, ConnectionOptions, JsonCodec } from './connection-options.ts';
import { eventsLink } from './events.ts';
import type { RequestEvent } from './events.ts';
import { asRead, decodeBody, wholeBodyLink } from './exchange.ts';
import type { Answer, ReadExchange, ReplicationEndpoint } from './exchange.ts';
import { defaultTransport } from './fetch-transport.ts';
import { idleTimeoutLink } from './idle-timeout.ts';
import { chain } from './link.ts';
import type { Exchange, Link, Next, RequestSpec } from './link.ts';
import { failoverLink } from './nodes.ts';
import { readDefaults, toRequest, toTransport } from './prepare-request.ts';
import type { Defaults, RequestDefaults } from './prepare-request.ts';
import { redirectLink } from './redirect.ts';
import { retryLink } from './retry.ts';
import { databasePath, parseAddresses } from './url.ts';
import type { ServerUrl } from './url.ts';

/** The part that all connections of one server share. {@link Connection.with} derives connections. */
interface Shared {
  readonly url: string;
  readonly codec: JsonCodec;
  readonly scheduler: SchedulerLike;
  readonly coalescing: Coalescing | null;
  readonly authenticator: Authenticator;
  readonly maxBodySize: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly redactor: Redactor;
  readonly requests$: Subject<RequestEvent>;
  readonly budget: ConnectionBudget | null;
  readonly changesUrl: string | null;
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
  static open(url: ServerUrl | readonly ServerUrl[], options: ConnectionOptions = {}): Connection {
    requireKnownOptions(options);
    const { timeout, retry, priority } = options;
    const defaults = readDefaults({ timeout, retry, priority });
    return new Connection(share(url, options, defaults), defaults);
  }

  /**
   * Returns a connection that shares all but the given defaults.
   *
   * @throws TypeError or RangeError for an invalid option.
   */
  with(options: RequestDefaults, what?: string, others?: readonly string[]): Connection {
    const defaults = readDefaults(options, this.#defaults, what, others);
    const { timeout, retry, priority } = this.#defaults;
    const isSame =
      defaults.timeout === timeout && defaults.retry === retry && defaults.priority === priority;
    // Requests of one connection can be combined.
    return isSame ? this : new Connection(this.#shared, defaults);
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

  /** Shares out the connections for feeds; null if the platform opens as many as they need. */
  get budget(): ConnectionBudget | null {
    return this.#shared.budget;
  }

  /** The URL of the server that feeds listen to, if it is another one. */
  get changesUrl(): string | null {
    return this.#shared.changesUrl;
  }

  /** Emits what happens to requests. Hot; without subscribers it costs nothing. */
  get requests$(): Observable<RequestEvent> {
    return this.#shared.requests$.asObservable();
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

/** Composes the links, and opens what the requests share. */
function share(
  url: ServerUrl | readonly ServerUrl[],
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
  const changes =
    options.changesUrl === undefined
      ? null
      : new ChangesServer(options.changesUrl, options.changesFallback ?? false, transport);
  const attempt = chain(
    [
      ...(urls.length === 1 ? [] : [failoverLink(urls, scheduler, nodeBackoff)]),
      ...(changes === null ? [] : [changes.link]),
      classifyLink(maxBodySize),
      redirectLink,
      idleTimeoutLink(scheduler),
      ...networkLinks,
    ],
    changes === null
      ? (request) => transport.send(toTransport(request))
      : (request) => changes.send(request),
  );
  const requests$ = new Subject<RequestEvent>();
  const events = eventsLink(requests$, scheduler);
  const retry = retryLink(scheduler);
  const withRetry = chain([events, retry, wholeBodyLink], attempt);
  const sendAs = (spec: RequestSpec, as: Authorization): Observable<Exchange> =>
    new Observable((subscriber) => {
      const request = toRequest(spec, shared, defaults, false);
      request.context.authorize(as);
      return (withRetry(request) as Observable<Exchange>).subscribe(subscriber);
    });
  const authenticator = new Authenticator(auth, { scheduler, send: sendAs, hide });
  const limit = limitOf(options.concurrency, scheduler);
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
    requests$,
    budget:
      changes === null ? (transport.budget ?? null) : changes.budget(transport.budget ?? null),
    changesUrl: changes?.url ?? null,
    send: chain([...ofUser, events, retry, wholeBodyLink, ...limit, authenticator.link], attempt),
  };
  return shared;
}

type CreateLimit = (option: Concurrency, scheduler: SchedulerLike) => Link;

let createLimit: CreateLimit | null = null;

/** Sets the limit of concurrency. Only Node's entry point calls it, so that pages need not load it. */
export function setConcurrency(create: CreateLimit): void {
  createLimit = create;
}

function limitOf(option: Concurrency | undefined, scheduler: SchedulerLike): readonly Link[] {
  if (option === Infinity) return [];
  if (createLimit !== null) return [createLimit(option ?? 'adaptive', scheduler)];
  if (option === undefined) return [];
  throw new TypeError('concurrency: only the entry point for Node has this option; remove it');
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
