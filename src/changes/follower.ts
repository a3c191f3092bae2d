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
import { DatabaseReplaced } from '../errors/connection-error.ts';
import { isTimeoutError } from '../errors/connection-error.ts';
import type { Sequence } from '../model/change.ts';
import { backoff } from '../operators/retry-policy.ts';
import { continuous, eventSource } from './continuous.ts';
import { lastSequence } from './one-shot.ts';
import type { FeedEvent, FeedSource, Protocol, Sequenced } from './feed-source.ts';
import type { FeedBehaviour, FeedKind } from './feed-state.ts';
import type { FeedState } from './feed-state.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { waitForRetry, retryDelay } from '../http/retry-transient.ts';
import { drain, longPoll } from './polling.ts';

const PROTOCOLS: Readonly<Record<FeedKind, Protocol>> = {
  auto: continuous,
  continuous,
  longpoll: longPoll,
  eventsource: eventSource,
  normal: drain,
};

/** How long after a feed has opened it is looked whether the server overlooked something. */
export const SETTLED = 500;

/** One life of a feed, from the first subscriber to the last: what it knows, and where it is. */
export class Follower<Item extends Sequenced> {
  readonly #source: FeedSource<Item>;
  readonly #behaviour: FeedBehaviour;
  readonly #state$: BehaviorSubject<FeedState>;
  readonly #pace: RetryPolicy;
  #protocol: Protocol;
  /** Where to go on: the sequence of the last item that was passed on. */
  #place: Sequence;
  #left: number;
  #identity: string | null | undefined;
  #connections = 0;
  /** Whether anything, be it a heartbeat, came over the present connection. */
  #heard = false;
  /** Whether the server has been found to overlook something, with nothing received since. */
  #nudged = false;
  /** When the present connection was asked for. */
  #opened = 0;
  /** Where the present connection began. */
  #begun: Sequence | undefined;
  /** How many connections in a row were ended by the server at once, and led nowhere. */
  #inVain = 0;

  constructor(
    source: FeedSource<Item>,
    behaviour: FeedBehaviour,
    state$: BehaviorSubject<FeedState>,
  ) {
    const { errorTolerance, feed, since, limit } = behaviour;
    this.#source = source;
    this.#behaviour = behaviour;
    this.#state$ = state$;
    this.#pace = new RetryPolicy(behaviour.backoff, errorTolerance, () =>
      source.connection.scheduler.now(),
    );
    this.#protocol = PROTOCOLS[feed];
    this.#place = since;
    this.#left = limit;
  }

  follow(): Observable<readonly Item[]> {
    const { pauseWhile } = this.#behaviour;
    const connected = defer(() => this.#connect()).pipe(
      tap((event) => this.#note(event)),
      repeat({ delay: () => this.#reopen() }),
      retry({ delay: (error: CorduroyError) => this.#recover(error) }),
    );
    // Who asks now may be shown other changes than who asked before.
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
      takeWhile((event) => this.#left > 0 && !this.#isDrained(event), true),
      filter((event) => event.type === 'items' && event.items.length > 0),
      map((event) => (event as { items: readonly Item[] }).items),
    );
  }

  #connect(): Observable<FeedEvent<Item>> {
    const { heartbeat } = this.#behaviour;
    this.#heard = false;
    this.#opened = this.#source.connection.scheduler.now();
    const goingOn = this.#protocol === longPoll && this.#state$.value.status === 'live';
    if (!goingOn) this.#state$.next({ status: 'connecting', attempt: this.#pace.attempt });
    // Polls that follow each other are one connection; the first of them does not wait.
    const protocol = this.#protocol === longPoll && !goingOn ? drain : this.#protocol;
    return this.#begin().pipe(
      mergeMap((place) => {
        this.#place = place;
        this.#begun = place;
        const events = protocol(this.#source, place, this.#left, heartbeat).pipe(
          // What comes after the head waits until it is known from which database it comes.
          concatMap((event) => (event.type === 'open' ? this.#identify(event) : of(event))),
        );
        if (protocol !== continuous) return events;
        const opened$ = new Subject<void>();
        return events.pipe(
          tap((event) => event.type === 'open' && opened$.next()),
          takeUntil(opened$.pipe(mergeMap(() => this.#overlooked(place)))),
        );
      }),
    );
  }

  /** Where to begin: `now` is another place at each attempt, and changes between two would be lost. */
  #begin(): Observable<Sequence> {
    if (this.#place !== 'now') return of(this.#place);
    return this.#source.now(2 * this.#behaviour.heartbeat);
  }

  /** Passes an event on when the database is found to be the one that it was. */
  #identify(event: FeedEvent<Item>): Observable<FeedEvent<Item>> {
    const { connection, path, identity } = this.#source;
    return identity(2 * this.#behaviour.heartbeat).pipe(
      map((found) => {
        if (this.#identity !== undefined && found !== this.#identity) {
          throw new DatabaseReplaced({ method: 'GET', url: connection.url + path });
        }
        this.#identity = found;
        return event;
      }),
    );
  }

  /**
   * CouchDB overlooks changes that are made in the moment in which a continuous feed begins to wait,
   * and sends them with the next heartbeat. So it is asked once whether there are any, and the feed
   * opened anew if there are: to a new one they belong to the past.
   */
  #overlooked(place: Sequence): Observable<unknown> {
    const { hasMore, connection } = this.#source;
    if (hasMore === null || this.#nudged) return NEVER;
    return connection.after(SETTLED).pipe(
      filter(() => this.#place === place),
      mergeMap(() => hasMore(place)),
      // The feed itself will find out what is wrong with the server.
      catchError(() => NEVER),
      filter((more) => more && this.#place === place),
      tap(() => {
        this.#nudged = true;
      }),
    );
  }

  #note(event: FeedEvent<Item>): void {
    if (event.type === 'open') {
      if (this.#state$.value.status === 'live') return;
      this.#connections += 1;
      this.#state$.next({ status: 'live', connections: this.#connections });
      return;
    }
    // Only now has the server shown that it does more than accept.
    this.#heard = true;
    this.#pace.succeeded();
    if (event.type === 'end') {
      this.#place = event.lastSeq;
    } else {
      this.#place = lastSequence(event.items) ?? this.#place;
      this.#left -= event.items.length;
      if (event.items.length > 0) {
        this.#nudged = false;
      }
    }
  }

  /** Whether a feed that is not to wait has delivered what there was. */
  #isDrained(event: FeedEvent<Item>): boolean {
    return this.#behaviour.feed === 'normal' && event.type === 'end' && event.pending === 0;
  }

  /**
   * The server ended the connection for a reason of its own, as every poll does. One that ends them
   * at once, and gets nowhere, is not asked again and again without a pause.
   */
  #reopen(): Observable<unknown> {
    const { backoff: pace, heartbeat } = this.#behaviour;
    const { connection } = this.#source;
    const lasted = connection.scheduler.now() - this.#opened;
    const ledOn = this.#place !== this.#begun;
    this.#inVain = ledOn || lasted > heartbeat / 2 ? 0 : this.#inVain + 1;
    // The first poll only asks what there is.
    return this.#inVain < 2 ? of(0) : connection.after(backoff(this.#inVain, pace));
  }

  #recover(error: CorduroyError): Observable<unknown> {
    const { connection } = this.#source;
    const delay = retryDelay(error, connection, this.#pace);
    if (delay === null) {
      this.#state$.next({ status: 'failed', error });
      return throwError(() => error);
    }
    // Not even the first heartbeat came: something holds back what is not whole.
    if (this.#behaviour.feed === 'auto' && isTimeoutError(error) && !this.#heard) {
      this.#protocol = longPoll;
    }
    this.#state$.next({ status: 'waiting', attempt: this.#pace.attempt, delay, error });
    return waitForRetry(delay, error, connection, this.#pace).pipe(
      tap({ error: () => this.#state$.next({ status: 'failed', error }) }),
    );
  }
}
