/** The entry point `corduroy/cross-tab`, the module that `crossTab: true` loads. */
import {
  EMPTY,
  NEVER,
  catchError,
  combineLatest,
  defer,
  distinctUntilChanged,
  map,
  mergeMap,
  startWith,
  switchMap,
  tap,
  throwError,
} from 'rxjs';
import { LockDenied, platformLocks } from '../http/connection-budget.ts';
import type { CrossTab } from './feed-model.ts';
import { Feed } from './feed.ts';
import { TabFeed } from './tab-feed.ts';
import { pageCached } from '../operators/to-observable.ts';
import { TabMember } from './tab-member.ts';
import type { TabChannel, TabLock } from './tab-member.ts';

export type { CrossTab } from './feed-model.ts';
export type { TabChannel } from './tab-member.ts';
export type { TabLock } from './tab-member.ts';

/** The lock and the channel that tabs use to share a feed. */
export interface CrossTabOptions {
  /** Elects the leader: the tab that holds the lock. @defaultValue Web Locks, if there are any */
  readonly lock?: TabLock;
  /** Opens the channel of this name. @defaultValue `new BroadcastChannel(name)` */
  readonly channel?: (name: string) => TabChannel;
}

/**
 * Shares one connection among all tabs and workers of one origin. Pass the result as the `crossTab`
 * option of a feed. `crossTab: true` does the same, but loads this module when the feed connects.
 *
 * One tab, the leader, holds the connection and sends its changes to the others. If the leader is
 * closed, another tab takes over. If the leader is silent because the browser has frozen it, another
 * tab takes over within four heartbeats. Delivery is at least once: a change may come again,
 * and none is missed.
 *
 * Tabs share a connection only if their feeds have the same server-side parameters, the same
 * database, and the same user according to `GET /_session`.
 *
 * A tab opens its own connection if there are no Web Locks, if the platform refuses them, or if the
 * server refuses `GET /_session`.
 * Insecure origins and some versions of Node have no Web Locks.
 *
 * @example
 * orders.changes$({ crossTab: crossTab() }).subscribe(show);
 */
export function crossTab(options: CrossTabOptions = {}): CrossTab {
  return (source, behaviour, state$) => {
    const { lock = platformLock(), channel = platformChannel() } = options;
    if (lock === null || channel === null) return new Feed(source, behaviour, state$);
    const feed = new TabFeed(source, behaviour, state$);
    const joined$ = defer(() => feed.channelName()).pipe(
      mergeMap((name) =>
        name === null ? feed.lead() : new TabMember(feed, channel(name), lock, name).items(),
      ),
      catchError((error: unknown) =>
        error instanceof LockDenied ? feed.lead() : throwError(() => error),
      ),
    );
    // Other credentials may belong to another user, who shares with other tabs.
    const items$ = source.connection.authenticator.changed$.pipe(
      startWith(undefined),
      switchMap(() => joined$),
      tap({
        error: (error) => {
          if (state$.value.status !== 'failed') state$.next({ status: 'failed', error });
        },
      }),
    );
    // A page in the back/forward cache must hand on the lock.
    const pauses$ = [behaviour.pauseWhile ?? EMPTY, pageCached()].map((pause$) =>
      pause$.pipe(startWith(false)),
    );
    return combineLatest(pauses$).pipe(
      map((pauses) => pauses.includes(true)),
      distinctUntilChanged(),
      switchMap((paused) => {
        if (!paused) return items$;
        state$.next({ status: 'paused' });
        return NEVER;
      }),
    );
  };
}

function platformLock(): TabLock | null {
  const request = platformLocks();
  if (request === null) return null;
  return (name, steal) => request(name, steal ? 'steal' : 'wait').pipe(map(() => undefined));
}

function platformChannel(): ((name: string) => TabChannel) | null {
  return typeof BroadcastChannel === 'undefined' ? null : (name) => new BroadcastChannel(name);
}
