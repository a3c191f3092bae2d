import { Subject, asyncScheduler, defer, filter, finalize, merge } from 'rxjs';
import type { Observable } from 'rxjs';
import { changesReply } from './changes-reply.ts';
import type { ChangeRow, ChangesHistory, ChangesPage } from './changes-reply.ts';
import { fail } from './reply.ts';
import { Fault } from './reply.ts';
import { Reply, json } from './reply.ts';
import type { ServerRequest } from './route.ts';
import { requestLog, segmentsOf } from './route.ts';
import type { ColdObservable } from './route.ts';

/**
 * What a marble of a feed stands for: a document, deleted ones as well; the id of one; a change as
 * CouchDB writes it, of which `seq` and `changes` may be left out; a `fault`; or a `status`, with
 * which the server drops the connections and refuses new ones, until the next marble.
 */
export type FeedMarble = string | object | Fault | Reply;

/**
 * The changes of a database as the test writes them, and what was asked of it: what
 * `server.feed()` returns.
 */
export class MarbleFeed {
  readonly database: string;
  /** When its connections began and ended, for `expectSubscriptions`. */
  readonly subscriptions: ColdObservable['subscriptions'];
  /** @internal */
  readonly log: ColdObservable;
  readonly #rows: Entry[] = [];
  readonly #arrived$ = new Subject<void>();
  readonly #cut$ = new Subject<never>();
  readonly #silence$ = new Subject<void>();
  readonly #requests$ = requestLog();
  #cuts: Subject<never> = this.#cut$;
  #refusal: Reply | null = null;
  #instance = 1;

  /** @internal */
  constructor(database: string, sources: readonly Observable<unknown>[], log: ColdObservable) {
    this.database = database;
    this.log = log;
    this.subscriptions = log.subscriptions;
    for (const source of sources) {
      source.subscribe({
        next: (marble) => this.#take(marble),
        error: (error: unknown) => this.#take(error instanceof Reply ? error : new Fault('cut')),
      });
    }
  }

  /** Its connections as they are asked for; not what the feed asks besides. Hot. */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** Whether a request is one that a feed of this database sends. */
  matches({ method, path }: ServerRequest): boolean {
    const [database, ...rest] = segmentsOf(path);
    if (database !== this.database) return false;
    if (rest.length === 0) return method === 'GET';
    return rest.length === 1 && rest[0] === '_changes' && (method === 'GET' || method === 'POST');
  }

  /** @internal */
  answer(request: ServerRequest): Reply {
    const { path, query } = request;
    const connection = 'feed' in query;
    if (connection) this.#requests$.next(request);
    if (this.#refusal !== null) return this.#refusal;
    if (!path.endsWith('/_changes')) {
      return json(200, {
        db_name: this.database,
        update_seq: this.#lastSeq,
        instance_start_time: String(this.#instance),
      });
    }
    const history: ChangesHistory = {
      read: (since, limit) => this.#read(since, limit, query['include_docs'] === 'true'),
      more$: merge(this.#arrived$, this.#cuts),
    };
    const reply = changesReply(history, query, asyncScheduler);
    return connection ? this.#mortal(reply) : reply;
  }

  /** Whether an exchange is a connection that listens, and not what a feed asks besides. */
  listens({ query }: ServerRequest): boolean {
    return 'feed' in query;
  }

  #leftOpen(): Error {
    return new Error(
      `The feed of ${this.database} has been open for an hour of virtual time: unsubscribe from it, ` +
        "as in expectObservable(feed, '-----!'), or set scheduler.maxFrames.",
    );
  }

  get #lastSeq(): string {
    return this.#rows.at(-1)?.row.seq ?? '0';
  }

  #read(since: string, limit: number, includeDocs: boolean): ChangesPage {
    const begin =
      since === 'now'
        ? this.#rows.length
        : 1 + this.#rows.findIndex(({ row }) => row.seq === since);
    const left = this.#rows.slice(begin);
    const rows = left.slice(0, limit);
    return {
      rows: rows.map(({ row, doc }) => (includeDocs ? { ...row, doc } : row)),
      lastSeq: rows.at(-1)?.row.seq ?? (since === 'now' || begin > 0 ? this.#lastSeq : since),
      pending: left.length - rows.length,
    };
  }

  #take(marble: unknown): void {
    if (marble instanceof Reply) {
      this.#refusal = marble;
      this.#drop();
      return;
    }
    this.#refusal = null;
    if (marble instanceof Fault) {
      if (marble.kind === 'silence') {
        this.#silence$.next();
        return;
      }
      if (marble.kind === 'replaced') {
        this.#instance += 1;
        this.#rows.length = 0;
      }
      this.#drop();
      return;
    }
    this.#rows.push(toEntry(marble, this.#rows.length + 1));
    this.#arrived$.next();
  }

  /** Breaks the connections that there are; those to come are others. */
  #drop(): void {
    const dropped = this.#cuts;
    this.#cuts = new Subject<never>();
    dropped.error(new Error('the connection was dropped'));
  }

  /**
   * After a `fault.silence` nothing comes any more, and nobody is told. A connection that nobody ever
   * leaves would go on for ever in virtual time, and the test with it.
   */
  #mortal(reply: Reply): Reply {
    const body = defer(() => {
      let alive = true;
      const begun = asyncScheduler.now();
      const silence = this.#silence$.subscribe(() => {
        alive = false;
      });
      return reply.body.pipe(
        filter(() => {
          if (asyncScheduler.now() - begun >= AN_HOUR) fail(this.#leftOpen());
          return alive;
        }),
        finalize(() => silence.unsubscribe()),
      );
    });
    return new Reply(reply.status, reply.headers, body);
  }
}

const AN_HOUR = 3_600_000;

interface Entry {
  readonly row: ChangeRow;
  readonly doc: unknown;
}

function toEntry(marble: unknown, nth: number): Entry {
  const given = typeof marble === 'string' ? { _id: marble } : marble;
  if (typeof given !== 'object' || given === null) {
    throw new TypeError(`A feed's marble is a document, an id, a change, a fault or a status`);
  }
  const seq = String(nth);
  if ('_id' in given) {
    const doc = { _rev: `1-${seq}`, ...given } as { _id: string; _rev: string; _deleted?: boolean };
    const changes = [{ rev: doc._rev }];
    const row = { seq, id: doc._id, changes, ...(doc._deleted === true && { deleted: true }) };
    return { row, doc };
  }
  const { doc = null, ...change } = given as { doc?: unknown; id: string };
  return { row: { seq, changes: [{ rev: `1-${seq}` }], ...change } as ChangeRow, doc };
}
