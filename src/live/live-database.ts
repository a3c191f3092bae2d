/**
 * The live layer keeps the results of reads up to date. It may import all layers below the facades.
 * Its streams are hot: all live queries on one database share one changes feed and one document cache.
 */
import {
  BehaviorSubject,
  Subscription,
  combineLatest,
  defer,
  distinctUntilChanged,
  filter,
  map,
  mergeMap,
  of,
  take,
  tap,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { readFeedOptions, requireFeedOptions } from '../changes/changes-feed.ts';
import type { FeedOptions } from '../changes/changes-feed.ts';
import { databaseSource } from '../changes/feed-source.ts';
import type { FeedBehaviour, FeedState } from '../changes/feed-model.ts';
import { SharedFeed } from '../changes/shared-feed.ts';
import { retryTransient } from '../http/retry-transient.ts';
import type { OnWait } from '../http/retry-transient.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change } from '../model/change.ts';
import { byWinner } from '../model/document.ts';
import type { AnyFields } from '../model/document.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { duration } from '../operators/time.ts';
import { DocumentCache } from './document-cache.ts';
import { entryOfChange } from './live-entry.ts';
import type { LiveChange, LiveEntry } from './live-entry.ts';
import { LiveReader } from './live-reader.ts';
import { QueryIndex } from './query-index.ts';
import type { Interest } from './query-index.ts';
import { SharedQueries } from './shared-queries.ts';
import type { ReadWait } from './shared-queries.ts';

/** The options of the changes feed that the live queries of a database share. */
export interface LiveOptions extends Omit<FeedOptions, 'latency' | 'linger'> {
  /**
   * The minimum time between two reads of the same live query, in milliseconds. It applies only to
   * queries that the server must compute; changes alone update the others at once.
   * @defaultValue 1000
   */
  readonly latency?: number;
  /**
   * How long a live query stays up to date after its last subscriber has left, in milliseconds. A
   * subscriber that comes in this time receives the present value at once, without a request: a router
   * that replaces one component by another causes no read. The default lasts longer than such a
   * replacement, and lets a program end soon.
   * @defaultValue 1000
   */
  readonly linger?: number;
}

/**
 * Reads the options of live queries: their own, and the behaviour of the feed that they share.
 *
 * @throws TypeError or RangeError for unknown options, and for values out of range.
 */
export function readLiveOptions(options: LiveOptions): {
  readonly latency: number;
  readonly linger: number;
  readonly behaviour: FeedBehaviour;
} {
  // A `since` or a filter would keep changes from live queries.
  requireFeedOptions(options, 'live');
  const { latency = 1000, linger = 1000, ...rest } = options;
  duration(latency, 'live: latency');
  duration(linger, 'live: linger');
  const { behaviour } = readFeedOptions(rest, 'live');
  return { latency, linger, behaviour };
}

const databases = new WeakMap<object, Map<string, LiveDatabase>>();

/**
 * Returns the live queries' part of a database, and creates it if there is none. Sends nothing.
 *
 * @param options - Used only by the first call for a database.
 */
export function liveDatabase(db: DatabaseScope, options: LiveOptions): LiveDatabase {
  const known = databases.get(db.connection.shared) ?? new Map<string, LiveDatabase>();
  databases.set(db.connection.shared, known);
  const live = known.get(db.name) ?? new LiveDatabase(db, options);
  known.set(db.name, live);
  return live;
}

/** The documents that a live query reads: those of the database, or of one of its partitions. */
export interface LivePlace {
  readonly db: DatabaseScope;
  /** The beginning of all ids; `''` for the whole database. */
  readonly prefix: string;
}

/** A running query: it receives the changes that may affect it, and the error that ends the feed. */
export interface LiveListener {
  next(changes: readonly LiveChange[]): void;
  error(error: unknown): void;
}

/** How many changes are applied before the event loop may do other work. */
const CHANGES_PER_TURN = 500;

/**
 * The shared part of all live queries of a database: one changes feed, one cache of documents, and reads
 * in batches. It leads each change to the queries that it may affect.
 */
export class LiveDatabase {
  readonly db: DatabaseScope;
  readonly latency: number;
  /** Emits the state of the feed's connection: the present one at once, then each new one. */
  readonly state$: Observable<FeedState>;
  readonly cache: DocumentCache = new DocumentCache();
  readonly queries: SharedQueries;
  readonly #behaviour: FeedBehaviour;
  readonly #feed: SharedFeed<Change>;
  readonly #reader: LiveReader;
  readonly #index = new QueryIndex<LiveListener>();
  readonly #listeners = new Set<LiveListener>();
  /** The wait of a fetch that serves all queries. */
  readonly #fetchWait$ = new BehaviorSubject<ReadWait | null>(null);
  /** Whether the sequence from which the feed follows changes is known. */
  readonly #startKnown$ = new BehaviorSubject(false);
  /** The subscription to the feed, with the fetches that serve its listeners. */
  #connection: Subscription | null = null;
  /** The changes that are not applied yet, by id: only the last change of a document counts. */
  readonly #queue = new Map<string, LiveEntry>();
  #draining = false;

  constructor(scope: DatabaseScope, options: LiveOptions) {
    // Reads of the application go first. Live queries retry by themselves, and report it.
    const connection = scope.connection.with({ priority: 'low', retry: false });
    const db = { ...scope, connection };
    const { latency, linger, behaviour } = readLiveOptions(options);
    this.db = db;
    this.latency = latency;
    this.#behaviour = behaviour;
    this.#reader = new LiveReader(
      db,
      (read, onWait) => this.#withRetries(read, onWait),
      this.#startKnown$.pipe(filter(Boolean)),
    );
    const source = databaseSource<AnyFields>(db, { includeDocs: true, conflicts: true });
    this.#feed = new SharedFeed<Change>(
      {
        ...source,
        // Reads wait until the start sequence is known, so that no change falls in between.
        currentSequence: (timeout) =>
          source.currentSequence(timeout).pipe(tap(() => this.#startKnown$.next(true))),
      },
      behaviour,
    );
    this.state$ = combineLatest([this.#feed.state$, this.#fetchWait$]).pipe(
      map(([state, wait]) => wait ?? state),
      distinctUntilChanged(),
    );
    this.queries = new SharedQueries(this.state$, linger, connection);
  }

  /**
   * Keeps the feed open for a listener: the first one opens the connection, and the last one closes it.
   * Returns the function that ends this.
   */
  listen(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    this.#connect();
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#disconnect();
    };
  }

  /** Leads changes to a listener. Returns the function that ends this. */
  watch(listener: LiveListener, interest: Interest): () => void {
    return this.#index.add(listener, interest);
  }

  /**
   * Reads as soon as the feed's start sequence is known, and retries transient errors. Only for
   * listeners, because the feed does not start without one.
   */
  readAfterStart<R>(read: () => Observable<R>, onWait: OnWait): Observable<R> {
    return this.#startKnown$.pipe(
      filter(Boolean),
      take(1),
      mergeMap(() => this.#withRetries(read, onWait)),
    );
  }

  /**
   * Emits the present entries of documents, and completes. Documents that a query holds need no request;
   * the others are read in one request with all reads of the same turn. Only for listeners.
   */
  readEntries(ids: readonly string[], onWait: OnWait): Observable<readonly LiveEntry[]> {
    const missing = ids.filter((id) => this.cache.get(id) === undefined);
    if (missing.length === 0) return of(ids.map((id) => this.cache.get(id) as LiveEntry));
    return this.#reader.read(ids, onWait);
  }

  /**
   * Reads documents from the server, in one request with all other reads of the same turn. Only for
   * listeners.
   */
  read(ids: readonly string[], onWait: OnWait = () => {}): Observable<readonly LiveEntry[]> {
    return this.#reader.read(ids, onWait);
  }

  /**
   * Fetches documents from the server, and leads them to the queries as changes, even if an older
   * revision wins now. Does nothing without a listener.
   */
  refetch(ids: readonly string[]): void {
    if (ids.length === 0 || this.#connection === null) return;
    const before = ids.map((id) => this.#revOf(id));
    const onWait: OnWait = (attempt, delay, error) =>
      this.#fetchWait$.next({ status: 'waiting', attempt, delay, error });
    const fetched$ = this.#reader.read(ids, onWait).pipe(
      // A change that arrived during the request may be newer than the answer.
      map((entries) =>
        entries.filter(
          ({ id, rev }, i) => this.#revOf(id) === before[i] || this.#isNotOlder(id, rev),
        ),
      ),
    );
    this.#connection.add(
      fetched$.subscribe({
        next: (entries) => {
          this.#fetchWait$.next(null);
          for (const entry of entries) this.#enqueue(entry);
          this.#drain();
        },
        error: (error: unknown) => this.#fail(error),
      }),
    );
  }

  #connect(): void {
    if (this.#connection !== null) return;
    const connection = new Subscription();
    this.#connection = connection;
    connection.add(
      this.#feed.items$.subscribe({
        next: (changes) => this.#accept(changes),
        error: (error: unknown) => this.#fail(error),
      }),
    );
  }

  #disconnect(): void {
    const connection = this.#connection;
    this.#connection = null;
    this.#queue.clear();
    this.#draining = false;
    this.#startKnown$.next(false);
    this.#fetchWait$.next(null);
    this.cache.forget();
    connection?.unsubscribe();
  }

  /** Ends all queries with an error. Each may subscribe again at once. */
  #fail(error: unknown): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    this.#disconnect();
    for (const listener of listeners) listener.error(error);
  }

  /** Takes the changes that are certainly not old, and refetches the documents of the others. */
  #accept(changes: readonly Change[]): void {
    const uncertain: string[] = [];
    for (const change of changes) {
      const entry = entryOfChange(change);
      if (entry !== null && this.#isNotOlder(entry.id, entry.rev)) this.#enqueue(entry);
      else uncertain.push(change.id);
    }
    this.#drain();
    this.refetch(uncertain);
  }

  #revOf(id: string): string | null | undefined {
    const queued = this.#queue.get(id);
    return queued === undefined ? this.cache.revOf(id) : queued.rev;
  }

  #isNotOlder(id: string, rev: string | null): boolean {
    const queued = this.#queue.get(id)?.rev ?? null;
    if (queued === null) return this.cache.isNotOlder(id, rev);
    return rev !== null && byWinner(rev, queued) <= 0;
  }

  #enqueue(entry: LiveEntry): void {
    this.#queue.delete(entry.id);
    this.#queue.set(entry.id, entry);
  }

  /** Applies the changes of the queue: many of them in several turns. */
  #drain(): void {
    if (this.#draining || this.#queue.size === 0) return;
    const changes: LiveChange[] = [];
    for (const [id, after] of this.#queue) {
      if (changes.length === CHANGES_PER_TURN) break;
      this.#queue.delete(id);
      changes.push(this.cache.update(after));
    }
    if (this.#queue.size > 0) {
      this.#draining = true;
      this.#connection?.add(
        this.db.connection.after(0).subscribe(() => {
          this.#draining = false;
          this.#drain();
        }),
      );
    }
    for (const [listener, relevant] of this.#index.affected(changes)) {
      // A listener may have left because of what another one received.
      if (this.#listeners.has(listener)) listener.next(relevant);
    }
  }

  #withRetries<R>(read: () => Observable<R>, onWait: OnWait): Observable<R> {
    return defer(() => {
      const { connection } = this.db;
      const { backoff, errorTolerance } = this.#behaviour;
      const policy = new RetryPolicy(backoff, errorTolerance, connection.scheduler);
      return defer(read).pipe(retryTransient(connection, policy, onWait));
    });
  }
}
