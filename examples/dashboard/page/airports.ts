import { type AirportDocument, trafficOf } from './documents.ts';

/** The airports by code, in their latest revision. */
export class Airports {
  readonly #byCode = new Map<string, AirportDocument>();

  /** Adds the airports that were read when the page opened. Keeps what the feed delivered since. */
  addInitial(airports: readonly AirportDocument[]): void {
    for (const airport of airports) {
      if (!this.#byCode.has(airport._id)) this.#byCode.set(airport._id, airport);
    }
  }

  /** Replaces the airports that have changed. */
  update(airports: readonly AirportDocument[]): void {
    for (const airport of airports) this.#byCode.set(airport._id, airport);
  }

  get(code: string): AirportDocument | undefined {
    return this.#byCode.get(code);
  }

  all(): AirportDocument[] {
    return [...this.#byCode.values()];
  }

  /** Returns the airports with flights, the busiest first. */
  busiest(): AirportDocument[] {
    return this.all()
      .filter((airport) => trafficOf(airport) > 0)
      .sort((a, b) => trafficOf(b) - trafficOf(a));
  }
}

/** Describes the map in words, for people who cannot see it. */
export function describeMap(busiest: readonly AirportDocument[]): string {
  if (busiest.length === 0) return 'Map of the United States. No flight has departed yet.';
  const top = busiest
    .slice(0, 5)
    .map((airport) => `${airport.city} (${airport._id}) with ${trafficOf(airport)} flights`);
  return (
    `Map of the United States with ${busiest.length} airports in use. ` +
    `The busiest are ${top.join(', ')}. The Table tab shows the same figures.`
  );
}
