import type { Flight } from './documents.ts';

/**
 * The flights that the page has received since it opened. The writer numbers the flights without a
 * gap, so that the page can prove that none is missing.
 */
export interface FlightCount {
  /** The number of the first flight received, or null before it. */
  readonly first: number | null;
  /** The highest number received. */
  readonly last: number;
  /** How many different flights have arrived. */
  readonly arrived: number;
  /** The numbers below `last` that have not arrived. */
  readonly missing: ReadonlySet<number>;
}

export const NO_FLIGHTS: FlightCount = { first: null, last: 0, arrived: 0, missing: new Set() };

/** Counts the flights of a batch, in the order of their numbers: a reducer for `scan`. */
export function countFlights(before: FlightCount, flights: readonly Flight[]): FlightCount {
  let { first, last, arrived } = before;
  const missing = new Set(before.missing);
  for (const { number } of flights) {
    if (first === null) {
      first = number;
      last = number - 1;
    }
    if (number > last) {
      for (let skipped = last + 1; skipped < number; skipped += 1) missing.add(skipped);
      last = number;
      arrived += 1;
    } else if (missing.delete(number)) {
      arrived += 1;
    }
    // Any other number is a repetition: a feed delivers each change at least once.
  }
  return { first, last, arrived, missing };
}

/** The page's count beside the writer's count, from the first flight that the page received. */
export interface Comparison {
  readonly written: number;
  readonly arrived: number;
  /** Written after the last flight received, so that they can still arrive. */
  readonly onTheWay: number;
  /** Written before a flight that has arrived, but not received. */
  readonly lost: number;
}

/** Compares the flights received with the number of flights that the demo has written so far. */
export function compare(count: FlightCount, flightsWritten: number): Comparison {
  const { first, last, arrived, missing } = count;
  if (first === null) return { written: 0, arrived: 0, onTheWay: 0, lost: 0 };
  // The page may receive a flight before the server reports it.
  const latest = Math.max(last, flightsWritten);
  return { written: latest - first + 1, arrived, onTheWay: latest - last, lost: missing.size };
}
