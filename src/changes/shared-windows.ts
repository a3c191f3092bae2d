import { Observable, finalize, share, tap } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { bufferLatency } from '../operators/buffer-latency.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { SharedFeed } from './shared-feed.ts';

/**
 * What a feed passes on, in windows of so many milliseconds: gathered once for all who listen, who may
 * be thousands.
 */
class SharedWindows<Item extends Sequenced> {
  /**
   * Hot, as the feed is: its first subscriber opens the connection, and its last one closes it. Who
   * comes while a window is open is shown what arrived since.
   */
  readonly windows$: Observable<readonly Item[]>;
  /** How many items are in the window that is open. */
  #gathered = 0;

  constructor(feed: SharedFeed<Item>, latency: number, scheduler: SchedulerLike) {
    const shared$ = feed.blocks$.pipe(
      tap((items) => {
        this.#gathered += items.length;
      }),
      bufferLatency(latency, scheduler),
      tap(() => {
        this.#gathered = 0;
      }),
      // The last one may leave while a window is open: whoever comes next misses nothing for that.
      finalize(() => {
        this.#gathered = 0;
      }),
      share(),
    );
    this.windows$ = new Observable((subscriber) => {
      let before = this.#gathered;
      return shared$.subscribe({
        next: (items) => {
          const own = before === 0 ? items : items.slice(before);
          before = 0;
          if (own.length > 0) subscriber.next(own);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
  }
}

const known = new WeakMap<object, Map<number, unknown>>();

/** Finds the windows of a feed, or opens them. */
export function sharedWindows<Item extends Sequenced>(
  feed: SharedFeed<Item>,
  latency: number,
  { connection }: FeedSource<Item>,
): Observable<readonly Item[]> {
  const byLatency = known.get(feed) ?? new Map<number, unknown>();
  known.set(feed, byLatency);
  const found = (byLatency.get(latency) ??
    new SharedWindows<Item>(feed, latency, connection.scheduler)) as SharedWindows<Item>;
  byLatency.set(latency, found);
  return found.windows$;
}
