// The page subscribes to one feed several times, once for each thing that it shows. All
// subscriptions share one connection.

import {
  buffer,
  filter,
  fromEvent,
  interval,
  map,
  merge,
  retry,
  scan,
  startWith,
  switchMap,
  take,
  takeUntil,
  throttleTime,
  timer,
  withLatestFrom,
} from 'rxjs';
import { Airports, describeMap } from './airports.ts';
import { SECONDS, type Second, chartIn } from './chart.ts';
import { showCost } from './cost.ts';
import { cutEnds$, cutOnClick, ignoreErrors, stats$ } from './demo-server.ts';
import { airportsOf, isAirport } from './documents.ts';
import { dateOf, find, show } from './elements.ts';
import { db, feed, requests$, retryNow, slowFeed } from './feed.ts';
import { showFlights } from './flights-card.ts';
import { NO_FLIGHTS, compare, countFlights } from './flight-count.ts';
import { loadMap } from './flight-map.ts';
import { message$, showMessage } from './map-message.ts';
import { flights$ } from './missed-flights.ts';
import { requestsIn, withRequest } from './request-log.ts';
import { showState, withCountdown } from './retry-card.ts';
import { addBatch, showConnections, subscribeWhileOn, textOf } from './sharing.ts';
import { tableIn } from './table.ts';
import { tabsIn } from './tabs.ts';

const isLive$ = feed.state$.pipe(map(({ status }) => status === 'live'));
const isWaiting$ = feed.state$.pipe(map(({ status }) => status === 'waiting'));

tabsIn(find('tabs'));

// The log of the requests. This comes first: it reports only requests that start after it.
requests$
  .pipe(scan(withRequest, []))
  .subscribe(requestsIn(find('requests') as HTMLTableSectionElement));

// The state of the feed, and what it retries.
withCountdown(feed.state$).subscribe(showState);

// The buttons. The feed also retries at once when the connection is back.
const cutButton = find('cut') as HTMLButtonElement;
const retryButton = find('retry') as HTMLButtonElement;
isLive$.subscribe((live) => {
  cutButton.disabled = !live;
  find('map').dataset['live'] = String(live);
});
isWaiting$.subscribe((waiting) => (retryButton.disabled = !waiting));
cutOnClick(cutButton);
const waitsAfterCut$ = cutEnds$.pipe(
  switchMap(() => isWaiting$.pipe(filter(Boolean), take(1), takeUntil(timer(1_000)))),
);
merge(fromEvent(retryButton, 'click'), waitsAfterCut$).subscribe(retryNow);

// The map and the table. The airports are read once the feed is live, so that no change is missed
// between the two; then the feed keeps them up to date.
const airports = new Airports();
const flightMap$ = loadMap(find('map'));
const firstLive$ = isLive$.pipe(filter(Boolean), take(1));
const readAirports$ = firstLive$.pipe(
  switchMap(() => db.allDocs({ endKey: 'flight', includeDocs: true }).pipe(retry({ delay: 500 }))),
  map(({ rows }) => rows.map(({ doc }) => doc).filter(isAirport)),
);
flightMap$
  .pipe(switchMap((flightMap) => readAirports$.pipe(map((read) => ({ flightMap, read })))))
  .subscribe(({ flightMap, read }) => {
    airports.addInitial(read);
    flightMap.update(airports.all());
    flightMap.showAirports();
    show('airport-count', read.length);
  });

const showTable = tableIn(find('airports') as HTMLTableSectionElement);
const changedAirports$ = feed.pipe(map(airportsOf), ignoreErrors);
changedAirports$.subscribe((changed) => {
  airports.update(changed);
  showTable(airports.busiest(), changed);
});
flightMap$
  .pipe(
    switchMap((flightMap) =>
      merge(
        changedAirports$.pipe(map((changed) => () => flightMap.update(changed))),
        flights$.pipe(
          map(
            ({ flights, missed }) =>
              () =>
                flightMap.fly(flights, missed),
          ),
        ),
      ),
    ),
  )
  .subscribe((draw) => draw());
changedAirports$
  .pipe(throttleTime(5_000, undefined, { leading: true, trailing: true }))
  .subscribe(() => find('map').setAttribute('aria-label', describeMap(airports.busiest())));

// The proof that no flight is lost: the writer's count beside the page's count.
const flightCount$ = flights$.pipe(
  map(({ flights }) => flights),
  scan(countFlights, NO_FLIGHTS),
  startWith(NO_FLIGHTS),
);
const comparison$ = stats$.pipe(
  withLatestFrom(flightCount$),
  map(([{ flightsWritten }, count]) => compare(count, flightsWritten)),
);
comparison$
  .pipe(withLatestFrom(isLive$))
  .subscribe(([comparison, live]) => showFlights(comparison, live));
message$(comparison$).subscribe(showMessage);
flights$.subscribe(({ flights }) => show('clock', dateOf(flights.at(-1)?.date ?? '')));

// The chart: the changes of each second in the last minute, and the totals below it.
feed
  .pipe(
    map(({ changes }) => changes.length),
    buffer(interval(1_000)),
    withLatestFrom(isLive$),
    map(([counts, live]): Second => ({ changes: counts.reduce((sum, n) => sum + n, 0), live })),
    scan((seconds: readonly Second[], second) => [...seconds, second].slice(-SECONDS), []),
    ignoreErrors,
  )
  .subscribe(chartIn(find('chart')));
feed
  .pipe(scan(addBatch, { changes: 0, batches: 0 }), map(textOf), ignoreErrors)
  .subscribe((text) => show('totals', text));

// A second subscriber, and the connections that the demo's server counts.
subscribeWhileOn(find('second'), slowFeed);
stats$.subscribe(({ ownFeeds, openFeeds }) => showConnections(ownFeeds, openFeeds));

// The listeners of another process.
stats$
  .pipe(
    map(({ cost }) => cost),
    filter((cost) => cost !== null),
  )
  .subscribe(showCost);
