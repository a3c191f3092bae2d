import { Subject, asyncScheduler, defer, filter, finalize, merge } from 'rxjs';
import type { Observable } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import { changesReply } from './changes-reply.ts';
import type { ChangeRow, ChangesHistory, ChangesPage } from './changes-reply.ts';
import { fail } from './reply.ts';
import { Fault } from './reply.ts';
import { Reply, json } from './reply.ts';
import type { ServerRequest } from './route.ts';
import { requestLog, segmentsOf } from './route.ts';
import type { ColdObservable } from './route.ts';

/**
 * The value of a feed marble. Each of these is possible:
 *
 * - a document, which may be deleted, or its id;
 * - a change as CouchDB writes it, in which `seq` and `changes` are optional;
 * - a `fault`;
 * - a `status`: the server drops the connections, and refuses new ones with it until the next
 *   marble.
 */
export type FeedMarble = string | object | Fault | Reply;

/** The scripted changes of a database, and the requests for them: the result of `server.feed()`. */
export class MarbleFeed {
  readonly database: string;
  /** When its connections opened and closed, for `expectSubscriptions`. */
  readonly subscriptions: ColdObservable['subscriptions'];
  /** @internal */
  readonly log: ColdObservable;
  readonly #rows: Entry[] = [];
  readonly #arrived$ = new Subject<void>();
  readonly #silence$ = new Subject<void>();
  readonly #requests$ = requestLog();
  #cut$ = new Subject<never>();
  #refusal: Reply | null = null;
  #instance = 1;

  /** @internal */
  constructor(database: string, sources: readonly Observable<unknown>[], log: ColdObservable) {
    this.database = database;
    this.log = log;
    this.subscriptions = log.subscriptions;
    for (const source of sources) {
      source.subscribe({
        next: (marble) => this.#apply(marble),
        error: (error: unknown) => this.#apply(error instanceof Reply ? error : new Fault('cut')),
      });
    }
  }

  /** Emits the connection requests. It does not emit the feed's other requests. Hot. */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** Returns whether a feed of this database sends such a request. */
  matches({ method, path }: ServerRequest): boolean {
    const [database, ...rest] = segmentsOf(path);
    if (database !== this.database) return false;
    if (rest.length === 0) return method === 'GET';
    return rest.length === 1 && rest[0] === '_changes' && (method === 'GET' || method === 'POST');
  }

  /** @internal */
  answer(request: ServerRequest): Reply {
    const { path, query } = request;
    const isConnection = this.listens(request);
    if (isConnection) this.#requests$.next(request);
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
      more$: merge(this.#arrived$, this.#cut$),
    };
    const reply = changesReply(history, query, asyncScheduler);
    return isConnection ? this.#withSilence(reply) : reply;
  }

  /**
   * Returns whether the request opens a connection, instead of reading the sequence or the
   * database.
   */
  listens({ query }: ServerRequest): boolean {
    return 'feed' in query;
  }

  #openTooLongError(): Error {
    return new Error(
      `The feed of ${this.database} has been open for an hour of virtual time. Unsubscribe from it, ` +
        "as in expectObservable(feed, '-----!'), or set scheduler.maxFrames.",
    );
  }

  get #lastSeq(): string {
    return this.#rows.at(-1)?.row.seq ?? '0';
  }

  #read(since: string, limit: number, includeDocs: boolean): ChangesPage {
    const start =
      since === 'now'
        ? this.#rows.length
        : 1 + this.#rows.findIndex(({ row }) => row.seq === since);
    const remaining = this.#rows.slice(start);
    const rows = remaining.slice(0, limit);
    return {
      rows: rows.map(({ row, doc }) => (includeDocs ? { ...row, doc } : row)),
      lastSeq: rows.at(-1)?.row.seq ?? (since === 'now' || start > 0 ? this.#lastSeq : since),
      pending: remaining.length - rows.length,
    };
  }

  #apply(marble: unknown): void {
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
      if (marble.kind === 'replaced') this.replace();
      else this.#drop();
      return;
    }
    this.#rows.push(toEntry(marble, this.#rows.length + 1));
    this.#arrived$.next();
  }

  /** Deletes the database, and creates it again. @internal */
  replace(): void {
    this.#instance += 1;
    this.#rows.length = 0;
    this.#drop();
  }

  /** Breaks the open connections. New connections are not affected. */
  #drop(): void {
    const dropped$ = this.#cut$;
    this.#cut$ = new Subject<never>();
    dropped$.error(new Error('the connection was dropped'));
  }

  /**
   * Suppresses everything after a `fault.silence`. Fails the test if a connection stays open for an
   * hour: virtual time would never end.
   */
  #withSilence(reply: Reply): Reply {
    const body = defer(() => {
      let silent = false;
      const openedAt = asyncScheduler.now();
      const subscription = this.#silence$.subscribe(() => {
        silent = true;
      });
      return reply.body.pipe(
        filter(() => {
          if (asyncScheduler.now() - openedAt >= HOUR) fail(this.#openTooLongError());
          return !silent;
        }),
        finalize(() => subscription.unsubscribe()),
      );
    });
    return new Reply(reply.status, reply.headers, body);
  }
}

const HOUR = 3_600_000;

interface Entry {
  readonly row: ChangeRow;
  readonly doc: unknown;
}

function toEntry(marble: unknown, number: number): Entry {
  const value = typeof marble === 'string' ? { _id: marble } : marble;
  if (typeof value !== 'object' || value === null) {
    throw invalidArgument(
      'feed: a marble',
      'a document, an id, a change, a fault or a status',
      marble,
    );
  }
  const seq = String(number);
  if ('_id' in value) {
    const doc = { _rev: `1-${seq}`, ...value } as { _id: string; _rev: string; _deleted?: boolean };
    const changes = [{ rev: doc._rev }];
    const row = { seq, id: doc._id, changes, ...(doc._deleted === true && { deleted: true }) };
    return { row, doc };
  }
  const { doc = null, ...change } = value as { doc?: unknown; id: string };
  return { row: { seq, changes: [{ rev: `1-${seq}` }], ...change } as ChangeRow, doc };
}
