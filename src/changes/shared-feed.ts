import {
  BehaviorSubject,
  defer,
  filter,
  finalize,
  map,
  mergeMap,
  of,
  repeat,
  retry,
  share,
  takeWhile,
  tap,
  throwError,
  timer,
} from 'rxjs';
import type { Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { isTransient } from '../errors/transient.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change } from '../model/change.ts';
import { backoff } from '../operators/backoff.ts';
import type { BackoffOptions } from '../operators/backoff.ts';
import { continuous } from './continuous.ts';
import type { FeedEvent } from './continuous.ts';
import { lastSequence } from './decode.ts';
import type { FeedState } from './feed-state.ts';
import { readLastSequence } from './one-shot.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';

/** What the connection of a feed depends on: feeds that agree on it share one. */
export interface FeedParameters extends ChangesParameters {
  readonly heartbeat: number;
  readonly backoff: BackoffOptions;
}

/**
 * One connection to a database's changes for all who listen.
 *
 * It is opened by the first subscriber and closed by the last. What breaks it is waited out, with
 * backoff, and it goes on after the last change it passed on; what cannot pass by itself (400, 401,
 * 403, 404) errors to all, and the next subscriber begins anew.
 */
export class SharedFeed<T extends object> {
  /** What arrives, in the blocks in which it arrives. Hot. */
  readonly blocks$: Observable<readonly Change<T>[]>;
  readonly state$: BehaviorSubject<FeedState> = new BehaviorSubject<FeedState>({ status: 'idle' });

  constructor(db: DatabaseScope, parameters: FeedParameters) {
    this.blocks$ = defer(() => this.#follow(db, parameters)).pipe(
      finalize(() => this.state$.next({ status: 'idle' })),
      share(),
    );
  }

  #follow(db: DatabaseScope, parameters: FeedParameters): Observable<readonly Change<T>[]> {
    const { scheduler } = db.connection;
    const { heartbeat, backoff: pace, limit = Infinity, ...rest } = parameters;
    let since = parameters.since ?? 'now';
    let left = limit;
    let attempt = 0;

    const connect = defer(() => {
      this.state$.next({ status: 'connecting', attempt });
      // `now` is another place at each attempt: what changes between two of them would be lost.
      const start = since === 'now' ? readLastSequence(db) : of(since);
      return start.pipe(
        mergeMap((place) => {
          since = place;
          const added = {
            feed: 'continuous',
            heartbeat,
            since,
            ...(left !== Infinity && { limit: left }),
          };
          return continuous<T>(db, changesRequest(rest, added, 'changes$'), 2 * heartbeat);
        }),
      );
    });

    const wait = (error: CorduroyError): Observable<unknown> => {
      attempt += 1;
      const delay = backoff(attempt, pace);
      this.state$.next({ status: 'waiting', attempt, delay, error });
      return timer(delay, scheduler);
    };

    const note = (event: FeedEvent<T>): void => {
      if (event.type === 'open') {
        this.state$.next({ status: 'live' });
        return;
      }
      // Only now has the server shown that it does more than accept.
      attempt = 0;
      since = (event.type === 'end' ? event.lastSeq : lastSequence(event.changes)) ?? since;
      if (event.type === 'changes') left -= event.changes.length;
    };

    return connect.pipe(
      tap(note),
      // The server ends feeds for reasons of its own (its limits, its maintenance).
      repeat({
        delay: () => {
          this.state$.next({ status: 'connecting', attempt });
          return timer(backoff(1, pace), scheduler);
        },
      }),
      retry({
        delay: (error: CorduroyError) =>
          isTransient(error) ? wait(error) : throwError(() => error),
      }),
      filter((event) => event.type === 'changes' && event.changes.length > 0),
      map((event) => (event as { changes: readonly Change<T>[] }).changes),
      takeWhile(() => left > 0, true),
    );
  }
}
