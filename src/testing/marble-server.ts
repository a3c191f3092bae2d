import { Observable, defer, finalize, isObservable, map, of, take, throwIfEmpty } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import type { RunHelpers } from 'rxjs/testing';
import { Couch } from '../couch.ts';
import type { CouchOptions } from '../couch.ts';
import type { Transport, TransportRequest, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { STEADY, fail } from './reply.ts';
import { MarbleFeed } from './marble-feed.ts';
import type { FeedMarble } from './marble-feed.ts';
import { toReply, withoutBody } from './reply.ts';
import type { Reply } from './reply.ts';
import { readRequest, requestLine, requestLog } from './route.ts';
import type { ServerRequest } from './route.ts';
import { Route } from './route.ts';
import type { Answer, Answering, ColdObservable } from './route.ts';

/** A server whose responses are marbles: the result of `marbleServer()`. */
export class MarbleServer {
  /** A transport that reaches this server, for `new Couch(url, { transport })`. */
  readonly transport: Transport;
  readonly #cold: RunHelpers['cold'];
  readonly #feeds: MarbleFeed[] = [];
  readonly #requestList: ServerRequest[] = [];
  readonly #requests$ = requestLog();
  #routes: Route[] = [];
  #once: Route[] = [];
  #fallback: Transport | null = null;

  /** @internal */
  constructor(cold: RunHelpers['cold']) {
    this.#cold = cold;
    this.transport = { send: (request) => this.#send(request) };
  }

  /**
   * Emits the requests in virtual time, for example
   * `{ method: 'GET', path: '/orders/17', query: {}, body: null }`. Hot. Completes never.
   *
   * It does not emit requests that a `feed` answers: see `MarbleFeed.requests$`.
   */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** Emits the requests as lines, for example `'GET /orders/17?rev=1-a'`. Hot. Completes never. */
  get requestLines$(): Observable<string> {
    return this.#requests$.pipe(map(requestLine));
  }

  /** The requests so far. */
  get requests(): readonly ServerRequest[] {
    return this.#requestList;
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
   */
  once<Pattern extends string>(route: Pattern, answer: Answer | Answering<Pattern>): Route {
    const added = this.#route(route, answer);
    this.#once = [...this.#once, added];
    return added;
  }

  /**
   * Serves the changes of a database, in every feed protocol. Each marble is a change.
   *
   * The streams start when the test begins. An error (`#`) drops the connections. An error with a
   * `status` also refuses new connections, until the next marble of another stream.
   *
   * The server also answers the feed's other requests (the current sequence, the database's
   * identity) and sends heartbeats. After a cut, a feed waits up to 100 ms, reconnects, and
   * receives the changes that it missed.
   */
  feed(database: string, ...changes: readonly Observable<FeedMarble>[]): MarbleFeed {
    if (typeof database !== 'string' || database === '')
      throw invalidArgument('feed: database', 'the name of a database', database);
    for (const source of changes)
      if (!isObservable(source))
        throw invalidArgument('feed: changes', 'Observables, for example of hot()', source);
    const feed = new MarbleFeed(database, changes, this.#log());
    this.#feeds.unshift(feed);
    return feed;
  }

  /** Forwards requests without a route or feed to another server, usually a `memoryServer()`. */
  otherwise(server: { readonly transport: Transport }): void {
    this.#fallback = server.transport;
  }

  /**
   * Returns a `Couch` that reaches this server. Retries and the limit of concurrency are off, because their
   * random delays have no fixed frames. Pass `retry` or `concurrency` for a test of them.
   */
  couch(options: Omit<CouchOptions, 'transport'> = {}): Couch {
    return new Couch('http://couch.test', { ...STEADY, ...options, transport: this.transport });
  }

  #route(pattern: string, answer: unknown): Route {
    if (typeof answer !== 'function' && (typeof answer !== 'object' || answer === null))
      throw invalidArgument(`${pattern}: answer`, 'an object, an Observable or a function', answer);
    return new Route(pattern, answer, this.#log());
  }

  /** Returns an Observable that never emits. The scheduler records its subscriptions. */
  #log(): ColdObservable {
    return this.#cold('-');
  }

  #send(request: TransportRequest): Observable<TransportResponse> {
    return defer(() => {
      const received = readRequest(request);
      const feed = this.#feeds.find((one) => one.matches(received));
      const route = this.#findRoute(received);
      if (route === undefined && feed !== undefined) {
        const log = feed.listens(received) ? feed.log : null;
        return exchange(of(feed.answer(received)), received, log);
      }
      this.#requestList.push(received);
      this.#requests$.next(received);
      if (route !== undefined) {
        const answer = route.answer(received);
        const replies = isObservable(answer) ? answer.pipe(map(toReply)) : of(toReply(answer));
        return exchange(replies, received, route.log);
      }
      if (this.#fallback !== null) return this.#fallback.send(request);
      throw this.#failUnanswered(received);
    });
  }

  #findRoute(request: ServerRequest): Route | undefined {
    const once = this.#once.find((route) => route.matches(request));
    if (once === undefined) return this.#routes.find((route) => route.matches(request));
    this.#once = this.#once.filter((route) => route !== once);
    return once;
  }

  /** Fails the test itself, because the code under test may tolerate errors or retry for ever. */
  #failUnanswered(request: ServerRequest): Error {
    const routes = [
      ...this.#once.map(({ pattern }) => `${pattern} (once)`),
      ...this.#routes.map(({ pattern }) => pattern),
      ...this.#feeds.map(({ database }) => `the feed of ${database}`),
    ];
    const known =
      routes.length === 0
        ? 'This server has no routes.'
        : `This server answers:${routes.map((route) => `\n  ${route}`).join('')}`;
    const line = `${request.method} ${request.path}`;
    const error = new Error(
      `No route matches ${requestLine(request)}. ${known}\nAdd server.on('${line}', …).`,
    );
    fail(error);
    return error;
  }
}

/**
 * Returns a server whose responses are marbles, for a test in `TestScheduler.run`. It uses no
 * network, and everything happens in virtual time.
 *
 * @param helpers - The helpers that `run` passes to the test, or `cold` alone.
 * @throws TypeError without `cold`.
 * @example
 * scheduler.run(({ cold, expectObservable }) => {
 *   const server = marbleServer({ cold });
 *   server.on('GET /orders/:id', cold('--a', { a: { _id: '17', total: 3 } }));
 *   const total = server.couch().use<Order>('orders').get('17').pipe(map((order) => order.total));
 *   expectObservable(total).toBe('--(t|)', { t: 3 });
 * });
 */
export function marbleServer({ cold }: Pick<RunHelpers, 'cold'>): MarbleServer {
  if (typeof cold !== 'function')
    throw invalidArgument('marbleServer: cold', 'the helper of TestScheduler.run', cold);
  return new MarbleServer(cold);
}

/** The helpers of a marble test: those of RxJS, a server, and a `Couch` that reaches it. */
export interface MarbleHelpers extends RunHelpers {
  readonly server: MarbleServer;
  readonly couch: Couch;
  readonly scheduler: TestScheduler;
}

/** The options of {@link marbleTests}. */
export interface MarblesOptions {
  /**
   * The virtual time after which a test ends, in milliseconds. It matters if a stream never ends,
   * for example a feed that nothing unsubscribes from.
   * @defaultValue 600000
   */
  readonly duration?: number;
}

/** Wraps a marble test in a function that you can pass to `it`. */
export type Marbles = (test: (helpers: MarbleHelpers) => void) => () => void;

/**
 * Returns a function that wraps marble tests, for any test runner.
 *
 * @param assertDeepEqual - Throws if two values differ.
 * @throws TypeError if `assertDeepEqual` is not a function.
 * @throws RangeError for an invalid duration.
 * @example
 * const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));
 *
 * it('reads an order', marbles(({ server, couch, cold, expectObservable }) => {
 *   server.on('GET /orders/:id', cold('--a', { a: { _id: '17' } }));
 *   expectObservable(couch.use('orders').get('17')).toBe('--(a|)', { a: { _id: '17' } });
 * }));
 */
export function marbleTests(
  assertDeepEqual: (actual: unknown, expected: unknown) => void,
  options: MarblesOptions = {},
): Marbles {
  const { duration = 600_000 } = options;
  if (typeof assertDeepEqual !== 'function')
    throw invalidArgument(
      'marbleTests: assertDeepEqual',
      'a function that compares two values',
      assertDeepEqual,
    );
  if (typeof duration !== 'number' || !(duration >= 0))
    throw invalidArgument('marbleTests: duration', 'milliseconds from 0', duration, RangeError);
  return (test) => () => {
    const scheduler = new TestScheduler(assertDeepEqual);
    scheduler.run((helpers) => {
      scheduler.maxFrames = duration;
      const server = marbleServer(helpers);
      test({ ...helpers, scheduler, server, couch: server.couch() });
    });
  };
}

/** Makes the exchange of a transport: it completes when the body is read, or on unsubscribe. */
function exchange(
  replies: Observable<Reply>,
  { method }: ServerRequest,
  log: ColdObservable | null,
): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    if (log !== null) subscriber.add(log.subscribe());
    const complete = (): void => subscriber.complete();
    const reply$ = replies.pipe(
      take(1),
      throwIfEmpty(() => new Error('the connection closed before a response')),
    );
    subscriber.add(
      reply$.subscribe({
        next: (reply) => {
          const { status, headers, body } = method === 'HEAD' ? withoutBody(reply) : reply;
          subscriber.next({ status, headers, body: body.pipe(finalize(complete)) });
        },
        error: (error: unknown) => subscriber.error(error),
      }),
    );
  });
}
