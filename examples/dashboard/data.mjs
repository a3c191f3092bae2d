import { readFile } from 'node:fs/promises';

// Real and public: the airports of the United States, and flights between them in the first three
// months of 2001, from the US Bureau of Transportation Statistics. Works of the US government are
// in the public domain; the package vega-datasets brings them along.

const folder = new URL('../../node_modules/vega-datasets/data/', import.meta.url);
const file = (name) => readFile(new URL(name, folder), 'utf8');

/** The airports as documents: the code that is on every luggage tag is the id. */
export async function readAirports() {
  const [head, ...rows] = parseCsv(await file('airports.csv'));
  return rows.map((row) => {
    const { iata, latitude, longitude, ...names } = Object.fromEntries(
      row.map((field, column) => [head[column], field]),
    );
    return {
      _id: iata,
      type: 'airport',
      ...names,
      latitude: Number(latitude),
      longitude: Number(longitude),
      departures: 0,
      arrivals: 0,
      meanDelay: null,
      lastFlight: null,
    };
  });
}

/** The flights in the order in which they left, with the time of departure in milliseconds. */
export async function readFlights() {
  const flights = JSON.parse(await file('flights-5k.json'));
  return flights
    .map(({ date, delay, origin, destination }) => ({
      time: Date.parse(`${date.replaceAll('/', '-').replace(' ', 'T')}Z`),
      date: date.replaceAll('/', '-'),
      delay,
      origin,
      destination,
    }))
    .toSorted((a, b) => a.time - b.time);
}

/** Lines of comma-separated fields; those that hold a comma stand in quotation marks. */
function parseCsv(text) {
  const field = /("(?:[^"]|"")*"|[^,]*)(?:,|$)/g;
  return text
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .map((line) => {
      // At the end of the line the pattern matches once more, and nothing.
      const fields = [...line.matchAll(field)].map(([, value]) => value);
      return fields
        .slice(0, line.endsWith(',') ? undefined : -1)
        .map((value) => (value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value));
    });
}
