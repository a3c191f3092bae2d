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
import { DatabaseReplaced } from '../errors/connection-error.ts';
import { isHTTPError } from '../errors/http-error.ts';
import { isUnauthorized } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asObject } from '../http/decode.ts';
import type { Sequence } from '../model/change.ts';
import { lastSequence } from './one-shot.ts';
import type { FeedBehaviour } from './feed-state.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { FeedState } from './feed-state.ts';
import { Follower } from './follower.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { waitForRetry, retryDelay } from '../http/retry-transient.ts';
import { drain } from './polling.ts';

/** A feed as one tab knows it: where it is, and how it gets at what it has not seen. */
export class TabFeed<Item extends Sequenced> {
  readonly source: FeedSource<Item>;
  readonly behaviour: FeedBehaviour;
  readonly state$: BehaviorSubject<FeedState>;
  /** The sequence of the last item that was passed on in this tab. */
  place: Sequence;
  readonly #pace: RetryPolicy;
  #identity: string | null | undefined;

  constructor(
    source: FeedSource<Item>,
    behaviour: FeedBehaviour,
    state$: BehaviorSubject<FeedState>,
  ) {
    const { scheduler } = source.connection;
    // Whether a tab pauses is its own affair: who leads must not be held up by it.
    this.behaviour = { ...behaviour, pauseWhile: undefined };
    this.source = {
      ...source,
      identity: (silence) => source.identity(silence).pipe(tap((found) => this.#recognize(found))),
    };
    this.state$ = state$;
    this.place = behaviour.since;
    this.#pace = new RetryPolicy(behaviour.backoff, behaviour.errorTolerance, () =>
      scheduler.now(),
    );
  }

  /**
   * Settles where to begin, and emits the name that all have in common who may share: that of the
   * server, of what is asked of it, and of who the server says asks. Null where it does not say.
   */
  introduce(): Observable<string | null> {
    const { connection, path, identity, now, request } = this.source;
    const silence = 2 * this.behaviour.heartbeat;
    const place$ = defer(() => (this.place === 'now' ? now(silence) : of(this.place))).pipe(
      this.#persist(),
      // At another attempt `now` would be another place.
      tap((place) => (this.place = place)),
    );
    this.state$.next({ status: 'connecting', attempt: 0 });
    return forkJoin([
      whoAsks(connection, silence).pipe(this.#persist()),
      identity(silence).pipe(this.#persist()),
      place$,
    ]).pipe(
      map(([who, database]) => {
        const { heartbeat, feed } = this.behaviour;
        const { query, json } = request({ heartbeat, feed });
        const what = [connection.url + path, query, json, database];
        return who === null ? null : `corduroy ${JSON.stringify([...what, ...who])}`;
      }),
    );
  }

  /** Follows over a connection of its own, from the present place on. */
  lead(): Observable<readonly Item[]> {
    return defer(() => {
      this.state$.next({ status: 'connecting', attempt: 0 });
      return new Follower(this.source, { ...this.behaviour, since: this.place }, this.state$)
        .follow()
        .pipe(tap((items) => this.moveTo(lastSequence(items))));
    });
  }

  /** Asks, once, for all that lies between the present place and now; tells how far it has come. */
  catchUp(moved: (place: Sequence) => void): Observable<readonly Item[]> {
    const { heartbeat } = this.behaviour;
    let { place } = this;
    let more = true;
    return defer(() => drain(this.source, place, Infinity, heartbeat)).pipe(
      this.#persist(),
      map((event): readonly Item[] => {
        if (event.type === 'items') {
          more = event.items.length > 0;
          return event.items;
        }
        if (event.type === 'end') {
          place = event.lastSeq;
          if (event.pending !== null) more = event.pending > 0;
          moved(place);
        }
        return [];
      }),
      repeat({ delay: () => (more ? of(0) : EMPTY) }),
      filter((items) => items.length > 0),
    );
  }

  moveTo(place: Sequence | null): void {
    this.place = place ?? this.place;
  }

  /** A tab that takes over must not take a database for another that had its name. */
  #recognize(found: string | null): void {
    if (this.#identity !== undefined && found !== this.#identity) {
      const { connection, path } = this.source;
      throw new DatabaseReplaced({ method: 'GET', url: connection.url + path });
    }
    this.#identity = found;
  }

  #persist<T>(): MonoTypeOperatorFunction<T> {
    const { connection } = this.source;
    return (work) =>
      work.pipe(
        tap(() => this.#pace.succeeded()),
        retry({
          delay: (error) => {
            const delay = retryDelay(error, connection, this.#pace);
            if (delay === null) return throwError(() => error as unknown);
            this.state$.next({ status: 'waiting', attempt: this.#pace.attempt, delay, error });
            return waitForRetry(delay, error, connection, this.#pace);
          },
        }),
      );
  }
}

/** Emits whom the server takes this connection's user for; null where it does not tell. */
function whoAsks(connection: Connection, silence: number): Observable<unknown[] | null> {
  return connection
    .json(() => ({ path: '/_session', timeout: silence }), readUser)
    .pipe(
      map(({ value }) => value),
      // Something on the way lets only databases through.
      catchError((error: unknown) =>
        isHTTPError(error) && !error.transient && !isUnauthorized(error)
          ? of(null)
          : throwError(() => error),
      ),
    );
}

function readUser(body: unknown): unknown[] {
  const { name, roles } = asObject(asObject(body)['userCtx']);
  return [name, roles];
}
