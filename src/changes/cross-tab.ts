/** The door `corduroy/cross-tab`: what `crossTab: true` loads, for those who cannot load it later. */
import { NEVER, defer, distinctUntilChanged, mergeMap, startWith, switchMap, tap } from 'rxjs';
import type { CrossTab } from './feed-state.ts';
import { Follower } from './follower.ts';
import { TabFeed } from './tab-feed.ts';
import { webLock } from './tab-lock.ts';
import type { TabLock } from './tab-lock.ts';
import { TabMember } from './tab-member.ts';
import type { TabChannel } from './tab-member.ts';

export type { CrossTab } from './feed-state.ts';
export type { TabChannel } from './tab-member.ts';
export type { TabLock } from './tab-lock.ts';

/** What tabs share a feed by. */
export interface CrossTabOptions {
  /** Who holds the lock of a name, leads. @defaultValue Web Locks, where there are any */
  readonly lock?: TabLock;
  /** Opens a channel to the others of a name. @defaultValue `new BroadcastChannel(name)` */
  readonly channel?: (name: string) => TabChannel;
}

/**
 * Has all tabs (and workers) of one origin share one connection, for the `crossTab` of a feed: what
 * `crossTab: true` stands for, in a piece that is loaded at once.
 *
 * One of them holds the connection, and passes on what comes over it. When it is closed, another
 * takes over where it is; when it is silent (the browser has frozen it), its place is taken after
 * three to four heartbeats. At least once: a change may come again, none is missed. Those
 * alone share who ask the same of the same database, and whom the server takes for the same user.
 *
 * Where there are no Web Locks (in pages that are not of a secure origin, and in a Node without them),
 * and where the server does not say who asks (`GET /_session`), each has a connection of its own.
 *
 * @example
 * orders.changes$({ crossTab: crossTab() }).subscribe(show);
 */
export function crossTab(options: CrossTabOptions = {}): CrossTab {
  return (source, behaviour, state$) => {
    const { lock = platformLock(), channel = platformChannel() } = options;
    if (lock === null || channel === null) return new Follower(source, behaviour, state$).follow();
    const feed = new TabFeed(source, behaviour, state$);
    const joined = defer(() => feed.introduce()).pipe(
      mergeMap((name) =>
        name === null ? feed.lead() : new TabMember(feed, channel(name), lock, name).items(),
      ),
    );
    // Who asks now may not hear what others hear.
    const items = source.connection.authenticator.changed$.pipe(
      startWith(undefined),
      switchMap(() => joined),
      tap({
        error: (error) => {
          if (state$.value.status !== 'failed') state$.next({ status: 'failed', error });
        },
      }),
    );
    const { pauseWhile } = behaviour;
    if (pauseWhile === undefined) return items;
    return pauseWhile.pipe(
      startWith(false),
      distinctUntilChanged(),
      switchMap((paused) => {
        if (!paused) return items;
        state$.next({ status: 'paused' });
        return NEVER;
      }),
    );
  };
}

function platformLock(): TabLock | null {
  // Neither old Nodes nor pages without a secure origin have locks, whatever the types say.
  const { locks } = (globalThis.navigator ?? {}) as { readonly locks?: LockManager };
  return locks === undefined ? null : webLock(locks);
}

function platformChannel(): ((name: string) => TabChannel) | null {
  return typeof BroadcastChannel === 'undefined' ? null : (name) => new BroadcastChannel(name);
}
