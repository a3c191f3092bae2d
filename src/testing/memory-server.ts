import { asyncScheduler, mergeMap, timer } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { Couch } from '../couch.ts';
import type { CouchOptions } from '../couch.ts';
import type { TransportRequest, TransportResponse } from '../http/transport.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import type { JsonCodec } from '../model/json.ts';
import { readMemoryRequest } from './memory/request.ts';
import { MemoryRouter } from './memory/router.ts';
import type { DatabaseSeed } from './memory/seed.ts';
import { STEADY } from './reply.ts';
import { readRequest } from './route.ts';
import { TestServer } from './test-server.ts';

/** The options of {@link memoryServer}. */
export interface MemoryServerOptions {
  /** The initial databases: their documents, or their documents, indexes, local documents and security. */
  readonly databases?: Readonly<Record<string, readonly object[] | DatabaseSeed>>;
  /** Users of the database `_users`, by name. */
  readonly users?: Readonly<Record<string, MemoryUser>>;
  /**
   * The passwords of the server's admins, by name. Without admins everybody is one, but a wrong password of a
   * user fails.
   */
  readonly admins?: Readonly<Record<string, string>>;
  /**
   * The delay of each response, in milliseconds, and of each change after its response. With 0, a change can
   * arrive before the response of its write, in the same turn.
   * @defaultValue 1
   */
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

/** A user of an in-memory server. */
export interface MemoryUser {
  readonly password: string;
  /** @defaultValue none */
  readonly roles?: readonly string[];
}

const OPTIONS = ['databases', 'users', 'admins', 'latency', 'scheduler', 'codec'];

/** A small CouchDB in memory: the result of `memoryServer()`. */
export class MemoryServer extends TestServer {
  readonly #router: MemoryRouter;
  readonly #scheduler: SchedulerLike;
  readonly #latency: number;
  readonly #codec: JsonCodec;

  /** @internal */
  constructor(options: MemoryServerOptions) {
    super();
    requireOptions(options, 'memoryServer', OPTIONS);
    const { databases = {}, users = {}, admins = {} } = options;
    const { latency = 1, scheduler = asyncScheduler, codec = JSON } = options;
    if (typeof latency !== 'number' || !(latency >= 0 && latency < 2 ** 31))
      throw invalidArgument(
        'memoryServer: latency',
        'milliseconds from 0 to 2147483647',
        latency,
        RangeError,
      );
    this.#latency = latency;
    this.#scheduler = scheduler;
    this.#router = new MemoryRouter({ scheduler, latency, codec, admins });
    this.#codec = codec;
    for (const [name, content] of Object.entries(databases)) this.#router.fill(name, content);
    for (const [name, user] of Object.entries(users)) this.#router.addUser(name, user);
  }

  /** Returns whether the server has a database. */
  hasDatabase(name: string): boolean {
    return this.#router.has(name);
  }

  /**
   * Deletes a database and creates it again, with another identity and new sequences. Its feeds end as those
   * of CouchDB do.
   *
   * @param content - The new content. @defaultValue no documents
   * @throws TypeError for an unknown database.
   */
  replaceDatabase(name: string, content: readonly object[] | DatabaseSeed = []): void {
    this.#router.replace(name, content);
  }

  /**
   * Returns a `Couch` that reaches this server. Retries and the limit of concurrency are off, so that a
   * fault of the test is one failure. Pass `retry` or `concurrency` for a test of them.
   */
  override couch(options: Omit<CouchOptions, 'transport'> = {}): Couch {
    return new Couch('http://couch.test', {
      codec: this.#codec,
      ...STEADY,
      ...options,
      transport: this.transport,
    });
  }

  /** @internal */
  protected override log(): undefined {
    return undefined;
  }

  /** Answers after the latency. A request that is aborted before changes nothing. @internal */
  protected override send(request: TransportRequest): Observable<TransportResponse> {
    const received = readRequest(request, this.#codec);
    const reply$ = timer(this.#latency, this.#scheduler).pipe(
      mergeMap(() => {
        this.record(received);
        const scripted = this.scripted(received, request);
        return scripted?.reply$ ?? this.#router.respond(readMemoryRequest(request, this.#codec));
      }),
    );
    return this.exchanges.open(received, reply$);
  }
}

/**
 * Returns a small CouchDB in memory, for tests that need state instead of a script.
 *
 * It answers as CouchDB 3.5 does: documents with revisions, conflicts and attachments, bulk requests,
 * `_all_docs`, views with JavaScript functions, `_find` with indexes, `_changes` in every protocol,
 * `validate_doc_update`, users, sessions and security, purges and partitions. It has no show, list and update
 * functions, no search, no replication and no cluster: these endpoints return 501, with a `reason` that names
 * the feature.
 *
 * @throws TypeError for names, documents and indexes that CouchDB would refuse.
 * @throws RangeError for an invalid latency.
 * @example
 * const server = memoryServer({ databases: { orders: [{ _id: '17', total: 3 }] } });
 * const orders = server.couch().use<Order>('orders');
 */
export function memoryServer(options: MemoryServerOptions = {}): MemoryServer {
  return new MemoryServer(options);
}
