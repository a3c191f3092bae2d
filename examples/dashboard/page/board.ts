import { type ChangesBatch, type Document, isTombstone } from 'corduroy';
import type { Airport } from './airport.ts';

/** How many airports the table shows. */
export const PLACES = 15;

/** An airport in the table; `changed` counts the batches, so that a row knows when it is new. */
export interface Place {
  readonly airport: Document<Airport>;
  readonly changed: number;
}

/** What the page shows of the changes so far. */
export interface Board {
  readonly changes: number;
  readonly batches: number;
  /** The airports that changed last. One that changes again keeps its place, so one can read it. */
  readonly places: readonly Place[];
}

export const EMPTY_BOARD: Board = { changes: 0, batches: 0, places: [] };

/** Adds a batch to the board: a reducer for `scan`. */
export function addBatch(board: Board, { changes }: ChangesBatch<Airport>): Board {
  const batches = board.batches + 1;
  const places = [...board.places];
  for (const { doc } of changes) {
    if (!doc || isTombstone(doc) || doc.type !== 'airport') continue;
    places[placeOf(doc._id, places)] = { airport: doc, changed: batches };
  }
  return { changes: board.changes + changes.length, batches, places };
}

/** Where it is already, or the next free place, or that of the one that changed longest ago. */
function placeOf(id: string, places: readonly Place[]): number {
  const own = places.findIndex(({ airport }) => airport._id === id);
  if (own >= 0) return own;
  if (places.length < PLACES) return places.length;
  const oldest = Math.min(...places.map(({ changed }) => changed));
  return places.findIndex(({ changed }) => changed === oldest);
}
