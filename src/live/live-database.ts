/**
 * The live layer keeps the results of reads up to date. It may import all layers below the facades.
 * Its streams are hot: all live queries on one database share one changes feed.
 */
import {
  BehaviorSubject,
  Observable,
  ReplaySubject,
  Subject,
  defer,
  filter,
  finalize,
  map,
  merge,
  mergeMap,
  share,
  take,
  tap,
} from 'rxjs';
import { readFeedOptions, requireFeedOptions } from '../changes/changes-feed.ts';
import type { FeedOptions } from '../changes/changes-feed.ts';
import { databaseSource } from '../changes/feed-source.ts';
import type { FeedBehaviour } from '../changes/feed-model.ts';
import type { FeedState } from '../changes/feed-model.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { SharedFeed } from '../changes/shared-feed.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { duration } from '../operators/time.ts';
import { entryOfChange } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';
import { KnownRevisions } from './live-entry.ts';
import { LiveReader } from './live-reader.ts';

/** The options of the changes feed that the live queries of a database share. */
export interface LiveOptions extends Omit<FeedOptions, 'latency'> {
  /**
   * The minimum time between two reads of the same live query, in milliseconds. It applies only to
   * queries that the server must compute; changes alone update the others at once.
   * @defaultValue 1000
   */
  readonly latency?: number;
}

/**
 * Reads the options of live queries: their latency, and the behaviour of the feed that they share.
 *
 * @throws TypeError or RangeError for unknown options, and for values out of range.
 */
export function readLiveOptions(options: LiveOptions): {
  readonly latency: number;
  readonly behaviour: FeedBehaviour;
} {
  // A `since` or a filter would keep changes from live queries.
  requireFeedOptions(options, 'live');
  const { latency = 1000, ...rest } = options;
  duration(latency, 'live: latency');
  const { behaviour } = readFeedOptions(rest, 'live');
  return { latency, behaviour };
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

/** The changes feed that all live queries of a database share, with the revisions it delivered. */
export class LiveDatabase {
  readonly db: DatabaseScope;
  readonly latency: number;
  /** Emits the state of the feed's connection: the present one at once, then each new one. */
  readonly state$: Observable<FeedState>;
  /**
   * Emits the changes as they arrive. The revisions of a document never go backwards. Hot and
   * shared: the first subscriber opens the connection, and the last one closes it.
   */
  readonly changes$: Observable<readonly LiveEntry[]>;
  readonly #behaviour: FeedBehaviour;
  /** Whether the sequence from which the feed follows changes is known. */
  readonly #startKnown$ = new BehaviorSubject(false);
  readonly #known = new KnownRevisions();
  readonly #reader: LiveReader;
  /** The subjects of queries that follow one document alone. */
  readonly #listeners = new Map<string, Subject<readonly LiveEntry[]>>();
  readonly #refetches$ = new Subject<readonly string[]>();
  readonly #shared = new Map<string, Observable<unknown>>();

  constructor(scope: DatabaseScope, options: LiveOptions) {
    // Reads of the application go first. Live queries retry by themselves, and report it.
    const connection = scope.connection.with({ priority: 'low', retry: false });
    const db = { ...scope, connection };
    const { latency, behaviour } = readLiveOptions(options);
    this.db = db;
    this.latency = latency;
    this.#behaviour = behaviour;
    this.#reader = new LiveReader(db);
    const source = databaseSource<AnyFields>(db, { includeDocs: true, conflicts: true });
    const feed = new SharedFeed<Change>(
      {
        ...source,
        // Reads wait until the start sequence is known, so that no change falls in between.
        currentSequence: (timeout) =>
          source.currentSequence(timeout).pipe(tap(() => this.#startKnown$.next(true))),
      },
      behaviour,
    );
    this.state$ = feed.state$.asObservable();
    this.changes$ = merge(
      this.#refetches$.pipe(mergeMap((ids) => this.#fetchEntries(ids))),
      feed.items$.pipe(map((changes) => this.#acceptChanges(changes))),
    ).pipe(
      filter((entries) => entries.length > 0),
      tap((entries) => {
        for (const entry of entries) this.#listeners.get(entry.id)?.next([entry]);
      }),
      finalize(() => {
        this.#startKnown$.next(false);
        this.#known.clear();
      }),
      share(),
    );
  }

  /** Emits the changes of one document. Changes of other documents cost it nothing. */
  changesOf(id: string): Observable<readonly LiveEntry[]> {
    return new Observable((subscriber) => {
      const listener = this.#listeners.get(id) ?? new Subject<readonly LiveEntry[]>();
      this.#listeners.set(id, listener);
      subscriber.add(listener.subscribe((entries) => subscriber.next(entries)));
      subscriber.add(() => {
        if (!listener.observed) this.#listeners.delete(id);
      });
      // Keeps the feed open, and ends with it.
      subscriber.add(
        this.changes$.subscribe({
          error: (error: unknown) => subscriber.error(error),
          complete: () => subscriber.complete(),
        }),
      );
    });
  }

  /**
   * Reads as soon as the feed's start sequence is known, and retries transient errors. Only for
   * subscribers of `changes$`, because the feed does not start without one.
   */
  readAfterStart<R>(read: () => Observable<R>): Observable<R> {
    return this.#startKnown$.pipe(
      filter(Boolean),
      take(1),
      mergeMap(() => this.#withRetries(read)),
    );
  }

  /** Reads documents, in one request with all other reads of the same turn. */
  read(ids: readonly string[]): Observable<readonly LiveEntry[]> {
    return this.#reader.read(ids).pipe(tap((entries) => this.recordRevisions(entries)));
  }

  /** Records revisions that were read, so that a later change to an older one is ignored. */
  recordRevisions(entries: readonly LiveEntry[]): void {
    for (const entry of entries) if (this.#known.isNotOlder(entry)) this.#known.set(entry);
  }

  /** Fetches documents from the server, and emits them in `changes$`. */
  refetch(ids: readonly string[]): void {
    if (ids.length > 0) this.#refetches$.next(ids);
  }

  /** Returns the stream of a key, which all its subscribers share; creates it for the first one. */
  shared<R>(key: string, create: () => Observable<R>): Observable<R> {
    return defer(() => {
      const existing = this.#shared.get(key) as Observable<R> | undefined;
      if (existing !== undefined) return existing;
      const created = create().pipe(
        finalize(() => this.#shared.delete(key)),
        share({ connector: () => new ReplaySubject<R>(1) }),
      );
      this.#shared.set(key, created);
      return created;
    });
  }

  /** Returns the changes that are certainly not old, and refetches the documents of the others. */
  #acceptChanges(changes: readonly Change[]): readonly LiveEntry[] {
    const accepted: LiveEntry[] = [];
    const uncertainIds: string[] = [];
    for (const change of changes) {
      const entry = entryOfChange(change);
      if (entry !== null && this.#known.isNotOlder(entry)) {
        this.#known.set(entry);
        accepted.push(entry);
      } else {
        uncertainIds.push(change.id);
      }
    }
    this.refetch(uncertainIds);
    return accepted;
  }

  /** Fetches documents. A change that arrives during the request is newer than the answer. */
  #fetchEntries(ids: readonly string[]): Observable<readonly LiveEntry[]> {
    const before = ids.map((id) => this.#known.get(id));
    return this.#withRetries(() => this.#reader.read(ids)).pipe(
      map((entries) =>
        entries.filter(
          (entry, i) => this.#known.get(entry.id) === before[i] || this.#known.isNotOlder(entry),
        ),
      ),
      tap((entries) => {
        for (const entry of entries) this.#known.set(entry);
      }),
    );
  }

  #withRetries<R>(read: () => Observable<R>): Observable<R> {
    return defer(() => {
      const { connection } = this.db;
      const { backoff, errorTolerance } = this.#behaviour;
      const retryPolicy = new RetryPolicy(backoff, errorTolerance, connection.scheduler);
      return defer(read).pipe(retryTransient(connection, retryPolicy));
    });
  }
}
