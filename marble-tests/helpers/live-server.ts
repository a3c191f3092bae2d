import {
  NEVER,
  Observable,
  Subject,
  concat,
  defer,
  map,
  merge,
  mergeMap,
  of,
  throwError,
  timer,
} from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch } from 'corduroy';
import type { CouchOptions, Database, TransportRequest, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './marble-transport.ts';

type Body = Record<string, unknown>;
interface Stored extends Body {
  readonly _id: string;
  readonly _rev: string;
}

/** Delays, in frames. */
interface Delays {
  /** From a request to its answer, which shows the state at the time of the request. */
  readonly read?: number;
  /** From a write to its change on the feed. */
  readonly feedDelay?: number;
}

/**
 * A server with one database in virtual time: its documents, a feed of their changes, and delayed
 * answers. It records each request with its frame.
 */
export function liveServer(
  scheduler: TestScheduler,
  { read = 2, feedDelay = 1 }: Delays = {},
  options: CouchOptions = {},
): LiveServer {
  const documents = new Map<string, Stored>();
  const tombstones = new Map<string, string>();
  const history: Body[] = [];
  const feeds = new Set<Subject<Body>>();
  const requests: string[] = [];
  let down = false;
  let openFeeds = 0;

  const record = (change: Body): void => {
    const row = { seq: `${history.length + 1}-s`, ...change };
    history.push(row);
    timer(feedDelay, scheduler).subscribe(() => {
      for (const feed of feeds) feed.next(row);
    });
  };
  const put = (id: string, fields: Body, hash = 'x'): Stored => {
    const before = documents.get(id)?._rev ?? tombstones.get(id) ?? '0-';
    const doc = { ...fields, _id: id, _rev: `${Number.parseInt(before, 10) + 1}-${hash}` };
    documents.set(id, doc);
    tombstones.delete(id);
    record({ id, changes: [{ rev: doc._rev }], doc });
    return doc;
  };
  const remove = (id: string): void => {
    const rev = `${Number.parseInt(documents.get(id)?._rev ?? '0', 10) + 1}-gone`;
    documents.delete(id);
    tombstones.set(id, rev);
    const doc = { _id: id, _rev: rev, _deleted: true };
    record({ id, changes: [{ rev }], deleted: true, doc });
  };
  const json = (value: unknown, status = 200): Observable<TransportResponse> =>
    timer(read, scheduler).pipe(map(() => response(of(bytes(JSON.stringify(value))), status)));
  const rows = (keys?: readonly string[]): Body[] =>
    (keys ?? [...documents.keys()].sort()).map((id) => {
      const doc = documents.get(id);
      const rev = doc?._rev ?? tombstones.get(id);
      if (rev === undefined) return { key: id, error: 'not_found' };
      return {
        id,
        key: id,
        value: { rev, ...(doc === undefined && { deleted: true }) },
        doc: doc ?? null,
      };
    });

  const continuous = (since: number): Observable<TransportResponse> => {
    const feed = new Subject<Body>();
    const lines = merge(of(...history.slice(since)), feed).pipe(
      map((row) => bytes(`${JSON.stringify(row)}\n`)),
    );
    const body = new Observable<Uint8Array>((subscriber) => {
      feeds.add(feed);
      openFeeds += 1;
      subscriber.add(concat(lines, NEVER).subscribe(subscriber));
      return () => {
        feeds.delete(feed);
        openFeeds -= 1;
      };
    });
    return of(response(body));
  };

  const answer = (request: TransportRequest): Observable<TransportResponse> =>
    defer(() => {
      const { pathname, searchParams: query } = new URL(request.url);
      const body = request.body === undefined ? {} : (JSON.parse(request.body as string) as Body);
      if (down)
        return throwError(() => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
      const since = query.get('since') ?? '0';
      const log = (description: string): void => {
        requests.push(`${description}@${scheduler.now()}`);
      };
      if (query.get('feed') === 'continuous') {
        log(`feed ${since}`);
        return continuous(Number.parseInt(since, 10));
      }
      if (pathname === '/db/_changes') {
        if (since === 'now')
          return timer(1, scheduler).pipe(
            mergeMap(() => {
              const value = { last_seq: `${history.length}-s`, results: [] };
              return of(response(of(bytes(JSON.stringify(value)))));
            }),
          );
        const results = history.slice(Number.parseInt(since, 10), since === '0' ? undefined : 0);
        return json({ results, last_seq: `${history.length}-s`, pending: 0 });
      }
      if (pathname === '/db') return of(response(of(bytes('{"instance_start_time":"1"}'))));
      const isRead = pathname === '/db/_all_docs' || request.method !== 'PUT';
      if (isRead && server.failReads !== null) {
        log(`failed ${pathname.slice(4)}`);
        return json({ error: 'busy', reason: 'busy' }, server.failReads);
      }
      if (pathname === '/db/_all_docs') {
        log(`read ${(body['keys'] as string[] | undefined)?.join() ?? '*'}`);
        const listed = rows(body['keys'] as string[] | undefined);
        return json({ rows: listed.slice(0, server.limit) });
      }
      if (request.method === 'PUT') {
        const id = decodeURIComponent(pathname.slice(4));
        log(`put ${id}`);
        const current = documents.get(id)?._rev;
        const reason = server.rejectReason(id, body);
        if (reason !== null) return json({ error: 'forbidden', reason }, server.rejectStatus);
        if (body['_deleted'] === true && current === body['_rev']) {
          remove(id);
          return json({ ok: true, id, rev: tombstones.get(id) }, 200);
        }
        if (current !== body['_rev']) return json({ error: 'conflict', reason: 'update' }, 409);
        const { _id, _rev, ...fields } = body;
        return json({ ok: true, id, rev: put(id, fields)._rev }, 201);
      }
      log(pathname.slice(4));
      try {
        return json(server.answerOther(pathname, body, [...documents.values()]));
      } catch {
        return json({ error: 'not_found', reason: 'missing' }, 404);
      }
    });

  const server: LiveServer = {
    db: new Couch(undefined, {
      ...options,
      transport: marbleTransport(answer),
      scheduler,
      live: { backoff: { initialDelay: 10, random: () => 0.999 }, ...options.live },
    }).use('db'),
    requests,
    put: (id, fields, hash) => void put(id, fields, hash),
    remove,
    openFeeds: () => openFeeds,
    cut: () => {
      down = true;
      for (const feed of feeds) feed.error(new Error('cut'));
    },
    restore: () => {
      down = false;
    },
    sendChange: (change) => {
      for (const feed of feeds) feed.next(change);
    },
    at: (frame, action) => {
      scheduler.schedule(action, frame);
    },
    replace: (id, rev, fields) => {
      const doc = { ...fields, _id: id, _rev: rev };
      documents.set(id, doc);
      tombstones.delete(id);
      record({ id, changes: [{ rev }], doc });
    },
    rejectStatus: 403,
    limit: Infinity,
    failReads: null,
    rejectReason: () => null,
    answerOther: () => ({}),
  };
  return server;
}

export interface LiveServer {
  readonly db: Database;
  /** The requests for feeds, documents, views and writes, as `request@frame`. */
  readonly requests: readonly string[];
  put(id: string, fields: Body, hash?: string): void;
  remove(id: string): void;
  /** How many feeds are open. */
  openFeeds(): number;
  /** Cuts every feed, and refuses connections until `restore` is called. */
  cut(): void;
  restore(): void;
  /** Sends a change over the feed, whether or not it is true. */
  sendChange(change: Body): void;
  /** Runs an action at a frame. */
  at(frame: number, action: () => void): void;
  /** Makes a revision the winner, as replication does. */
  replace(id: string, rev: string, fields: Body): void;
  /** The status of rejected writes. */
  rejectStatus: number;
  /** The status with which reads of documents, views and queries fail; null if they succeed. */
  failReads: number | null;
  /** How many rows a list of documents has at most. */
  limit: number;
  /** Returns the reason for rejecting a write; null to accept it. */
  rejectReason: (id: string, body: Body) => string | null;
  /** Answers requests for views and queries; the answer is a 404 if it throws. */
  answerOther: (path: string, body: Body, documents: readonly Stored[]) => unknown;
}
