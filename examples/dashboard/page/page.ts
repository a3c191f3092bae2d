import { Database } from 'corduroy';
import {
  EMPTY,
  type Observable,
  buffer,
  catchError,
  exhaustMap,
  filter,
  fromEvent,
  interval,
  map,
  merge,
  of,
  scan,
  switchMap,
  throttleTime,
  timer,
  withLatestFrom,
} from 'rxjs';
import { fromFetch } from 'rxjs/fetch';
import type { Airport } from './airport.ts';
import { badgeIn, showEnd, withCountdown } from './badge.ts';
import { EMPTY_BOARD, addBatch } from './board.ts';
import { SECONDS, type Second, chartIn } from './chart.ts';
import { tableOf } from './table.ts';

const find = (id: string): HTMLElement => {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no #${id}`);
  return element;
};
const show = (id: string, value: number | string): void => {
  find(id).textContent = typeof value === 'number' ? value.toLocaleString('en-US') : value;
};
/** Leaves it to others to tell of errors. */
const quietly = <T>(source: Observable<T>): Observable<T> => source.pipe(catchError(() => EMPTY));

// The name by which the demo's server knows this page's connections from others.
const client = `page-${Math.random().toString(36).slice(2, 10)}`;
const path = document.documentElement.dataset['database'] ?? '';
const db = new Database<Airport>(new URL(path, location.href).href, {
  headers: { 'x-demo-client': client },
});

// Nothing is sent here. The first subscriber opens the connection, and all of them share it.
const feed = db.changes$({
  includeDocs: true,
  latency: 250,
  // For human eyes: by default it would be back sooner than one can read.
  backoff: { initialDelay: 500, maxDelay: 4_000 },
});

// What the feed is doing.
const [badge, word, detail] = [find('badge'), find('badge-word'), find('badge-detail')];
const cut = find('cut') as HTMLButtonElement;
withCountdown(feed.state$).subscribe(badgeIn(badge, word, detail));
feed.state$.subscribe(({ status }) => {
  cut.disabled = status !== 'live';
});
feed.state$
  .pipe(
    filter(({ status }) => status === 'live'),
    scan((times) => times + 1, -1),
  )
  .subscribe((times) => show('reconnections', times));

// The table and the counters: the changes so far, as one value.
const showPlaces = tableOf(find('airports') as HTMLTableSectionElement);
feed.pipe(scan(addBatch, EMPTY_BOARD)).subscribe({
  next: ({ changes, batches, places }) => {
    show('changes', changes);
    show('batches', batches);
    showPlaces(places);
  },
  error: (error) => showEnd(badge, word, error),
});

// The chart: what came in each second, for a minute. It ends with the feed, which told why already.
feed
  .pipe(
    map(({ changes }) => changes.length),
    buffer(interval(1_000)),
    withLatestFrom(feed.state$),
    map(([counts, { status }]): Second => ({
      changes: counts.reduce((sum, count) => sum + count, 0),
      live: status === 'live',
    })),
    scan((seconds: readonly Second[], second) => [...seconds, second].slice(-SECONDS), []),
    quietly,
  )
  .subscribe(chartIn(document.querySelector('#chart') as HTMLElement));

// How many documents there are: asked once at the start, then while there are changes.
merge(of(null), feed.pipe(quietly))
  .pipe(
    throttleTime(2_000),
    exhaustMap(() => db.info().pipe(quietly)),
  )
  .subscribe(({ docCount }) => show('documents', docCount));

// A second feed with another latency, which changes nothing on the server: no second connection.
const second = find('second');
const switched$ = fromEvent(second, 'click').pipe(scan((on) => !on, false));
switched$
  .pipe(
    switchMap((on) => {
      second.setAttribute('aria-checked', String(on));
      if (!on) return of('off');
      const slow = db.changes$({
        includeDocs: true,
        latency: 2_000,
        backoff: { initialDelay: 500, maxDelay: 4_000 },
      });
      const counted = slow.pipe(
        scan(addBatch, EMPTY_BOARD),
        map(({ changes, batches }) => `on: ${changes} changes, ${batches} batches`),
        quietly,
      );
      return merge(of('on: a batch every 2 s'), counted);
    }),
  )
  .subscribe((text) => show('second-text', text));

// The demo's own server: how many feeds run through it, and the way to cut them.
interface Stats {
  readonly openFeeds: number;
  readonly ownFeeds: number;
}
const stats$ = fromFetch(`stats?client=${client}`, {
  selector: (answer) => answer.json() as Promise<Stats>,
});
timer(0, 1_000)
  .pipe(exhaustMap(() => stats$.pipe(quietly)))
  .subscribe(({ openFeeds, ownFeeds }) => {
    show('own-feeds', ownFeeds);
    show('open-feeds', openFeeds);
  });
fromEvent(cut, 'click')
  .pipe(exhaustMap(() => fromFetch('cut', { method: 'POST' }).pipe(quietly)))
  .subscribe();
