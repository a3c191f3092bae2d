import { Observable, asyncScheduler, finalize, map, timer } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { Couch } from '../couch.ts';
import type { CouchOptions } from '../couch.ts';
import type { Transport, TransportRequest, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { MemoryRouter } from './memory-router.ts';
import { Refusal } from './reply.ts';
import { withoutBody } from './reply.ts';
import type { Reply } from './reply.ts';
import { readRequest, requestLine, requestLog } from './route.ts';
import type { ServerRequest } from './route.ts';

/** How an in-memory server is made. */
export interface MemoryServerOptions {
  /**
   * The databases that there are at first, with their documents. One with a `_rev` has it, and two
   * of one `_id` are in conflict; the others are given revisions.
   */
  readonly databases?: Readonly<Record<string, readonly object[]>>;
  /** How long an answer takes, in milliseconds. @defaultValue 0 */
  readonly latency?: number;
  /**
   * What latency, heartbeats and timeouts run on. In `TestScheduler.run` time is virtual without it.
   * @defaultValue `asyncScheduler`
   */
  readonly scheduler?: SchedulerLike;
}

/** A small CouchDB in memory: what `memoryServer()` returns. */
export class MemoryServer {
  /** Carries requests to this server: for `new Couch(url, { transport })`. */
  readonly transport: Transport;
  readonly #requests$ = requestLog();
  readonly #router: MemoryRouter;
  readonly #scheduler: SchedulerLike;
  readonly #latency: number;

  /** @internal */
  constructor(options: MemoryServerOptions) {
    const { databases = {}, latency = 0, scheduler = asyncScheduler } = options;
    if (!(latency >= 0))
      throw invalidArgument('memoryServer: latency', 'milliseconds from 0', latency, RangeError);
    this.#latency = latency;
    this.#scheduler = scheduler;
    this.#router = new MemoryRouter(scheduler);
    for (const [name, docs] of Object.entries(databases)) this.#router.fill(name, docs);
    this.transport = { send: (request) => this.#send(request) };
  }

  /** What is asked, when the server answers it. Hot; it never completes. */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** The same as lines, as in `'GET /orders/17?rev=1-a'`. */
  get requestLines$(): Observable<string> {
    return this.#requests$.pipe(map(requestLine));
  }

  /** Returns a `Couch` whose server is this one. */
  couch(options: Omit<CouchOptions, 'transport'> = {}): Couch {
    return new Couch('http://couch.test', { ...options, transport: this.transport });
  }

  /** Answers when the latency is over: a request that is left before is never done. */
  #send(request: TransportRequest): Observable<TransportResponse> {
    return new Observable((subscriber) =>
      timer(this.#latency, this.#scheduler).subscribe({
        next: () => {
          const asked = readRequest(request);
          this.#requests$.next(asked);
          const reply = this.#answer(asked);
          const { status, headers, body } = asked.method === 'HEAD' ? withoutBody(reply) : reply;
          const end = (): void => subscriber.complete();
          subscriber.next({ status, headers, body: body.pipe(finalize(end)) });
        },
      }),
    );
  }

  #answer(request: ServerRequest): Reply {
    try {
      return this.#router.answer(request);
    } catch (error) {
      if (error instanceof Refusal) return error.reply();
      throw error;
    }
  }
}

/**
 * Returns a small CouchDB in memory, for tests that want state rather than a script: databases,
 * documents with their revisions and conflicts, bulk requests, `_all_docs`, `_changes` in every
 * protocol, and `_find`.
 *
 * It has no views, no attachments, no design functions, no replication and nobody to be kept out;
 * what it has not it answers with 501 and a sentence that names it.
 *
 * @throws TypeError and RangeError for names and documents that CouchDB would refuse, and for a latency
 * that is none.
 * @example
 * const server = memoryServer({ databases: { orders: [{ _id: '17', total: 3 }] } });
 * const orders = server.couch().use<Order>('orders');
 */
export function memoryServer(options: MemoryServerOptions = {}): MemoryServer {
  return new MemoryServer(options);
}
