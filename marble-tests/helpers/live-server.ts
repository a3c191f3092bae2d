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

/** How long things take, in frames. */
interface Delays {
  /** From a request to its answer, which tells what was there when the request came. */
  readonly read?: number;
  /** From a write to the news of it on the feed. */
  readonly news?: number;
}

/**
 * A server of one database in virtual time: its documents, a feed of what happens to them, and
 * answers that are late. It tells what was asked, with the frame.
 */
export function liveServer(
  scheduler: TestScheduler,
  { read = 2, news = 1 }: Delays = {},
  options: CouchOptions = {},
): LiveServer {
  const documents = new Map<string, Stored>();
  const tombs = new Map<string, string>();
  const history: Body[] = [];
  const feeds = new Set<Subject<Body>>();
  const asked: string[] = [];
  let down = false;
  let open = 0;

  const record = (change: Body): void => {
    const row = { seq: `${history.length + 1}-s`, ...change };
    history.push(row);
    timer(news, scheduler).subscribe(() => {
      for (const feed of feeds) feed.next(row);
    });
  };
  const put = (id: string, fields: Body, hash = 'x'): Stored => {
    const before = documents.get(id)?._rev ?? tombs.get(id) ?? '0-';
    const doc = { ...fields, _id: id, _rev: `${Number.parseInt(before, 10) + 1}-${hash}` };
    documents.set(id, doc);
    tombs.delete(id);
    record({ id, changes: [{ rev: doc._rev }], doc });
    return doc;
  };
  const remove = (id: string): void => {
    const rev = `${Number.parseInt(documents.get(id)?._rev ?? '0', 10) + 1}-gone`;
    documents.delete(id);
    tombs.set(id, rev);
    const doc = { _id: id, _rev: rev, _deleted: true };
    record({ id, changes: [{ rev }], deleted: true, doc });
  };
  const json = (value: unknown, status = 200): Observable<TransportResponse> =>
    timer(read, scheduler).pipe(map(() => response(of(bytes(JSON.stringify(value))), status)));
  const rows = (keys?: readonly string[]): Body[] =>
    (keys ?? [...documents.keys()].sort()).map((id) => {
      const doc = documents.get(id);
      const rev = doc?._rev ?? tombs.get(id);
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
      open += 1;
      subscriber.add(concat(lines, NEVER).subscribe(subscriber));
      return () => {
        feeds.delete(feed);
        open -= 1;
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
      const at = (what: string): void => {
        asked.push(`${what}@${scheduler.now()}`);
      };
      if (query.get('feed') === 'continuous') {
        at(`feed ${since}`);
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
      if (pathname === '/db/_all_docs') {
        at(`read ${(body['keys'] as string[] | undefined)?.join() ?? '*'}`);
        return json({ rows: rows(body['keys'] as string[] | undefined) });
      }
      if (request.method === 'PUT') {
        const id = decodeURIComponent(pathname.slice(4));
        at(`put ${id}`);
        const current = documents.get(id)?._rev;
        const refused = server.refuse(id, body);
        if (refused !== null) return json({ error: 'forbidden', reason: refused }, 403);
        if (current !== body['_rev']) return json({ error: 'conflict', reason: 'update' }, 409);
        const { _id, _rev, ...fields } = body;
        return json({ ok: true, id, rev: put(id, fields)._rev }, 201);
      }
      at(pathname.slice(4));
      try {
        return json(server.other(pathname, body, [...documents.values()]));
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
    asked,
    put: (id, fields, hash) => void put(id, fields, hash),
    remove,
    open: () => open,
    cut: () => {
      down = true;
      for (const feed of feeds) feed.error(new Error('cut'));
    },
    restore: () => {
      down = false;
    },
    tell: (change) => {
      for (const feed of feeds) feed.next(change);
    },
    at: (frame, what) => {
      scheduler.schedule(what, frame);
    },
    refuse: () => null,
    other: () => ({}),
  };
  return server;
}

export interface LiveServer {
  readonly db: Database;
  /** The requests of note, as `what@frame`. */
  readonly asked: readonly string[];
  put(id: string, fields: Body, hash?: string): void;
  remove(id: string): void;
  /** How many feeds are open. */
  open(): number;
  /** Cuts every feed, and refuses connections until it is restored. */
  cut(): void;
  restore(): void;
  /** Has the feed say something, whatever is true. */
  tell(change: Body): void;
  at(frame: number, what: () => void): void;
  /** Why a write is refused; null where it is not. */
  refuse: (id: string, body: Body) => string | null;
  /** Answers what this server does not know of itself: views and queries; 404 if it throws. */
  other: (path: string, body: Body, documents: readonly Stored[]) => unknown;
}
