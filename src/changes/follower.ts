import {
  NEVER,
  Subject,
  catchError,
  concatMap,
  defer,
  distinctUntilChanged,
  filter,
  map,
  mergeMap,
  of,
  repeat,
  retry,
  startWith,
  switchMap,
  takeUntil,
  takeWhile,
  tap,
  throwError,
} from 'rxjs';
import type { BehaviorSubject, Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { isTimeoutError } from '../errors/connection-error.ts';
import type { Sequence } from '../model/change.ts';
import { backoff } from '../operators/retry-policy.ts';
import { continuous, eventSource } from './continuous.ts';
import { lastSequence } from './one-shot.ts';
import { sameDatabase } from './feed-source.ts';
import type { FeedEvent, FeedSource, Protocol, Sequenced } from './feed-source.ts';
import { clock } from '../operators/time.ts';
import type { FeedBehaviour, FeedKind } from './feed-state.ts';
import type { FeedState } from './feed-state.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { waitForRetry, retryDelay } from '../http/retry-transient.ts';
import { PollPace, drain, longPoll } from './polling.ts';

const PROTOCOLS: Readonly<Record<FeedKind, Protocol>> = {
  auto: continuous,
  continuous,
  longpoll: longPoll,
  eventsource: eventSource,
  normal: drain,
};

/** How long after a feed has opened it checks for changes that the server held back, in milliseconds. */
export const RECHECK_DELAY = 500;

/** Keeps a feed connected from its first subscriber to its last: it retries, pauses and reconnects. */
export class Follower<Item extends Sequenced> {
  readonly #source: FeedSource<Item>;
  readonly #behaviour: FeedBehaviour;
  readonly #state$: BehaviorSubject<FeedState>;
  readonly #retryPolicy: RetryPolicy;
  readonly #now: () => number;
  readonly #pace: PollPace;
  #protocol: Protocol;
  /** The sequence of the last item emitted: the next connection starts after it. */
  #seq: Sequence;
  /** How many items may still come before `limit` is reached. */
  #remaining: number;
  #identity: string | null = null;
  #connections = 0;
  /** How many items came over the present connection. */
  #received = 0;
  /** Whether anything, also a heartbeat, came over the present connection. */
  #isAlive = false;
  /** Whether the feed reopened for changes that the server held back, and has received none since. */
  #reopenedForHeldBack = false;
  /** When the present connection was requested. */
  #requestedAt = 0;
  /** The sequence after which the present connection started. */
  #startedAfter: Sequence | undefined;
  /** How many connections in a row the server ended soon, without a new sequence. */
  #fruitlessConnections = 0;

  constructor(
    source: FeedSource<Item>,
    behaviour: FeedBehaviour,
    state$: BehaviorSubject<FeedState>,
  ) {
    const { errorTolerance, feed, since, limit } = behaviour;
    this.#source = source;
    this.#behaviour = behaviour;
    this.#state$ = state$;
    const { scheduler } = source.connection;
    this.#retryPolicy = new RetryPolicy(behaviour.backoff, errorTolerance, scheduler);
    this.#now = clock(scheduler);
    this.#pace = new PollPace(scheduler);
    this.#protocol = PROTOCOLS[feed];
    this.#seq = since;
    this.#remaining = limit;
  }

  follow(): Observable<readonly Item[]> {
    const { pauseWhile } = this.#behaviour;
    const connected = defer(() => this.#connect()).pipe(
      tap((event) => this.#track(event)),
      repeat({ delay: () => this.#waitToReopen() }),
      retry({ delay: (error: CorduroyError) => this.#waitToRetry(error) }),
    );
    // A user with other credentials may see other changes.
    const events = this.#source.connection.authenticator.changed$.pipe(
      startWith(undefined),
      switchMap(() => connected),
    );
    const running =
      pauseWhile === undefined
        ? events
        : pauseWhile.pipe(
            startWith(false),
            distinctUntilChanged(),
            switchMap((paused) => {
              if (!paused) return events;
              this.#state$.next({ status: 'paused' });
              return NEVER;
            }),
          );
    return running.pipe(
      takeWhile((event) => this.#remaining > 0 && !this.#isDrained(event), true),
      filter((event) => event.type === 'items' && event.items.length > 0),
      map((event) => (event as { items: readonly Item[] }).items),
    );
  }

  #connect(): Observable<FeedEvent<Item>> {
    const { heartbeat } = this.#behaviour;
    this.#isAlive = false;
    this.#received = 0;
    this.#requestedAt = this.#now();
    this.#pace.begin();
    const nextPoll = this.#protocol === longPoll && this.#state$.value.status === 'live';
    if (!nextPoll) this.#state$.next({ status: 'connecting', attempt: this.#retryPolicy.attempt });
    // The first poll does not wait for changes, so that the state becomes live at once.
    const protocol = this.#protocol === longPoll && !nextPoll ? drain : this.#protocol;
    return this.#resolveStart().pipe(
      mergeMap((since) => {
        this.#seq = since;
        this.#startedAfter = since;
        const events = protocol(this.#source, since, this.#remaining, heartbeat).pipe(
          // Items wait until the database is known to be the same.
          concatMap((event) => (event.type === 'open' ? this.#verifyIdentity(event) : of(event))),
        );
        if (protocol !== continuous) return events;
        const opened$ = new Subject<void>();
        return events.pipe(
          tap((event) => event.type === 'open' && opened$.next()),
          takeUntil(opened$.pipe(mergeMap(() => this.#heldBack(since)))),
        );
      }),
    );
  }

  /** Resolves `now` to a sequence: it is later at each attempt, and changes between would be lost. */
  #resolveStart(): Observable<Sequence> {
    if (this.#seq !== 'now') return of(this.#seq);
    return this.#source.currentSequence(2 * this.#behaviour.heartbeat);
  }

  /** Emits the event if the database is the same as before, and else errors. */
  #verifyIdentity(event: FeedEvent<Item>): Observable<FeedEvent<Item>> {
    return this.#source.identity(2 * this.#behaviour.heartbeat).pipe(
      map((current) => {
        this.#identity = sameDatabase(this.#source, this.#identity, current);
        return event;
      }),
    );
  }

  /**
   * Emits if the server holds back changes after `since`; the feed then reopens. CouchDB misses
   * changes that happen just when a continuous feed starts to wait, and sends them with the next
   * heartbeat. A new connection receives them at once.
   */
  #heldBack(since: Sequence): Observable<unknown> {
    const { hasMore, connection } = this.#source;
    if (hasMore === null || this.#reopenedForHeldBack) return NEVER;
    return connection.after(RECHECK_DELAY).pipe(
      filter(() => this.#seq === since),
      mergeMap(() => hasMore(since)),
      // If the server fails, the feed's own connection reports it.
      catchError(() => NEVER),
      filter((more) => more && this.#seq === since),
      tap(() => {
        this.#reopenedForHeldBack = true;
      }),
    );
  }

  #track(event: FeedEvent<Item>): void {
    if (event.type === 'open') {
      if (this.#state$.value.status === 'live') return;
      this.#connections += 1;
      this.#state$.next({ status: 'live', connections: this.#connections });
      return;
    }
    // An `open` event is no success yet: the server may accept each request, and send nothing.
    this.#isAlive = true;
    this.#retryPolicy.succeeded();
    if (event.type === 'end') {
      this.#seq = event.lastSeq;
    } else {
      this.#seq = lastSequence(event.items) ?? this.#seq;
      this.#remaining -= event.items.length;
      this.#received += event.items.length;
      if (event.items.length > 0) {
        this.#reopenedForHeldBack = false;
      }
    }
  }

  /** Whether a `'normal'` feed has delivered the last change. */
  #isDrained(event: FeedEvent<Item>): boolean {
    return this.#behaviour.feed === 'normal' && event.type === 'end' && event.pending === 0;
  }

  /**
   * Emits when the feed may reopen after the server ended a connection, as it ends each poll. Backs
   * off if the server ends connections soon and without a new sequence. Keeps a minimum time between
   * connections that bring few items.
   */
  #waitToReopen(): Observable<unknown> {
    const { backoff: backoffOptions, heartbeat } = this.#behaviour;
    const { connection } = this.#source;
    const duration = this.#now() - this.#requestedAt;
    const progressed = this.#seq !== this.#startedAfter;
    const fruitful = progressed || duration > heartbeat / 2;
    this.#fruitlessConnections = fruitful ? 0 : this.#fruitlessConnections + 1;
    const failures = this.#fruitlessConnections;
    // The first poll does not wait, so that it may end soon without a change.
    const pause =
      failures < 2 ? this.#pace.pause(this.#received) : backoff(failures, backoffOptions);
    return pause === 0 ? of(0) : connection.after(pause);
  }

  /** Emits when the feed may retry after an error; errors if it may not. */
  #waitToRetry(error: CorduroyError): Observable<unknown> {
    const { connection } = this.#source;
    const delay = retryDelay(error, connection, this.#retryPolicy);
    if (delay === null) {
      this.#state$.next({ status: 'failed', error });
      return throwError(() => error);
    }
    // Without a first heartbeat, a proxy probably buffers the response until it is complete.
    if (this.#behaviour.feed === 'auto' && isTimeoutError(error) && !this.#isAlive) {
      this.#protocol = longPoll;
    }
    this.#state$.next({ status: 'waiting', attempt: this.#retryPolicy.attempt, delay, error });
    return waitForRetry(delay, error, connection, this.#retryPolicy).pipe(
      tap({ error: () => this.#state$.next({ status: 'failed', error }) }),
    );
  }
}
