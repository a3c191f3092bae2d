import { defer, isObservable, map, of, using } from 'rxjs';
import type { Observable } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import type { RunHelpers } from 'rxjs/testing';
import { Couch } from '../couch.ts';
import type { CouchOptions } from '../couch.ts';
import type { Transport, TransportRequest, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { STEADY, fail } from './reply.ts';
import { MarbleFeed } from './marble-feed.ts';
import type { FeedMarble } from './marble-feed.ts';
import { Reply } from './reply.ts';
import { readRequest, requestLine } from './route.ts';
import type { ColdObservable, ServerRequest } from './route.ts';
import { TestServer } from './test-server.ts';

/** A server whose responses are marbles: the result of `marbleServer()`. */
export class MarbleServer extends TestServer {
  readonly #cold: RunHelpers['cold'];
  readonly #feeds: MarbleFeed[] = [];
  #fallback: Fallback | null = null;

  /** @internal */
  constructor(cold: RunHelpers['cold']) {
    super();
    this.#cold = cold;
  }

  /**
   * Serves the changes of a database, in every feed protocol. Each marble is a change.
   *
   * The streams start when the test begins. An error (`#`) drops the connections. An error with a
   * `status` also refuses new connections, until the next marble of another stream.
   *
   * The server also answers the feed's other requests (the current sequence, the database's
   * identity) and sends heartbeats. After a cut, a feed waits up to 100 ms, reconnects, and
   * receives the changes that it missed. `requests$` does not emit these requests: see
   * `MarbleFeed.requests$`.
   *
   * @throws TypeError for a database of the server of {@link otherwise}: its writes would never arrive.
   */
  feed(database: string, ...changes: readonly Observable<FeedMarble>[]): MarbleFeed {
    if (typeof database !== 'string' || database === '')
      throw invalidArgument('feed: database', 'the name of a database', database);
    for (const source of changes)
      if (!isObservable(source))
        throw invalidArgument('feed: changes', 'Observables, for example of hot()', source);
    this.#requireOneFeed(database, this.#fallback);
    const feed = new MarbleFeed(database, changes, this.log());
    this.#feeds.unshift(feed);
    return feed;
  }

  /**
   * Forwards requests without a route or feed to another server, usually a `memoryServer()`.
   *
   * @throws TypeError if it has a database whose `feed` is scripted: its writes would never arrive.
   */
  otherwise(server: { readonly transport: Transport }): void {
    for (const { database } of this.#feeds) this.#requireOneFeed(database, server);
    this.#fallback = server;
  }

  /**
   * Deletes a database and creates it again, for its `feed`: as the marble `fault.replaced`. The feed loses
   * its changes.
   *
   * @throws TypeError for a database without a `feed`.
   */
  replaceDatabase(database: string): void {
    const feed = this.#feeds.find((one) => one.database === database);
    if (feed === undefined)
      throw new TypeError(`replaceDatabase: there is no feed of ${JSON.stringify(database)}`);
    feed.replace();
  }

  /**
   * Returns a `Couch` that reaches this server. Retries and the limit of concurrency are off, because their
   * random delays have no fixed frames. Pass `retry` or `concurrency` for a test of them.
   */
  override couch(options: Omit<CouchOptions, 'transport'> = {}): Couch {
    return new Couch('http://couch.test', { ...STEADY, ...options, transport: this.transport });
  }

  /** Returns an Observable that never emits. The scheduler records its subscriptions. @internal */
  protected override log(): ColdObservable {
    return this.#cold('-');
  }

  /** @internal */
  protected override send(request: TransportRequest): Observable<TransportResponse> {
    return defer(() => {
      const received = readRequest(request);
      const scripted = this.scripted(received, request);
      const feed = this.#feeds.find((one) => one.matches(received));
      if (scripted === undefined && feed !== undefined) {
        const log = feed.listens(received) ? feed.log : undefined;
        return this.#open(received, of(feed.answer(received)), log);
      }
      this.record(received);
      if (scripted !== undefined) return this.#open(received, scripted.reply$, scripted.route?.log);
      if (this.#fallback !== null) return this.#forward(received, this.#fallback, request);
      throw this.#failUnanswered(received);
    });
  }

  #open(
    request: ServerRequest,
    reply$: Observable<Reply>,
    log: ColdObservable | undefined,
  ): Observable<TransportResponse> {
    const exchange = this.exchanges.open(request, reply$);
    if (log === undefined) return exchange;
    return using(
      () => log.subscribe(),
      () => exchange,
    );
  }

  /** A failure of this server breaks an exchange with the other one, too. */
  #forward(
    request: ServerRequest,
    { transport }: Fallback,
    sent: TransportRequest,
  ): Observable<TransportResponse> {
    const reply$ = transport
      .send(sent)
      .pipe(map(({ status, headers, body }) => new Reply(status, headers, body)));
    return this.exchanges.open(request, reply$);
  }

  #requireOneFeed(database: string, server: Fallback | null): void {
    if (server?.hasDatabase?.(database) !== true) return;
    throw new TypeError(
      `feed: the in-memory server of otherwise() has the database ${database}, whose writes this feed would ` +
        'hide; use its own feed, with cut() and silence() for failures',
    );
  }

  /** Fails the test itself, because the code under test may tolerate errors or retry for ever. */
  #failUnanswered(request: ServerRequest): Error {
    const routes = [
      ...this.routes,
      ...this.#feeds.map(({ database }) => `the feed of ${database}`),
    ];
    const known =
      routes.length === 0
        ? 'This server has no routes.'
        : `This server answers:${routes.map((route) => `\n  ${route}`).join('')}`;
    const line = `${request.method} ${request.path}`;
    const [, database] = /^\/([^/]+)\/_changes$/.exec(request.path) ?? [];
    const advice =
      database === undefined ? `server.on('${line}', …)` : `server.feed('${database}', …)`;
    const error = new Error(`No route matches ${requestLine(request)}. ${known}\nAdd ${advice}.`);
    fail(error);
    return error;
  }
}

/** Another server, which may tell which databases it has. */
interface Fallback {
  readonly transport: Transport;
  readonly hasDatabase?: (name: string) => boolean;
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
      requireSynchronous(test({ ...helpers, scheduler, server, couch: server.couch() }));
    });
  };
}

/** Virtual time ends before a promise continues, so that its expectations would never be checked. */
function requireSynchronous(result: unknown): void {
  if (typeof result !== 'object' || result === null || !('then' in result)) return;
  // The test fails anyway, so what happens to the promise does not matter.
  Promise.resolve(result as PromiseLike<unknown>).catch(() => undefined);
  throw new TypeError(
    'marbles: the test returns a promise, and virtual time does not wait for it; expect Observables with ' +
      'expectObservable, or test promises with memoryServer() in real time',
  );
}
