import { defer, isObservable, map, of, take, throwIfEmpty } from 'rxjs';
import type { BehaviorSubject, Observable } from 'rxjs';
import type { Couch, CouchOptions } from '../couch.ts';
import type { Transport, TransportRequest, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { Exchanges } from './exchanges.ts';
import { Refusal, toReply } from './reply.ts';
import type { Reply } from './reply.ts';
import { Route, requestLine, requestLog } from './route.ts';
import type { Answer, Answering, ColdObservable, ServerRequest } from './route.ts';

/** The common parts of the two test servers: their requests, scripted answers, and failures. */
export abstract class TestServer {
  /** A transport that reaches this server, for `new Couch(url, { transport })`. */
  readonly transport: Transport;
  /** @internal */
  protected readonly exchanges: Exchanges = new Exchanges();
  readonly #requestList: ServerRequest[] = [];
  readonly #requests$ = requestLog();
  #routes: Route[] = [];
  #once: Route[] = [];
  #isLocked = false;

  constructor() {
    this.transport = { send: (request) => this.send(request) };
  }

  /** Returns a `Couch` that reaches this server. */
  abstract couch(options?: Omit<CouchOptions, 'transport'>): Couch;

  /** @internal */
  protected abstract send(request: TransportRequest): Observable<TransportResponse>;

  /** @internal */
  protected abstract log(): ColdObservable | undefined;

  /**
   * Emits the requests, for example `{ method: 'GET', path: '/orders/17', query: {}, body: null }`. Hot.
   * Completes never.
   */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** Emits the requests as lines, for example `'GET /orders/17?rev=1-a'`. Hot. Completes never. */
  get requestLines$(): Observable<string> {
    return this.#requests$.pipe(map(requestLine));
  }

  /** The requests so far, in their order. */
  get requests(): readonly ServerRequest[] {
    return [...this.#requestList];
  }

  /** The requests so far, as lines. */
  get requestLines(): readonly string[] {
    return this.#requestList.map(requestLine);
  }

  /**
   * Answers the requests of a route: `server.on('GET /orders/:id', cold('--a|', { a: order }))`.
   *
   * - **An Observable:** its first value is the whole response. A `status` or a `raw` is sent as it
   *   is, any other value as JSON with status 200. An error (`#`) breaks the connection.
   * - **Any other value** is sent at once, in the same way.
   * - **A function** receives the parameters of the path and the request, and returns either.
   *
   * @param route - A method and a path. `:name` matches one segment that does not begin with an
   * underscore. `*` at the end matches the rest of the path. A query lists parameters that the
   * request must have. If several routes match, the one that you added last answers.
   * @throws TypeError for an invalid route.
   */
  on<Pattern extends string>(route: Pattern, answer: Answer | Answering<Pattern>): Route {
    const added = this.#route(route, answer);
    this.#routes = [added, ...this.#routes];
    return added;
  }

  /**
   * Answers one request of a route, with priority over `on`. Several calls answer in their order.
   *
   * @throws TypeError for an invalid route.
   */
  once<Pattern extends string>(route: Pattern, answer: Answer | Answering<Pattern>): Route {
    const added = this.#route(route, answer);
    this.#once = [...this.#once, added];
    return added;
  }

  /**
   * Breaks the open connections, of one database or all: what waits for a response, and each feed, errors with
   * `ECONNRESET`. Later requests work.
   */
  cut(database?: string): void {
    this.exchanges.cut(database);
  }

  /**
   * Silences the open connections, of one database or all: they stay open, and send nothing more, not even
   * heartbeats. Later requests work.
   */
  silence(database?: string): void {
    this.exchanges.silence(database);
  }

  /**
   * Answers requests with credentials as CouchDB does after too many wrong passwords: with 403. These are
   * logins, and requests with `Authorization` or a session cookie.
   *
   * @param locked - False unlocks the account again. @defaultValue true
   */
  lockAccount(locked = true): void {
    this.#isLocked = locked;
  }

  /**
   * Whether the server cannot be reached. While it is true, open connections break and requests fail with
   * `ECONNREFUSED`. Set it with `next`, or script it:
   * `hot('-t---f', { t: true, f: false }).subscribe(server.offline$)`. Hot. Starts with false.
   */
  get offline$(): BehaviorSubject<boolean> {
    return this.exchanges.offline$;
  }

  /** @internal */
  protected record(request: ServerRequest): void {
    this.#requestList.push(request);
    this.#requests$.next(request);
  }

  /** Returns the refusal of a locked account, or the answer of a route. @internal */
  protected scripted(
    request: ServerRequest,
    { headers }: TransportRequest,
  ): { readonly reply$: Observable<Reply>; readonly route?: Route } | undefined {
    if (this.#isLocked && hasCredentials(request, headers)) return { reply$: of(LOCKED.reply()) };
    const route = this.#findRoute(request);
    if (route === undefined) return undefined;
    const reply$ = defer(() => {
      const answer = route.answer(request);
      return isObservable(answer) ? answer : of(answer);
    }).pipe(
      take(1),
      throwIfEmpty(() => new Error('the connection closed before a response')),
      map(toReply),
    );
    return { reply$, route };
  }

  /** The routes, for the message about a request without one. @internal */
  protected get routes(): readonly string[] {
    return [
      ...this.#once.map(({ pattern }) => `${pattern} (once)`),
      ...this.#routes.map(({ pattern }) => pattern),
    ];
  }

  #route(pattern: string, answer: unknown): Route {
    if (typeof answer !== 'function' && (typeof answer !== 'object' || answer === null))
      throw invalidArgument(`${pattern}: answer`, 'an object, an Observable or a function', answer);
    return new Route(pattern, answer, this.log());
  }

  #findRoute(request: ServerRequest): Route | undefined {
    const once = this.#once.find((route) => route.matches(request));
    if (once === undefined) return this.#routes.find((route) => route.matches(request));
    this.#once = this.#once.filter((route) => route !== once);
    return once;
  }
}

/** The answer of CouchDB 3.5 to a locked account. */
const LOCKED = new Refusal(
  403,
  'forbidden',
  'Account is temporarily locked due to multiple authentication failures',
);

function hasCredentials(
  { method, path }: ServerRequest,
  headers: Readonly<Record<string, string>>,
): boolean {
  if (method === 'POST' && path === '/_session') return true;
  return Object.entries(headers).some(
    ([name, value]) =>
      /^authorization$/i.test(name) || (/^cookie$/i.test(name) && value.includes('AuthSession=')),
  );
}
