import { readFile } from 'node:fs/promises';

// The data is real: the airports of the United States, and flights between them from January to
// March 2001, published by the US Bureau of Transportation Statistics. Works of the US government are
// in the public domain. The npm package vega-datasets ships both tables.

const folder = new URL('../../node_modules/vega-datasets/data/', import.meta.url);
const file = (name) => readFile(new URL(name, folder), 'utf8');

/** Returns the outlines of the states as TopoJSON text. */
export const readOutlines = () => file('us-10m.json');

/** Returns the airports as documents. The code on every luggage tag is the document's id. */
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

/** Returns the flights in order of departure. `time` is the departure in milliseconds. */
export async function readFlights() {
  const flights = JSON.parse(await file('flights-10k.json'));
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

/** Parses lines of comma-separated fields. Fields that contain a comma are quoted. */
function parseCsv(text) {
  const field = /("(?:[^"]|"")*"|[^,]*)(?:,|$)/g;
  return text
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .map((line) => {
      // The pattern also matches the empty string at the end of a line: `slice` removes that match.
      const fields = [...line.matchAll(field)].map(([, value]) => value);
      return fields
        .slice(0, line.endsWith(',') ? undefined : -1)
        .map((value) => (value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value));
    });
}
