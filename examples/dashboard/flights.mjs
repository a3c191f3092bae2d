/** How long a day of 2001 lasts here, in milliseconds: nights are quiet, and last a second. */
export const DAY = 5_000;

const REAL_DAY = 86_400_000;

/** Replays flights faster than life; after the last one it begins again with the first. */
export class Flights {
  #flights;
  #next = 0;
  #clock;

  constructor(flights) {
    this.#flights = flights;
    // It begins in the morning.
    this.#clock = flights[0].time + REAL_DAY / 6;
  }

  /** Lets so many milliseconds pass; returns the flights that left in them. */
  pass(milliseconds) {
    this.#clock += (milliseconds * REAL_DAY) / DAY;
    const left = [];
    while (this.#flights[this.#next].time <= this.#clock) {
      left.push(this.#flights[this.#next]);
      this.#next += 1;
      if (this.#next === this.#flights.length) {
        this.#next = 0;
        this.#clock = this.#flights[0].time;
      }
    }
    return left;
  }
}

/** What flights do to airports: a function from the old document to the new one for each code. */
export function effects(flights) {
  const updates = new Map();
  const add = (code, update) => {
    const before = updates.get(code) ?? ((airport) => airport);
    updates.set(code, (airport) => update(before(airport)));
  };
  for (const flight of flights) {
    add(flight.origin, (airport) => depart(airport, flight));
    add(flight.destination, (airport) => arrive(airport, flight));
  }
  return updates;
}

function depart(airport, { date, delay, origin, destination }) {
  const departures = airport.departures + 1;
  const mean = airport.meanDelay ?? 0;
  return {
    ...airport,
    departures,
    meanDelay: mean + (delay - mean) / departures,
    lastFlight: { date, delay, origin, destination },
  };
}

function arrive(airport, { date, delay, origin, destination }) {
  return {
    ...airport,
    arrivals: airport.arrivals + 1,
    lastFlight: { date, delay, origin, destination },
  };
}
