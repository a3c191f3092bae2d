import type { Sequence } from '../model/change.ts';
import type { ListenerFeed } from './changes-query.ts';
import type { RowFilter } from './row-filter.ts';
import type { ChangesWindow, WindowRow } from './window.ts';

/** Rows of a window in the form of a feed, ready to be written to many listeners. */
export interface Slice {
  readonly data: Buffer;
  /** How many rows `data` has. */
  readonly rows: number;
  /** The position after the slice. */
  readonly to: number;
  /** Whether only CouchDB can decide about the row at `to`. */
  readonly isUndecided: boolean;
}

/** The largest slice, in characters, unless one row is larger. It is what a slow listener keeps in memory. */
const LARGEST = 65_536;

/** Makes each slice once for all listeners with the same filter and form. */
export class Slices {
  readonly key: string;
  readonly #window: ChangesWindow;
  readonly #filter: RowFilter;
  readonly #format: (row: WindowRow) => string;
  /** By their start; for the present end of the window. */
  readonly #made = new Map<number, Slice>();
  #end = -1;
  /** How many listeners use this object. */
  users = 0;

  constructor(
    key: string,
    window: ChangesWindow,
    filter: RowFilter,
    feed: ListenerFeed,
    includeDocs: boolean,
  ) {
    this.key = key;
    this.#window = window;
    this.#filter = filter;
    const hasDocs = filter.selector !== null && !includeDocs;
    const text = hasDocs ? withoutDoc : ({ text: whole }: WindowRow): string => whole;
    this.#format = (row) => FORMATS[feed](text(row), row.change.seq);
  }

  /** Returns the slice from a position in the window, with at most `limit` rows. */
  take(from: number, limit: number): Slice {
    if (this.#end !== this.#window.end) this.#made.clear();
    this.#end = this.#window.end;
    const made = this.#made.get(from);
    if (made !== undefined && made.rows <= limit) return made;
    const slice = this.#make(from, limit);
    if (slice.rows < limit) this.#made.set(from, slice);
    return slice;
  }

  #make(from: number, limit: number): Slice {
    const parts: string[] = [];
    let size = 0;
    let to = from;
    let isUndecided = false;
    while (to < this.#window.end && size < LARGEST && parts.length < limit) {
      const row = this.#window.at(to);
      const verdict = this.#filter.accepts(row.change);
      if (verdict === undefined) {
        isUndecided = true;
        break;
      }
      if (verdict) {
        const part = this.#format(row);
        size += part.length;
        parts.push(part);
      }
      to += 1;
    }
    return { data: Buffer.from(parts.join('')), rows: parts.length, to, isUndecided };
  }
}

/** The text between two rows of a list. */
export const SEPARATOR = ',\r\n';

const FORMATS: Readonly<Record<ListenerFeed, (text: string, seq: Sequence | null) => string>> = {
  continuous: (text) => `${text}\n`,
  eventsource: (text, seq) => `data: ${text}\nid: ${JSON.stringify(seq)}\n\n`,
  // The writer of the first row of a list leaves its comma out.
  longpoll: (text) => `${SEPARATOR}${text}`,
};

/** Writes a row of CouchDB in the form of a feed. */
export function formatRow(feed: ListenerFeed, text: string, seq: Sequence | null): string {
  return FORMATS[feed](text, seq);
}

function withoutDoc({ change }: WindowRow): string {
  const { doc: _, ...rest } = change;
  return JSON.stringify(rest);
}
