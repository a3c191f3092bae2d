import {
  BehaviorSubject,
  ReplaySubject,
  combineLatest,
  defer,
  distinctUntilChanged,
  finalize,
  map,
  share,
} from 'rxjs';
import type { Observable } from 'rxjs';
import type { FeedState } from '../changes/feed-model.ts';
import type { Connection } from '../http/connection.ts';

/** The wait for the retry of a read. */
export type ReadWait = Extract<FeedState, { readonly status: 'waiting' }>;

/** Holds the wait for the retry of a query's read; null while no read waits. */
export class ReadWaits {
  #value: ReadWait | null = null;
  /** There may be thousands of queries, of which few are observed. */
  #values$: BehaviorSubject<ReadWait | null> | null = null;

  get value(): ReadWait | null {
    return this.#value;
  }

  get observed(): boolean {
    return this.#values$?.observed ?? false;
  }

  /** Emits the present value, and each new one. */
  get values$(): Observable<ReadWait | null> {
    this.#values$ ??= new BehaviorSubject(this.#value);
    return this.#values$;
  }

  next(value: ReadWait | null): void {
    if (value === this.#value) return;
    this.#value = value;
    this.#values$?.next(value);
  }
}

/** The running queries of a database. Equal queries are one query, which all their subscribers share. */
export class SharedQueries {
  readonly #feedState$: Observable<FeedState>;
  readonly #linger: number;
  readonly #connection: Connection;
  readonly #running = new Map<string, Observable<unknown>>();
  readonly #waits = new Map<string, ReadWaits>();

  constructor(feedState$: Observable<FeedState>, linger: number, connection: Connection) {
    this.#feedState$ = feedState$;
    this.#linger = linger;
    this.#connection = connection;
  }

  /**
   * Returns the stream of a key. The first subscriber starts it. It ends when its last subscriber has been
   * gone for the linger time. Late subscribers receive the present value.
   */
  stream<V>(key: string, create: (waits: ReadWaits) => Observable<V>): Observable<V> {
    return defer(() => {
      const running = this.#running.get(key) as Observable<V> | undefined;
      if (running !== undefined) return running;
      const waits = this.#waitsOf(key);
      const created = create(waits).pipe(
        finalize(() => {
          this.#running.delete(key);
          waits.next(null);
          if (!waits.observed) this.#waits.delete(key);
        }),
        share({
          connector: () => new ReplaySubject<V>(1),
          resetOnRefCountZero: this.#linger > 0 ? () => this.#connection.after(this.#linger) : true,
        }),
      );
      this.#running.set(key, created);
      return created;
    });
  }

  /** Emits the state of the feed; if it is live, the wait for the retry of the query's read. */
  state(key: string): Observable<FeedState> {
    return defer(() => {
      const waits = this.#waitsOf(key);
      return combineLatest([this.#feedState$, waits.values$]).pipe(
        map(([state, wait]) => (isDown(state) ? state : (wait ?? state))),
        distinctUntilChanged(),
        finalize(() => {
          if (!waits.observed && !this.#running.has(key)) this.#waits.delete(key);
        }),
      );
    });
  }

  #waitsOf(key: string): ReadWaits {
    const waits = this.#waits.get(key) ?? new ReadWaits();
    this.#waits.set(key, waits);
    return waits;
  }
}

/** Returns whether a feed is down. It is not while it first connects: what was read then is new. */
export function isDown(state: FeedState): boolean {
  return (
    state.status === 'waiting' ||
    state.status === 'paused' ||
    state.status === 'failed' ||
    (state.status === 'connecting' && state.attempt > 0)
  );
}
