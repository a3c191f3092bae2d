import { BehaviorSubject, Subscription, map, mergeMap, tap } from 'rxjs';
import type { Observable } from 'rxjs';
import { readFeedOptions } from '../changes/changes-feed.ts';
import type { ChangesParameters } from '../changes/changes-request.ts';
import type { FeedState } from '../changes/feed-model.ts';
import { databaseSource } from '../changes/feed-source.ts';
import type { FeedSource } from '../changes/feed-source.ts';
import { Feed } from '../changes/feed.ts';
import { longestSilence } from '../changes/feed-pace.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { asObject, numberOrNull } from '../http/decode.ts';
import { retryTransient } from '../http/retry-transient.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint } from '../http/url.ts';
import type { Change } from '../model/change.ts';
import type { JsonCodec } from '../model/json.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { clock } from '../operators/time.ts';
import type { ListenerFeed } from './changes-query.ts';
import type { RowFilter } from './row-filter.ts';
import { Slices } from './slices.ts';
import { ChangesWindow } from './window.ts';
import type { WindowBounds, WindowRow } from './window.ts';

/** A receiver of the rows of a channel. */
export interface ChannelListener {
  /** Writes what is new. */
  readonly pump: () => void;
  /** The channel is over. */
  readonly lose: (error: CorduroyError) => void;
}

/** How far a copy of a database may be behind another one, in milliseconds. */
const LONGEST_LAG = 10_000;

/** How many listeners get new rows before other work of the process has a turn. */
const TOLD_AT_ONCE = 500;

/** One feed from CouchDB with some parameters, under the relay's own credentials, for all listeners. */
export class Channel {
  readonly database: string;
  readonly state$: BehaviorSubject<FeedState> = new BehaviorSubject<FeedState>({
    status: 'connecting',
    attempt: 0,
  });
  /** Resolves when the window is there. Rejects if the feed cannot begin. */
  readonly ready: Promise<ChangesWindow>;
  readonly listeners: Set<ChannelListener> = new Set();
  /** Since when it has no listeners, in milliseconds; null if it has some. */
  idleSince: number | null;
  /** How many are about to listen. */
  waiting = 0;
  #window: ChangesWindow | null = null;
  readonly #slices = new Map<string, Slices>();
  readonly #subscription = new Subscription();
  readonly #now: () => number;
  #isTelling = false;
  #isCopied = false;
  #blindSince: number | null;
  /** The error with which the feed ended; null while it runs. */
  failure: CorduroyError | null = null;

  constructor(
    db: DatabaseScope,
    parameters: ChangesParameters,
    bounds: WindowBounds,
    heartbeat: number,
  ) {
    this.database = db.name;
    const { connection } = db;
    this.#now = clock(connection.scheduler);
    this.idleSince = this.#now();
    this.#blindSince = this.#now();
    const texts = new WeakMap<object, string>();
    const source: FeedSource<Change<object>> = {
      ...databaseSource<object>(db, parameters),
      codec: keepingTexts(connection.codec, texts),
    };
    const { behaviour } = readFeedOptions({ since: 'now', heartbeat }, 'relay');
    const policy = new RetryPolicy(
      behaviour.backoff,
      behaviour.errorTolerance,
      connection.scheduler,
    );
    this.ready = new Promise((resolve, reject) => {
      const silence = longestSilence(heartbeat);
      const items$ = readCopies(db, silence).pipe(
        mergeMap((copies) => {
          this.#isCopied = copies > 1;
          return source.currentSequence(silence);
        }),
        retryTransient(source.connection, policy, (attempt, delay, error) =>
          this.state$.next({ status: 'waiting', attempt, delay, error }),
        ),
        mergeMap((since) => {
          this.#window = new ChangesWindow(since, bounds);
          resolve(this.#window);
          const feed = new Feed(source, { ...behaviour, since }, this.state$);
          return feed.pipe(tap((changes) => this.#take(changes, texts, feed.seq)));
        }),
      );
      const failed = (error: CorduroyError): void => {
        this.failure = error;
        this.state$.next({ status: 'failed', error });
        reject(error);
        for (const listener of this.listeners) listener.lose(error);
      };
      this.#subscription.add(items$.subscribe({ error: failed }));
    });
    // Those who wait get the error. There may be none.
    this.ready.catch(() => {});
    this.state$.subscribe(({ status }) => {
      if (status === 'live') this.#blindSince = null;
      else this.#blindSince ??= this.#now();
    });
  }

  /** Null until the window is there. */
  get window(): ChangesWindow | null {
    return this.#window;
  }

  /**
   * The position before which a request that begins now sees all rows. In a cluster it may be answered by a
   * copy of the database that is behind the one from which the rows of the window came.
   */
  get settled(): number {
    const window = this.#window as ChangesWindow;
    return this.#isCopied ? window.positionAt(this.#now() - LONGEST_LAG) : window.end;
  }

  /** How long the channel has not heard of CouchDB, in milliseconds. */
  get blindFor(): number {
    return this.#blindSince === null ? 0 : this.#now() - this.#blindSince;
  }

  /** Returns the slices for listeners of a kind. `leave` must follow. */
  join(
    listener: ChannelListener,
    filter: RowFilter,
    feed: ListenerFeed,
    includeDocs: boolean,
  ): Slices {
    const key = `${feed} ${includeDocs} ${filter.key}`;
    let slices = this.#slices.get(key);
    if (slices === undefined) {
      slices = new Slices(key, this.#window as ChangesWindow, filter, feed, includeDocs);
      this.#slices.set(key, slices);
    }
    slices.users += 1;
    this.listeners.add(listener);
    return slices;
  }

  leave(listener: ChannelListener, slices: Slices): void {
    this.listeners.delete(listener);
    slices.users -= 1;
    if (slices.users > 0) return;
    this.#slices.delete(slices.key);
  }

  close(): void {
    this.#subscription.unsubscribe();
    this.state$.next({ status: 'idle' });
  }

  #take(changes: readonly Change<object>[], texts: WeakMap<object, string>, seq: string): void {
    const window = this.#window as ChangesWindow;
    const at = this.#now();
    const rows = changes.map((change): WindowRow => ({
      change,
      text: texts.get(change) ?? JSON.stringify(change),
      at,
    }));
    window.append(rows);
    if (rows.length === 0) window.advance(seq);
    else this.#tell();
  }

  /** Tells all listeners. Rows that come meanwhile go out with the next round. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    const window = this.#window as ChangesWindow;
    const { end } = window;
    const all = this.listeners.values();
    const tellSome = (): void => {
      for (let told = 0; told < TOLD_AT_ONCE; told += 1) {
        const { value, done } = all.next();
        if (done === true) {
          this.#isTelling = false;
          if (window.end !== end) this.#tell();
          return;
        }
        value.pump();
      }
      setImmediate(tellSome);
    };
    tellSome();
  }
}

/** Returns a codec that keeps the text of each object, so that no number changes on its way. */
function keepingTexts(codec: JsonCodec, texts: WeakMap<object, string>): JsonCodec {
  return {
    stringify: (value) => codec.stringify(value),
    parse: (text) => {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'object' && value !== null) texts.set(value, text);
      return value;
    },
  };
}

/** Emits how many copies of each document the cluster keeps; 1 if it does not tell. */
function readCopies(db: DatabaseScope, timeout: number): Observable<number> {
  return db.connection
    .json(
      () => ({ ...endpoint(db, ''), timeout }),
      (body) => {
        const { cluster } = asObject(body);
        return cluster === undefined ? 1 : (numberOrNull(asObject(cluster)['n']) ?? 1);
      },
    )
    .pipe(map(({ value }) => value));
}
