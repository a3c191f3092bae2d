import type { RequestEvent } from 'corduroy';
import { figure, seconds, setText } from './elements.ts';

/** How many requests the log shows. */
const ROWS = 15;

const COLUMNS = ['method', 'route', 'status', 'figure', 'figure'];

/** Adds an event to the last events of the last requests, newest first: a reducer for `scan`. */
export function withRequest(
  log: readonly RequestEvent[],
  event: RequestEvent,
): readonly RequestEvent[] {
  if (event.type === 'start') return [event, ...log].slice(0, ROWS);
  return log.map((last) => (last.id === event.id ? event : last));
}

/** Returns a function that shows the requests in a table's body. */
export function requestsIn(body: HTMLTableSectionElement): (log: readonly RequestEvent[]) => void {
  return (log) => log.forEach((event, index) => fill(body.rows[index] ?? newRow(body), event));
}

function newRow(body: HTMLTableSectionElement): HTMLTableRowElement {
  const row = body.insertRow();
  for (const name of COLUMNS) row.insertCell().className = name;
  return row;
}

function fill(row: HTMLTableRowElement, event: RequestEvent): void {
  const { method, route, attempt, error } = event;
  const outcome = outcomeOf(event);
  row.dataset['outcome'] = outcome;
  row.title = error instanceof Error ? error.message : '';
  const texts = [method, route, statusOf(event), timeOf(event), figure(attempt - 1)];
  texts.forEach((text, index) => {
    const cell = row.cells[index];
    if (cell !== undefined) setText(cell, text);
  });
}

function outcomeOf({ type }: RequestEvent): 'open' | 'failed' | 'ended' {
  if (type === 'error') return 'failed';
  return type === 'end' || type === 'abort' ? 'ended' : 'open';
}

/** A feed has its status early, and is one long request. */
function statusOf({ type, status }: RequestEvent): string {
  if (type === 'retry') return 'retries';
  if (type === 'abort') return 'canceled';
  if (type === 'error') return errorStatus(status);
  if (status === null) return 'sent';
  return type === 'end' ? String(status) : `${status}, open`;
}

function errorStatus(status: number | null): string {
  if (status === null) return 'no answer';
  return status < 400 ? `${status}, cut` : String(status);
}

function timeOf({ type, elapsed }: RequestEvent): string {
  if (type === 'start' || type === 'response' || type === 'retry') return '–';
  return elapsed < 1_000 ? `${Math.round(elapsed)} ms` : seconds(elapsed);
}
