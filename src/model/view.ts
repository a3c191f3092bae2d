import type { AnyFields, Document } from './document.ts';
import type { Sequence } from './change.ts';

/** One row of a view's answer. `doc` is null unless it was read with `includeDocs: true`. */
export class Row<Key = unknown, Value = unknown, Doc = null> {
  /** The id of the document that emitted the row; null for reduced rows and for errors. */
  readonly id: string | null;
  readonly key: Key;
  /** What was emitted, or the reduction; null where `error` says why there is none. */
  readonly value: Value;
  /** The document, or null where it is missing or deleted, or was not asked for. */
  readonly doc: Doc;
  /** Why there is no row for this key (`'not_found'`), or null. */
  readonly error: string | null;

  constructor(id: string | null, key: Key, value: Value, doc: Doc, error: string | null) {
    this.id = id;
    this.key = key;
    this.value = value;
    this.doc = doc;
    this.error = error;
  }

  toString(): string {
    const key = JSON.stringify(this.key);
    if (this.error !== null) return `<Row: ${key} error ${this.error}>`;
    const of = this.id === null ? '' : ` of ${this.id}`;
    return `<Row: ${key} → ${JSON.stringify(this.value)}${of}>`;
  }
}

/** A row read with `includeDocs: true`. */
export type RowWithDoc<Key = unknown, Value = unknown, T extends object = AnyFields> = Row<
  Key,
  Value,
  Document<T> | null
>;

/** What the server says of the rows it answered. */
export interface ViewHead {
  /** How many rows the view has in all; null for reduced views. */
  readonly totalRows: number | null;
  /** How many rows precede these; null where the server does not say. */
  readonly offset: number | null;
  /** The place of the index in the database's history; null unless asked for with `updateSeq`. */
  readonly updateSeq: Sequence | null;
}

/** The rows that a view answered: iterable, with what the server says of them. */
export class View<R = Row, Options extends object = object> implements Iterable<R>, ViewHead {
  readonly rows: readonly R[];
  readonly totalRows: number | null;
  readonly offset: number | null;
  readonly updateSeq: Sequence | null;
  /** The options that gave these rows. */
  readonly options: Options;

  constructor(rows: readonly R[], head: ViewHead, options: Options) {
    this.rows = rows;
    this.totalRows = head.totalRows;
    this.offset = head.offset;
    this.updateSeq = head.updateSeq;
    this.options = options;
  }

  get length(): number {
    return this.rows.length;
  }

  [Symbol.iterator](): IterableIterator<R> {
    return this.rows[Symbol.iterator]();
  }

  toString(): string {
    const rows = `${this.length} ${this.length === 1 ? 'row' : 'rows'}`;
    const total = this.totalRows;
    return total === null || total === this.length
      ? `<View: ${rows}>`
      : `<View: ${rows} of ${total}>`;
  }
}
