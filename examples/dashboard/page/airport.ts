/** A document of the demo: an airport, and what the flights so far have done to it. */
export interface Airport {
  type: 'airport';
  name: string;
  city: string;
  state: string;
  departures: number;
  arrivals: number;
  /** Of the departures, in minutes; null before the first. */
  meanDelay: number | null;
  lastFlight: { date: string; delay: number; origin: string; destination: string } | null;
}
