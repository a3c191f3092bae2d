import type { Change, Sequence } from '../model/change.ts';

/** A row of a feed, as CouchDB sent it. */
export interface WindowRow {
  readonly change: Change<object>;
  /** The text of the row, unchanged. */
  readonly text: string;
  /** When it came, in milliseconds of the relay's clock. */
  readonly at?: number;
}

/** The bounds of a {@link ChangesWindow}. */
export interface WindowBounds {
  readonly rows: number;
  readonly bytes: number;
}

interface Mark {
  readonly seq: Sequence;
  readonly position: number;
}

/**
 * The recent rows of a feed. A position is the number of rows before it, since the beginning: it stays
 * valid when old rows leave the window.
 */
export class ChangesWindow {
  readonly #bounds: WindowBounds;
  /** Rows that have left stay at the start of the array until it is compacted. */
  #rows: (WindowRow | null)[] = [];
  #base = 0;
  #first = 0;
  #bytes = 0;
  #seq: Sequence;
  /** The sequences that are known, in the order of their positions. */
  #marks: Mark[] = [];
  #marksBase = 0;
  readonly #positions = new Map<Sequence, number>();

  /** @param since - The sequence before the first row. */
  constructor(since: Sequence, bounds: WindowBounds) {
    this.#bounds = bounds;
    this.#seq = since;
    this.advance(since);
  }

  /** The position of the oldest row. */
  get first(): number {
    return this.#first;
  }

  /** The position after the newest row. */
  get end(): number {
    return this.#base + this.#rows.length;
  }

  /** The sequence at the end. */
  get seq(): Sequence {
    return this.#seq;
  }

  /** The size of the rows, in bytes of memory, by estimate. */
  get bytes(): number {
    return this.#bytes;
  }

  append(rows: readonly WindowRow[]): void {
    for (const row of rows) {
      this.#rows.push(row);
      this.#bytes += sizeOf(row);
      if (row.change.seq !== null) this.advance(row.change.seq);
    }
    while (this.#first < this.end && this.#isFull) this.#dropFirst();
    this.#forget();
  }

  /** Notes that the server has come to a sequence, without further rows. */
  advance(seq: Sequence): void {
    this.#seq = seq;
    if (this.#positions.get(seq) === this.end) return;
    this.#positions.set(seq, this.end);
    this.#marks.push({ seq, position: this.end });
    this.#forget();
  }

  /** Returns the position after a sequence; null if the window does not know it. */
  positionOf(seq: Sequence): number | null {
    return this.#positions.get(seq) ?? null;
  }

  /** Returns the position of the first row in the window that came at a time or later. */
  positionAt(time: number): number {
    let position = this.end;
    while (position > this.#first && (this.at(position - 1).at ?? 0) >= time) position -= 1;
    return position;
  }

  /** Returns the row at a position in the window. */
  at(position: number): WindowRow {
    return this.#rows[position - this.#base] as WindowRow;
  }

  /** Returns a sequence that includes the rows before a position in the window. */
  seqAt(position: number): Sequence {
    if (position >= this.end) return this.#seq;
    for (let before = position - 1; before >= this.#first; before -= 1) {
      const { seq } = this.at(before).change;
      if (seq !== null) return seq;
    }
    return this.#marks[this.#marksBase]?.seq ?? this.#seq;
  }

  get #isFull(): boolean {
    return this.end - this.#first > this.#bounds.rows || this.#bytes > this.#bounds.bytes;
  }

  #dropFirst(): void {
    this.#bytes -= sizeOf(this.at(this.#first));
    this.#rows[this.#first - this.#base] = null;
    this.#first += 1;
    const gone = this.#first - this.#base;
    if (gone < 1024 || gone * 2 < this.#rows.length) return;
    this.#rows = this.#rows.slice(gone);
    this.#base = this.#first;
  }

  /** Forgets the sequences before the window, and the oldest ones if a feed has moved without rows. */
  #forget(): void {
    const most = 2 * this.#bounds.rows + 16;
    for (;;) {
      const mark = this.#marks[this.#marksBase];
      if (mark === undefined) break;
      const isOld = mark.position < this.#first || this.#marks.length - this.#marksBase > most;
      if (!isOld) break;
      if (this.#positions.get(mark.seq) === mark.position) this.#positions.delete(mark.seq);
      this.#marksBase += 1;
    }
    if (this.#marksBase < 1024 || this.#marksBase * 2 < this.#marks.length) return;
    this.#marks = this.#marks.slice(this.#marksBase);
    this.#marksBase = 0;
  }
}

/** A parsed document takes about as much memory again as its text. */
function sizeOf({ text }: WindowRow): number {
  return 2 * text.length + 200;
}
