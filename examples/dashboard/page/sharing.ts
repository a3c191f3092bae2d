import type { ChangesBatch, ChangesFeed } from 'corduroy';
import { fromEvent, map, merge, of, scan, switchMap } from 'rxjs';
import type { DemoDocument } from './documents.ts';
import { ignoreErrors } from './demo-server.ts';
import { count, show } from './elements.ts';

interface Totals {
  readonly changes: number;
  readonly batches: number;
}

/** Adds a batch to the totals: a reducer for `scan`. */
export function addBatch(totals: Totals, { changes }: ChangesBatch<DemoDocument>): Totals {
  return { changes: totals.changes + changes.length, batches: totals.batches + 1 };
}

/** Formats the totals: `28 changes in 1 batch`. */
export const textOf = ({ changes, batches }: Totals): string =>
  `${count(changes, 'change')} in ${count(batches, 'batch')}`;

/** Subscribes to a feed while a switch is on, and shows what the subscriber has received. */
export function subscribeWhileOn(button: HTMLElement, feed: ChangesFeed<DemoDocument>): void {
  fromEvent(button, 'click')
    .pipe(
      scan((on) => !on, false),
      switchMap((on) => {
        button.setAttribute('aria-checked', String(on));
        if (!on) return of('off');
        const received$ = feed.pipe(
          scan(addBatch, { changes: 0, batches: 0 }),
          map((totals) => textOf(totals)),
          ignoreErrors,
        );
        return merge(of('a batch every 2 seconds'), received$);
      }),
    )
    .subscribe((text) => show('second-text', text));
}

/** Shows how many connections the demo's server counts. */
export function showConnections(ownFeeds: number, openFeeds: number): void {
  show('own-feeds', ownFeeds);
  show('open-feeds', openFeeds);
}
