import {
  EMPTY,
  type Observable,
  catchError,
  exhaustMap,
  filter,
  fromEvent,
  map,
  share,
  switchMap,
  timer,
} from 'rxjs';
import { fromFetch } from 'rxjs/fetch';
import { client } from './feed.ts';

/** The cost of the demo's listeners. CPU in per cent of a core, lags in milliseconds; null if unknown. */
export interface Cost {
  readonly open: number;
  readonly wanted: number;
  readonly hasRelay: boolean;
  readonly couchCpu: number | null;
  readonly relayCpu: number | null;
  readonly lag: number | null;
  readonly slowLag: number | null;
}

/** The report of the demo server. A cut of the connection to the database does not affect it. */
export interface ServerStats {
  /** The open feeds of the page and the terminal together. */
  readonly openFeeds: number;
  /** The open feeds of this page. */
  readonly ownFeeds: number;
  /** The time in milliseconds until the current cut ends, or 0. */
  readonly cutLeft: number;
  /** How many flights the demo has written to the database so far. */
  readonly flightsWritten: number;
  /** Null if the demo measures no listeners. */
  readonly cost: Cost | null;
}

/** Skips errors: the changes feed reports a lost server already. */
export const ignoreErrors = <T>(source: Observable<T>): Observable<T> =>
  source.pipe(catchError(() => EMPTY));

const readStats$ = fromFetch(`stats?client=${client}`, {
  selector: (answer) => answer.json() as Promise<ServerStats>,
});

/** The server's figures, twice a second. */
export const stats$ = timer(0, 500).pipe(
  exhaustMap(() => readStats$.pipe(ignoreErrors)),
  share(),
);

/** Emits at the end of each cut. */
export const cutEnds$ = stats$.pipe(
  map(({ cutLeft }) => cutLeft),
  filter((left) => left > 0),
  // Each report replaces the timer: the last report is the most exact.
  switchMap((left) => timer(left + 20)),
);

/** Cuts the connection at each click of a button. */
export function cutOnClick(button: HTMLButtonElement): void {
  fromEvent(button, 'click')
    .pipe(exhaustMap(() => fromFetch('cut', { method: 'POST' }).pipe(ignoreErrors)))
    .subscribe();
}
