import { Observable, share } from 'rxjs';
import type { Change, ChangesBatch, Sequence } from '../model/change.ts';
import type { SharedFeed } from './shared-feed.ts';

/**
 * The changes of a feed, each as a batch of its own: made once for all who listen, who may be
 * thousands.
 */
export class SingleBatches<T extends object> {
  /** Hot, as the feed is: its first subscriber opens the connection, and its last one closes it. */
  readonly batches$: Observable<ChangesBatch<T>>;
  /** The sequence of the latest batch. */
  seq: Sequence;
  /** How many batches there have been. */
  count = 0;

  constructor(feed: SharedFeed<Change<T>>) {
    this.seq = feed.since;
    this.batches$ = new Observable<ChangesBatch<T>>((subscriber) =>
      feed.blocks$.subscribe({
        next: (changes) => {
          for (const change of changes) {
            if (subscriber.closed) return;
            this.seq = change.seq ?? this.seq;
            this.count += 1;
            subscriber.next({ seq: this.seq, changes: [change] });
          }
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      }),
    ).pipe(share());
  }
}

const known = new WeakMap<object, unknown>();

/** Finds the single batches of a feed, or makes them. */
export function singleBatches<T extends object>(feed: SharedFeed<Change<T>>): SingleBatches<T> {
  const found = (known.get(feed) ?? new SingleBatches<T>(feed)) as SingleBatches<T>;
  known.set(feed, found);
  return found;
}
