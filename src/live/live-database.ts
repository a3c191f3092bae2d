/**
 * The live room: reads that go on. It sees everything below the facades, and its streams are hot: all
 * that is live on one database rides on one connection for changes.
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
import { readFeedOptions } from '../changes/changes-feed.ts';
import type { FeedOptions } from '../changes/changes-feed.ts';
import { databaseSource } from '../changes/feed-source.ts';
import type { FeedBehaviour } from '../changes/feed-state.ts';
import type { FeedState } from '../changes/feed-state.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { SharedFeed } from '../changes/shared-feed.ts';
import type { Connection } from '../http/connection.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { entryOfChange } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';
import { KnownRevisions } from './live-entry.ts';
import { LiveReader } from './live-reader.ts';

/** How what is live on a database listens for changes. */
export interface LiveOptions extends Omit<FeedOptions, 'latency'> {
  /**
   * How long a query that had to ask the server waits before it asks again, in milliseconds. What
   * can be told from the changes themselves is emitted at once.
   * @defaultValue 1000
   */
  readonly latency?: number;
}

const databases = new WeakMap<Connection, Map<string, LiveDatabase>>();

/**
 * Finds what is live on a database, or begins it. Nothing is sent.
 *
 * @param options - Those of the first hold.
 */
export function liveDatabase(db: DatabaseScope, options: LiveOptions): LiveDatabase {
  const known = databases.get(db.connection) ?? new Map<string, LiveDatabase>();
  databases.set(db.connection, known);
  const live = known.get(db.name) ?? new LiveDatabase(db, options);
  known.set(db.name, live);
  return live;
}

/** The one connection for changes of all that is live on a database, and what came over it. */
export class LiveDatabase {
  readonly db: DatabaseScope;
  readonly latency: number;
  /** What the connection is doing: the present state at once, then each new one. */
  readonly state$: Observable<FeedState>;
  /**
   * What was changed, in the blocks in which it came; of each document never an older revision
   * after a newer one. Hot and shared: the first subscriber opens the connection, the last closes it.
   */
  readonly changes$: Observable<readonly LiveEntry[]>;
  readonly #behaviour: FeedBehaviour;
  readonly #begun$ = new BehaviorSubject(false);
  readonly #known = new KnownRevisions();
  readonly #reader: LiveReader;
  /** Those who listen for one document alone. */
  readonly #listeners = new Map<string, Subject<readonly LiveEntry[]>>();
  readonly #doubtful$ = new Subject<readonly string[]>();
  readonly #shared = new Map<string, Observable<unknown>>();

  constructor(db: DatabaseScope, options: LiveOptions) {
    const { latency = 1000, ...rest } = options;
    if (!(latency >= 0))
      throw invalidArgument('live: latency', 'milliseconds from 0', latency, RangeError);
    const { behaviour } = readFeedOptions(rest, 'live');
    this.db = db;
    this.latency = latency;
    this.#behaviour = behaviour;
    this.#reader = new LiveReader(db);
    const source = databaseSource<AnyFields>(db, { includeDocs: true, conflicts: true });
    const feed = new SharedFeed<Change>(
      {
        ...source,
        // Reading begins when it is settled from where changes are followed: none is missed.
        now: (silence) => source.now(silence).pipe(tap(() => this.#begun$.next(true))),
      },
      behaviour,
    );
    this.state$ = feed.state$.asObservable();
    this.changes$ = merge(
      this.#doubtful$.pipe(mergeMap((ids) => this.#settle(ids))),
      feed.blocks$.pipe(map((block) => this.#sift(block))),
    ).pipe(
      filter((block) => block.length > 0),
      tap((block) => {
        for (const found of block) this.#listeners.get(found.id)?.next([found]);
      }),
      finalize(() => {
        this.#begun$.next(false);
        this.#known.clear();
      }),
      share(),
    );
  }

  /** The changes of one document, at no cost for those of others. */
  changesOf(id: string): Observable<readonly LiveEntry[]> {
    return new Observable((subscriber) => {
      const listener = this.#listeners.get(id) ?? new Subject<readonly LiveEntry[]>();
      this.#listeners.set(id, listener);
      subscriber.add(listener.subscribe((found) => subscriber.next(found)));
      subscriber.add(() => {
        if (!listener.observed) this.#listeners.delete(id);
      });
      // Holds the connection; what ends it, ends all.
      subscriber.add(
        this.changes$.subscribe({
          error: (error: unknown) => subscriber.error(error),
          complete: () => subscriber.complete(),
        }),
      );
    });
  }

  /**
   * Reads once it is settled from where changes are followed, and again as long as failures pass by
   * themselves. For those who listen for changes.
   */
  begin<R>(read: () => Observable<R>): Observable<R> {
    return this.#begun$.pipe(
      filter(Boolean),
      take(1),
      mergeMap(() => this.#persist(read)),
    );
  }

  /** Reads documents, together with all that are asked for in the same turn. */
  read(ids: readonly string[]): Observable<readonly LiveEntry[]> {
    return this.#reader.read(ids).pipe(tap((found) => this.note(found)));
  }

  /** Notes revisions that were read: an older one that is told of later is not news. */
  note(found: readonly LiveEntry[]): void {
    for (const one of found) if (this.#known.admits(one)) this.#known.set(one);
  }

  /** Asks what the server has of documents, and tells all who listen. */
  recheck(ids: readonly string[]): void {
    if (ids.length > 0) this.#doubtful$.next(ids);
  }

  /** One stream for all who want the same, for as long as anybody does. */
  shared<R>(key: string, make: () => Observable<R>): Observable<R> {
    return defer(() => {
      const known = this.#shared.get(key) as Observable<R> | undefined;
      if (known !== undefined) return known;
      const made = make().pipe(
        finalize(() => this.#shared.delete(key)),
        share({ connector: () => new ReplaySubject<R>(1) }),
      );
      this.#shared.set(key, made);
      return made;
    });
  }

  /** Passes on what is surely news; the rest is looked into first. */
  #sift(block: readonly Change[]): readonly LiveEntry[] {
    const sure: LiveEntry[] = [];
    const doubtful: string[] = [];
    for (const change of block) {
      const found = entryOfChange(change);
      if (found !== null && this.#known.admits(found)) {
        this.#known.set(found);
        sure.push(found);
      } else {
        doubtful.push(change.id);
      }
    }
    this.recheck(doubtful);
    return sure;
  }

  /** Reads what is in doubt. What was heard of a document in the meantime is newer than the answer. */
  #settle(ids: readonly string[]): Observable<readonly LiveEntry[]> {
    const before = ids.map((id) => this.#known.get(id));
    return this.#persist(() => this.#reader.read(ids)).pipe(
      map((found) =>
        found.filter((one, i) => this.#known.get(one.id) === before[i] || this.#known.admits(one)),
      ),
      tap((found) => {
        for (const one of found) this.#known.set(one);
      }),
    );
  }

  #persist<R>(read: () => Observable<R>): Observable<R> {
    return defer(() => {
      const { connection } = this.db;
      const { backoff, errorTolerance } = this.#behaviour;
      const pace = new RetryPolicy(backoff, errorTolerance, () => connection.scheduler.now());
      return defer(read).pipe(retryTransient(connection, pace));
    });
  }
}
