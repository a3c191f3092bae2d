import { Observable, defer, finalize, isObservable, map, of, take, throwIfEmpty } from 'rxjs';
import type { RunHelpers } from 'rxjs/testing';
import { Couch } from '../couch.ts';
import type { CouchOptions } from '../couch.ts';
import type { Transport, TransportRequest, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { fail } from './reply.ts';
import { MarbleFeed } from './marble-feed.ts';
import type { FeedMarble } from './marble-feed.ts';
import { toReply, withoutBody } from './reply.ts';
import type { Reply } from './reply.ts';
import { readRequest, requestLine, requestLog } from './route.ts';
import type { ServerRequest } from './route.ts';
import { Route } from './route.ts';
import type { Answer, Answering, ColdObservable } from './route.ts';

/** A server whose answers are marbles: what `marbleServer()` returns. */
export class MarbleServer {
  /** Carries requests to this server: for `new Couch(url, { transport })`. */
  readonly transport: Transport;
  readonly #cold: RunHelpers['cold'];
  readonly #feeds: MarbleFeed[] = [];
  readonly #asked: ServerRequest[] = [];
  readonly #requests$ = requestLog();
  #routes: Route[] = [];
  #once: Route[] = [];
  #otherwise: Transport | null = null;

  /** @internal */
  constructor(cold: RunHelpers['cold']) {
    this.#cold = cold;
    this.transport = { send: (request) => this.#send(request) };
  }

  /**
   * What is asked, in virtual time, but for what a `feed` answers (see `MarbleFeed.requests$`): values like
   * `{ method: 'GET', path: '/orders/17', query: {}, body: null }`. Hot; it never completes.
   */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** The same as lines, as in `'GET /orders/17?rev=1-a'`. */
  get requestLines$(): Observable<string> {
    return this.#requests$.pipe(map(requestLine));
  }

  /** What has been asked so far. */
  get requests(): readonly ServerRequest[] {
    return this.#asked;
  }

  /**
   * Answers the requests of a route: `server.on('GET /orders/:id', cold('--a|', { a: order }))`.
   *
   * The first marble is the whole answer: a value is sent as JSON under status 200, a `status` or a
   * `raw` as it is; a `#` breaks the connection. What is no Observable is answered at once. A function
   * is given the parts of the path and the request, and returns either.
   *
   * @param route - A method and a path. `:name` stands for one segment that does not begin with an
   * underscore, `*` at the end for whatever comes; a query names parameters that must be there. Of
   * routes that fit, the one that was added last answers.
   * @throws TypeError for what is no route.
   */
  on<Pattern extends string>(route: Pattern, answer: Answer | Answering<Pattern>): Route {
    const added = this.#route(route, answer);
    this.#routes = [added, ...this.#routes];
    return added;
  }

  /** Answers one request of a route, before what `on` says; several in the order of the calls. */
  once<Pattern extends string>(route: Pattern, answer: Answer | Answering<Pattern>): Route {
    const added = this.#route(route, answer);
    this.#once = [...this.#once, added];
    return added;
  }

  /**
   * Serves the changes of a database, in whatever protocol a feed asks for them: each marble of the
   * streams is a change, from when the test begins. A `#` drops the connections; a `#` with a `status`
   * refuses new ones as well, until the next marble of another stream.
   *
   * What a feed asks besides (what `now` is, which database this is) is answered too, and heartbeats
   * are sent. A feed that comes back after a cut gets what it has missed; it waits up to 100 ms before.
   */
  feed(database: string, ...changes: readonly Observable<FeedMarble>[]): MarbleFeed {
    if (typeof database !== 'string' || database === '')
      throw invalidArgument('feed: database', 'the name of a database', database);
    for (const source of changes)
      if (!isObservable(source))
        throw invalidArgument('feed: changes', 'streams, as hot makes them', source);
    const feed = new MarbleFeed(database, changes, this.#log());
    this.#feeds.unshift(feed);
    return feed;
  }

  /** Has another server answer what no route and no feed does: a `memoryServer()`, as a rule. */
  otherwise(server: { readonly transport: Transport }): void {
    this.#otherwise = server.transport;
  }

  /** Returns a `Couch` whose server is this one. */
  couch(options: Omit<CouchOptions, 'transport'> = {}): Couch {
    return new Couch('http://couch.test', { ...options, transport: this.transport });
  }

  #route(pattern: string, answer: unknown): Route {
    if (typeof answer !== 'function' && (typeof answer !== 'object' || answer === null))
      throw invalidArgument(`${pattern}: the answer`, 'an object, a stream or a function', answer);
    return new Route(pattern, answer, this.#log());
  }

  /** A stream that says nothing: the scheduler notes when it is subscribed to. */
  #log(): ColdObservable {
    return this.#cold('-');
  }

  #send(request: TransportRequest): Observable<TransportResponse> {
    return defer(() => {
      const asked = readRequest(request);
      const feed = this.#feeds.find((one) => one.matches(asked));
      const route = this.#find(asked);
      if (route === undefined && feed !== undefined) {
        const log = feed.listens(asked) ? feed.log : null;
        return exchange(of(feed.answer(asked)), asked, log);
      }
      this.#asked.push(asked);
      this.#requests$.next(asked);
      if (route !== undefined) {
        const answer = route.answer(asked);
        const replies = isObservable(answer) ? answer.pipe(map(toReply)) : of(toReply(answer));
        return exchange(replies, asked, route.log);
      }
      if (this.#otherwise !== null) return this.#otherwise.send(request);
      throw this.#complain(asked);
    });
  }

  #find(request: ServerRequest): Route | undefined {
    const once = this.#once.find((route) => route.matches(request));
    if (once === undefined) return this.#routes.find((route) => route.matches(request));
    this.#once = this.#once.filter((route) => route !== once);
    return once;
  }

  /** Fails the test itself: the code under test may put up with failures, or try again for ever. */
  #complain(request: ServerRequest): Error {
    const routes = [
      ...this.#once.map(({ pattern }) => `${pattern} (once)`),
      ...this.#routes.map(({ pattern }) => pattern),
      ...this.#feeds.map(({ database }) => `the feed of ${database}`),
    ];
    const known = routes.length === 0 ? ' nothing' : routes.map((one) => `\n  ${one}`).join('');
    const line = `${request.method} ${request.path}`;
    const error = new Error(
      `Nothing answers ${requestLine(request)}; this server answers${known}\n` +
        `Add server.on('${line}', …).`,
    );
    fail(error);
    return error;
  }
}

/**
 * Returns a server whose answers are marbles, for a test in `TestScheduler.run`: nothing is sent over
 * a network, and everything happens in virtual time.
 *
 * @param helpers - Those that `run` hands to the test, or `cold` alone.
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
    throw invalidArgument('marbleServer: cold', 'what TestScheduler.run hands to the test', cold);
  return new MarbleServer(cold);
}

/** One exchange as a transport has it: over when the body has been read, or when it is left. */
function exchange(
  replies: Observable<Reply>,
  { method }: ServerRequest,
  log: ColdObservable | null,
): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    if (log !== null) subscriber.add(log.subscribe());
    const end = (): void => subscriber.complete();
    const answered = replies.pipe(
      take(1),
      throwIfEmpty(() => new Error('the connection was closed before an answer came')),
    );
    subscriber.add(
      answered.subscribe({
        next: (reply) => {
          const { status, headers, body } = method === 'HEAD' ? withoutBody(reply) : reply;
          subscriber.next({ status, headers, body: body.pipe(finalize(end)) });
        },
        error: (error: unknown) => subscriber.error(error),
      }),
    );
  });
}
