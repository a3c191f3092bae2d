import { type AirportDocument, trafficOf } from './documents.ts';
import { figure, setText } from './elements.ts';

/** How many airports the table shows. */
const ROWS = 15;

const COLUMNS = ['code', 'airport', 'figure', 'figure', 'figure', 'delay', 'flight'];

/**
 * Returns a function that shows the busiest airports in a table's body. It marks only the airport
 * that changed last: at busy times, nearly every row changes.
 */
export function tableIn(
  body: HTMLTableSectionElement,
): (busiest: readonly AirportDocument[], changed: readonly AirportDocument[]) => void {
  return (busiest, changed) => {
    const shown = busiest.slice(0, ROWS);
    const codes = new Set(shown.map(({ _id: code }) => code));
    const last = changed.filter(({ _id: code }) => codes.has(code)).at(-1);
    shown.forEach((airport, index) => {
      const row = body.rows[index] ?? newRow(body);
      fill(row, airport);
      if (last !== undefined) row.classList.toggle('last', last._id === airport._id);
    });
  };
}

function newRow(body: HTMLTableSectionElement): HTMLTableRowElement {
  const row = body.insertRow();
  COLUMNS.forEach((name, index) => {
    const cell = document.createElement(index === 0 ? 'th' : 'td');
    if (index === 0) cell.scope = 'row';
    cell.className = name;
    row.append(cell);
  });
  const place = document.createElement('span');
  place.className = 'place';
  row.cells[1]?.append(document.createElement('span'), place);
  return row;
}

function fill(row: HTMLTableRowElement, airport: AirportDocument): void {
  const { name, city, state, departures, arrivals, meanDelay } = airport;
  const cells = [...row.cells];
  const airportCell = [...(cells[1]?.children ?? [])] as HTMLElement[];
  const texts: [HTMLElement | undefined, string][] = [
    [cells[0], airport._id],
    [airportCell[0], name],
    [airportCell[1], `${city}, ${state}`],
    [cells[2], figure(trafficOf(airport))],
    [cells[3], figure(departures)],
    [cells[4], figure(arrivals)],
    [cells[5], meanDelay === null ? '–' : minutes(meanDelay)],
    [cells[6], lastFlight(airport)],
  ];
  for (const [element, text] of texts) if (element) setText(element, text);
}

function minutes(value: number): string {
  const rounded = Math.round(value);
  return `${rounded > 0 ? '+' : rounded < 0 ? '−' : ''}${Math.abs(rounded)} min`;
}

function lastFlight({ _id: code, lastFlight: flight }: AirportDocument): string {
  if (flight === null) return '';
  return flight.origin === code ? `to ${flight.destination}` : `from ${flight.origin}`;
}
