/** How long a day of 2001 takes in the demo, in milliseconds. */
const DAY = 5_000;

const REAL_DAY = 86_400_000;

/**
 * How many flight documents the database keeps. Later flights overwrite the oldest documents, so
 * that a demo that runs all day does not fill the memory.
 */
const KEPT = 5_000;

/** Replays the flights faster than real time. After the last flight, the replay starts again. */
export class Flights {
  #flights;
  #next = 0;
  #clock;
  #departed = 0;

  constructor(flights) {
    this.#flights = flights;
    // The night before the first flights would leave the map empty: start at four in the morning.
    this.#clock = flights[0].time + REAL_DAY / 6;
  }

  /** Advances the clock, and returns the flights that departed, numbered from 1 without a gap. */
  advance(milliseconds) {
    this.#clock += (milliseconds * REAL_DAY) / DAY;
    const departed = [];
    while (this.#flights[this.#next].time <= this.#clock) {
      this.#departed += 1;
      departed.push({ ...this.#flights[this.#next], number: this.#departed });
      this.#next += 1;
      if (this.#next === this.#flights.length) {
        this.#next = 0;
        this.#clock = this.#flights[0].time;
      }
    }
    return departed;
  }
}

/**
 * Returns the updates that the flights make, as a function from the old document to the new one for
 * each id: each flight writes its own document and changes the airports at both its ends.
 */
export function updatesOf(flights) {
  const updates = new Map();
  const add = (id, update) => {
    const before = updates.get(id) ?? ((document) => document);
    updates.set(id, (document) => update(before(document)));
  };
  for (const { time: _time, ...flight } of flights) {
    const id = `flight-${String(flight.number % KEPT).padStart(4, '0')}`;
    add(id, (overwritten) => ({ ...overwritten, _id: id, type: 'flight', ...flight }));
    add(flight.origin, (airport) => depart(airport, flight));
    add(flight.destination, (airport) => arrive(airport, flight));
  }
  return updates;
}

function depart(airport, flight) {
  const departures = airport.departures + 1;
  const mean = airport.meanDelay ?? 0;
  return {
    ...airport,
    departures,
    meanDelay: mean + (flight.delay - mean) / departures,
    lastFlight: flight,
  };
}

function arrive(airport, flight) {
  return { ...airport, arrivals: airport.arrivals + 1, lastFlight: flight };
}
