import type { Airport } from './airport.ts';
import type { Place } from './board.ts';

/** Returns a function that shows places in a table's body, and touches only what has changed. */
export function tableOf(body: HTMLTableSectionElement): (places: readonly Place[]) => void {
  const rows: { element: HTMLTableRowElement; changed: number }[] = [];
  return (places) => {
    places.forEach(({ airport, changed }, index) => {
      const row = rows[index] ?? { element: newRow(body), changed: 0 };
      rows[index] = row;
      if (row.changed === changed) return;
      fill(row.element, airport._id, airport);
      row.changed = changed;
    });
  };
}

const COLUMNS = ['code', 'name', 'city', 'figure', 'figure', 'delay', 'flight'];

function newRow(body: HTMLTableSectionElement): HTMLTableRowElement {
  const row = body.insertRow();
  COLUMNS.forEach((name, index) => {
    const cell = document.createElement(index === 0 ? 'th' : 'td');
    if (index === 0) cell.scope = 'row';
    cell.className = name;
    row.append(cell);
  });
  return row;
}

function fill(row: HTMLTableRowElement, code: string, airport: Airport): void {
  const texts = [
    code,
    airport.name,
    `${airport.city}, ${airport.state}`,
    String(airport.departures),
    String(airport.arrivals),
    airport.meanDelay === null ? '–' : minutes(airport.meanDelay),
    lastFlight(code, airport),
  ];
  texts.forEach((text, index) => {
    const cell = row.cells[index];
    if (cell && cell.textContent !== text) cell.textContent = text;
  });
  // The same animation under two names: changing the name starts it again.
  row.dataset['flash'] = row.dataset['flash'] === 'a' ? 'b' : 'a';
}

function minutes(value: number): string {
  const rounded = Math.round(value);
  return `${rounded > 0 ? '+' : rounded < 0 ? '−' : ''}${Math.abs(rounded)} min`;
}

function lastFlight(code: string, { lastFlight: flight }: Airport): string {
  if (flight === null) return '';
  return flight.origin === code ? `to ${flight.destination}` : `from ${flight.origin}`;
}
