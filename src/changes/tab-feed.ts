import {
  BehaviorSubject,
  Observable,
  catchError,
  defer,
  filter,
  forkJoin,
  map,
  of,
  tap,
  throwError,
} from 'rxjs';
import type { MonoTypeOperatorFunction } from 'rxjs';
import { CorduroyError } from '../errors/corduroy-error.ts';
import { isHTTPError } from '../errors/http-error.ts';
import { isUnauthorized } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asObject } from '../http/decode.ts';
import { SESSION } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { canonical } from '../model/json.ts';
import type { FeedBehaviour } from './feed-model.ts';
import { replacedError } from './feed-source.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { FeedState } from './feed-model.ts';
import { Feed } from './feed.ts';
import { longestSilence } from './feed-pace.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { guarded } from '../operators/to-observable.ts';

/** The feed of one tab among those that share: its sequence, and its requests to the server. */
export class TabFeed<Item extends Sequenced> {
  readonly source: FeedSource<Item>;
  readonly behaviour: FeedBehaviour;
  readonly state$: BehaviorSubject<FeedState>;
  /** The sequence of the last item that this tab emitted. */
  seq: Sequence;
  readonly #retryPolicy: RetryPolicy;
  #identity: string | null = null;
  /** The connection of this tab, if it leads or has led. */
  #led: Feed<Item> | null = null;

  constructor(
    source: FeedSource<Item>,
    behaviour: FeedBehaviour,
    state$: BehaviorSubject<FeedState>,
  ) {
    const { scheduler } = source.connection;
    // `crossTab` handles `pauseWhile` for this tab alone; a `Follower` would pause all tabs.
    this.behaviour = { ...behaviour, pauseWhile: undefined };
    this.source = {
      ...source,
      identity: (timeout) =>
        source.identity(timeout).pipe(tap((identity) => this.#verifyIdentity(identity))),
    };
    this.state$ = state$;
    this.seq = behaviour.since;
    this.#retryPolicy = new RetryPolicy(behaviour.backoff, behaviour.errorTolerance, scheduler);
  }

  /**
   * Emits the name of the channel, which is equal for all tabs that may share: it contains the
   * database, the parameters and the user. Null if the server does not tell the user. Also resolves
   * the start sequence of this tab.
   */
  channelName(): Observable<string | null> {
    const { connection, path, identity, currentSequence, request } = this.source;
    const timeout = longestSilence(this.behaviour.heartbeat);
    const seq$ = defer(() => (this.seq === 'now' ? currentSequence(timeout) : of(this.seq))).pipe(
      this.#withRetries(),
      // A later attempt would resolve `now` to a later sequence.
      tap((seq) => (this.seq = seq)),
    );
    this.state$.next({ status: 'connecting', attempt: 0 });
    return forkJoin([
      readSessionUser(connection, timeout).pipe(this.#withRetries()),
      identity(timeout).pipe(this.#withRetries()),
      seq$,
    ]).pipe(
      map(([user, database]) => {
        const { heartbeat, feed } = this.behaviour;
        const { query, json } = request({ heartbeat, feed });
        const parts = [connection.url + path, query, json, database];
        return user === null ? null : `corduroy ${canonical([...parts, ...user])}`;
      }),
    );
  }

  /** Emits the items after this tab's sequence, over a connection that this tab opens. */
  lead(): Observable<readonly Item[]> {
    return defer(() => {
      const feed = new Feed(this.source, { ...this.behaviour, since: this.seq }, this.state$);
      this.#led = feed;
      return feed.pipe(tap(() => this.setSequence(feed.seq)));
    });
  }

  /** Whether this tab, as the leader, does not hear the server: a frozen page still answers messages. */
  get isOverdue(): boolean {
    return this.#led?.isOverdue ?? false;
  }

  /**
   * Reads all items between this tab's sequence and the present, and completes.
   *
   * @param onProgress - Called with the last sequence of each answer.
   */
  catchUp(onProgress: (seq: Sequence) => void): Observable<readonly Item[]> {
    return new Observable((subscriber) => {
      const behaviour = { ...this.behaviour, feed: 'normal' as const, since: this.seq };
      const state$ = new BehaviorSubject<FeedState>({ status: 'idle' });
      const feed = new Feed(this.source, behaviour, state$);
      // Only its troubles concern the state of this tab.
      const troubles$ = state$.pipe(filter(({ status }) => status === 'waiting'));
      subscriber.add(troubles$.subscribe((state) => this.state$.next(state)));
      return feed.subscribe(
        guarded(subscriber, {
          next: (items) => {
            onProgress(feed.seq);
            if (items.length > 0) subscriber.next(items);
          },
          complete: () => {
            onProgress(feed.seq);
            subscriber.complete();
          },
        }),
      );
    });
  }

  setSequence(seq: Sequence | null): void {
    this.seq = seq ?? this.seq;
  }

  /** Throws if another database has the name now: a tab that takes over must not continue there. */
  #verifyIdentity(identity: string | null): void {
    const known = this.#identity;
    if (known !== null && identity !== null && identity !== known) throw replacedError(this.source);
    this.#identity = identity ?? known;
  }

  #withRetries<T>(): MonoTypeOperatorFunction<T> {
    return retryTransient(this.source.connection, this.#retryPolicy, (attempt, delay, error) =>
      this.state$.next({ status: 'waiting', attempt, delay, error }),
    );
  }
}

/** Emits the name and roles of the connection's user; null if the server does not tell. */
function readSessionUser(connection: Connection, timeout: number): Observable<unknown[] | null> {
  return connection
    .json(() => ({ ...SESSION, timeout }), decodeUser)
    .pipe(
      map(({ value }) => value),
      // A proxy may give access to databases alone.
      catchError((error: unknown) =>
        isHTTPError(error) && !error.transient && !isUnauthorized(error)
          ? of(null)
          : throwError(() => error),
      ),
    );
}

function decodeUser(body: unknown): unknown[] {
  const { name, roles } = asObject(asObject(body)['userCtx']);
  return [name, roles];
}

/** A message between tabs. The leader numbers its blocks of items from 1. */
export type TabMessage =
  /** A tab asks for the leader and its position. */
  | { readonly type: 'who-leads' }
  /** The leader has sent `count` blocks; the next one comes after the sequence `seq`. */
  | {
      readonly type: 'position';
      readonly leader: string;
      readonly count: number;
      readonly seq: Sequence;
      readonly state: TabState;
    }
  /** The sender will lead as soon as it has caught up. */
  | { readonly type: 'catching-up' }
  /** Items, as text from the connection's codec. */
  | {
      readonly type: 'block';
      readonly leader: string;
      readonly count: number;
      readonly text: string;
    }
  | { readonly type: 'state'; readonly leader: string; readonly state: TabState };

/** The state of a feed as a message can carry it: an error is reduced to its name and message. */
export type TabState =
  | Exclude<FeedState, { readonly error: CorduroyError }>
  | {
      readonly status: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly error: { readonly name: string; readonly message: string };
    };

/** Converts a state for other tabs; null for `'failed'`, because each tab finds that out itself. */
export function toTabState(state: FeedState): TabState | null {
  if (state.status === 'failed') return null;
  if (state.status !== 'waiting') return state;
  const { name, message } = state.error;
  return { ...state, error: { name, message } };
}

export function fromTabState(state: TabState): FeedState {
  if (state.status !== 'waiting') return state;
  return { ...state, error: new OtherTabError(state.error.name, state.error.message) };
}

/** An error of another tab. Guards such as `isTimeoutError` recognize it by its name. */
class OtherTabError extends CorduroyError {
  override readonly name: string;

  constructor(name: string, message: string) {
    super(message, { transient: true });
    this.name = name;
  }
}
