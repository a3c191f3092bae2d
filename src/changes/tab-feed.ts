import {
  EMPTY,
  catchError,
  defer,
  filter,
  forkJoin,
  map,
  of,
  repeat,
  retry,
  tap,
  throwError,
} from 'rxjs';
import type { BehaviorSubject, MonoTypeOperatorFunction, Observable } from 'rxjs';
import { isHTTPError } from '../errors/http-error.ts';
import { isUnauthorized } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asObject } from '../http/decode.ts';
import { SESSION } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { canonical } from '../model/json.ts';
import { lastSequence } from './one-shot.ts';
import type { FeedBehaviour } from './feed-state.ts';
import { sameDatabase } from './feed-source.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { FeedState } from './feed-state.ts';
import { Follower } from './follower.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { waitForRetry, retryDelay } from '../http/retry-transient.ts';
import { PollPace, drain } from './polling.ts';

/** The feed of one tab among those that share: its sequence, and its requests to the server. */
export class TabFeed<Item extends Sequenced> {
  readonly source: FeedSource<Item>;
  readonly behaviour: FeedBehaviour;
  readonly state$: BehaviorSubject<FeedState>;
  /** The sequence of the last item that this tab emitted. */
  seq: Sequence;
  readonly #retryPolicy: RetryPolicy;
  readonly #pace: PollPace;
  #identity: string | null = null;

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
    this.#pace = new PollPace(scheduler);
  }

  /**
   * Emits the name of the channel, which is equal for all tabs that may share: it contains the
   * database, the parameters and the user. Null if the server does not tell the user. Also resolves
   * the start sequence of this tab.
   */
  channelName(): Observable<string | null> {
    const { connection, path, identity, currentSequence, request } = this.source;
    const timeout = 2 * this.behaviour.heartbeat;
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
      this.state$.next({ status: 'connecting', attempt: 0 });
      return new Follower(this.source, { ...this.behaviour, since: this.seq }, this.state$)
        .follow()
        .pipe(tap((items) => this.setSequence(lastSequence(items))));
    });
  }

  /**
   * Reads all items between this tab's sequence and the present, and completes.
   *
   * @param onProgress - Called with the last sequence of each answer.
   */
  catchUp(onProgress: (seq: Sequence) => void): Observable<readonly Item[]> {
    const { heartbeat } = this.behaviour;
    let { seq } = this;
    let more = true;
    let pause = 0;
    const { connection } = this.source;
    return defer(() => {
      this.#pace.begin();
      return drain(this.source, seq, Infinity, heartbeat);
    }).pipe(
      this.#withRetries(),
      map((event): readonly Item[] => {
        if (event.type === 'items') {
          more = event.items.length > 0;
          pause = this.#pace.pause(event.items.length);
          return event.items;
        }
        if (event.type === 'end') {
          seq = event.lastSeq;
          if (event.pending !== null) more = event.pending > 0;
          onProgress(seq);
        }
        return [];
      }),
      repeat({ delay: () => (more ? connection.after(pause) : EMPTY) }),
      filter((items) => items.length > 0),
    );
  }

  setSequence(seq: Sequence | null): void {
    this.seq = seq ?? this.seq;
  }

  /** Throws if another database has the name now: a tab that takes over must not continue there. */
  #verifyIdentity(identity: string | null): void {
    this.#identity = sameDatabase(this.source, this.#identity, identity);
  }

  #withRetries<T>(): MonoTypeOperatorFunction<T> {
    const { connection } = this.source;
    return (work) =>
      work.pipe(
        tap(() => this.#retryPolicy.succeeded()),
        retry({
          delay: (error) => {
            const delay = retryDelay(error, connection, this.#retryPolicy);
            if (delay === null) return throwError(() => error as unknown);
            this.state$.next({
              status: 'waiting',
              attempt: this.#retryPolicy.attempt,
              delay,
              error,
            });
            return waitForRetry(delay, error, connection, this.#retryPolicy);
          },
        }),
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
