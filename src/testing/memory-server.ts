import type { JsonCodec } from '../model/json.ts';
import { Observable, asyncScheduler, finalize, map, timer } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { Couch } from '../couch.ts';
import type { CouchOptions } from '../couch.ts';
import type { Transport, TransportRequest, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { MemoryRouter } from './memory/router.ts';
import { readMemoryRequest } from './memory/request.ts';
import { STEADY } from './reply.ts';
import { withoutBody } from './reply.ts';
import { requestLine, requestLog } from './route.ts';
import type { ServerRequest } from './route.ts';

/** The options of {@link memoryServer}. */
export interface MemoryServerOptions {
  /**
   * The initial databases, with their documents. A document keeps its `_rev`; without one it gets a
   * new revision. Two documents with the same `_id` are in conflict.
   */
  readonly databases?: Readonly<Record<string, readonly object[]>>;
  /** The delay of each response, in milliseconds. @defaultValue 0 */
  readonly latency?: number;
  /**
   * The scheduler of latency, heartbeats and timeouts. `TestScheduler.run` makes the default virtual.
   * @defaultValue `asyncScheduler`
   */
  readonly scheduler?: SchedulerLike;
  /**
   * Decodes the documents, as the option `codec` of the `Couch` does. {@link MemoryServer.couch} passes
   * it on.
   * @defaultValue `JSON`
   */
  readonly codec?: JsonCodec;
}

/** A small CouchDB in memory: the result of `memoryServer()`. */
export class MemoryServer {
  /** A transport that reaches this server, for `new Couch(url, { transport })`. */
  readonly transport: Transport;
  readonly #requests$ = requestLog();
  readonly #router: MemoryRouter;
  readonly #scheduler: SchedulerLike;
  readonly #latency: number;
  readonly #codec: JsonCodec;

  /** @internal */
  constructor(options: MemoryServerOptions) {
    const { databases = {}, latency = 0, scheduler = asyncScheduler, codec = JSON } = options;
    if (typeof latency !== 'number' || !(latency >= 0 && latency < 2 ** 31))
      throw invalidArgument(
        'memoryServer: latency',
        'milliseconds from 0 to 2147483647',
        latency,
        RangeError,
      );
    this.#latency = latency;
    this.#scheduler = scheduler;
    this.#router = new MemoryRouter(scheduler, codec);
    this.#codec = codec;
    for (const [name, docs] of Object.entries(databases)) this.#router.fill(name, docs);
    this.transport = { send: (request) => this.#send(request) };
  }

  /** Emits each request when the server answers it. Hot. Completes never. */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** Emits the requests as lines, for example `'GET /orders/17?rev=1-a'`. Hot. Completes never. */
  get requestLines$(): Observable<string> {
    return this.#requests$.pipe(map(requestLine));
  }

  /**
   * Returns a `Couch` that reaches this server. Retries and the limit of concurrency are off, so that a
   * fault of the test is one failure. Pass `retry` or `concurrency` for a test of them.
   */
  couch(options: Omit<CouchOptions, 'transport'> = {}): Couch {
    return new Couch('http://couch.test', {
      codec: this.#codec,
      ...STEADY,
      ...options,
      transport: this.transport,
    });
  }

  /** Answers after the latency. A request that is aborted before changes nothing. */
  #send(request: TransportRequest): Observable<TransportResponse> {
    return new Observable((subscriber) =>
      timer(this.#latency, this.#scheduler).subscribe({
        next: () => {
          const received = readMemoryRequest(request, this.#codec);
          const { method, path, query, body: sent } = received;
          this.#requests$.next({ method, path, query, body: sent });
          subscriber.add(
            this.#router.respond(received).subscribe((reply) => {
              const { status, headers, body } =
                received.method === 'HEAD' ? withoutBody(reply) : reply;
              const complete = (): void => subscriber.complete();
              subscriber.next({ status, headers, body: body.pipe(finalize(complete)) });
            }),
          );
        },
      }),
    );
  }
}

/**
 * Returns a small CouchDB in memory, for tests that need state instead of a script.
 *
 * It has databases, documents with revisions and conflicts, bulk requests, `_all_docs`, `_changes`
 * in every protocol, and `_find`. It has no views, attachments, design functions, replication or
 * access control. Unsupported endpoints return 501, with a `reason` that names the feature.
 *
 * @throws TypeError for names and documents that CouchDB would refuse.
 * @throws RangeError for an invalid latency.
 * @example
 * const server = memoryServer({ databases: { orders: [{ _id: '17', total: 3 }] } });
 * const orders = server.couch().use<Order>('orders');
 */
export function memoryServer(options: MemoryServerOptions = {}): MemoryServer {
  return new MemoryServer(options);
}
