import { Couch, offline } from 'corduroy';
import { Subject, concatMap, merge } from 'rxjs';
import type { DemoDocument } from './documents.ts';

/** The name by which the demo's server recognizes the connections of this page. */
export const client = `page-${Math.random().toString(36).slice(2, 10)}`;

const name = decodeURIComponent(document.documentElement.dataset['database'] ?? '');

/** The demo's server passes the requests for its database on to CouchDB. */
const couch = new Couch(new URL('couch', location.href).href, {
  headers: { 'x-demo-client': client },
  // Feeds go to the relay of the demo, if there is one.
  ...(document.documentElement.dataset['relay'] === 'true' && {
    changesUrl: new URL('relay', location.href),
  }),
});

export const db = couch.use<DemoDocument>(name);

/** The events of the requests of this page. */
export const requests$ = couch.requests$;

const retry$ = new Subject<void>();

/** Ends the wait before the next attempt: the feed connects at once. */
export const retryNow = (): void => retry$.next();

const options = {
  includeDocs: true,
  // The default retries too soon for people to read the state in between.
  backoff: { initialDelay: 1_000, maxDelay: 4_000 },
  // A feed connects at once when `pauseWhile` emits false: when the browser is online again, and
  // when the page asks for an immediate attempt.
  pauseWhile: merge(offline(), retry$.pipe(concatMap(() => [true, false]))),
};

/**
 * The changes of the database. This line sends nothing: the first subscriber opens the connection,
 * and all subscribers share it.
 */
export const feed = db.changes$({ ...options, latency: 250 });

/** The same changes in batches of two seconds, over the same connection. */
export const slowFeed = db.changes$({ ...options, latency: 2_000 });
