import { type Observable, filter, map, share, timestamp, withLatestFrom } from 'rxjs';
import { ignoreErrors } from './demo-server.ts';
import { type Flight, flightsOf } from './documents.ts';
import { feed } from './feed.ts';

/** How long after a reconnection the feed delivers what the page has missed, in milliseconds. */
const CATCH_UP = 600;

/** The flights of a batch. `missed` tells whether they departed while the feed was not live. */
export interface FlightBatch {
  readonly flights: readonly Flight[];
  readonly missed: boolean;
  /** The number of the connection that delivered the batch, from 1. */
  readonly connection: number;
}

const liveSince$ = feed.state$.pipe(
  filter((state) => state.status === 'live'),
  timestamp(),
);

/** The flights of each batch of the feed. */
export const flights$: Observable<FlightBatch> = feed.pipe(
  withLatestFrom(liveSince$),
  map(([batch, { value, timestamp: since }]) => ({
    flights: flightsOf(batch),
    missed: value.connections > 1 && Date.now() - since < CATCH_UP,
    connection: value.connections,
  })),
  filter(({ flights }) => flights.length > 0),
  ignoreErrors,
  share(),
);
