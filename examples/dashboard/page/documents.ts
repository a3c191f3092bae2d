import { type ChangesBatch, type Document, isTombstone } from 'corduroy';

/** A flight. `number` counts the flights from 1, without a gap. */
export interface Flight {
  readonly type: 'flight';
  readonly number: number;
  readonly date: string;
  /** How late the flight arrived, in minutes. Negative if it was early. */
  readonly delay: number;
  readonly origin: string;
  readonly destination: string;
}

/** An airport, with the totals of the flights so far. Its `_id` is its code. */
export interface Airport {
  readonly type: 'airport';
  readonly name: string;
  readonly city: string;
  readonly state: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly departures: number;
  readonly arrivals: number;
  /** The mean delay of the departures, in minutes. Null before the first departure. */
  readonly meanDelay: number | null;
  readonly lastFlight: Omit<Flight, 'type'> | null;
}

/** Every document of the demo's database. */
export type DemoDocument = Airport | Flight;

export type AirportDocument = Document<Airport>;

/** Returns the flights of a batch in the order of their numbers. */
export function flightsOf({ changes }: ChangesBatch<DemoDocument>): Flight[] {
  return changes
    .flatMap(({ doc }) => (doc && !isTombstone(doc) && doc.type === 'flight' ? [doc] : []))
    .sort((a, b) => a.number - b.number);
}

/** Returns the airports of a batch. */
export function airportsOf({ changes }: ChangesBatch<DemoDocument>): AirportDocument[] {
  return changes.flatMap(({ doc }) => (isAirport(doc) ? [doc] : []));
}

/** Tells whether a document, if there is one, is an airport. */
export function isAirport(doc: object | null | undefined): doc is AirportDocument {
  return doc !== null && doc !== undefined && 'type' in doc && doc.type === 'airport';
}

/** Returns how many flights have used an airport. */
export function trafficOf({ departures, arrivals }: Airport): number {
  return departures + arrivals;
}
