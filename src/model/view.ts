import { canonical } from './json.ts';
import type { AnyFields, Document } from './document.ts';
import type { Sequence } from './change.ts';

/**
 * One row of a view.
 *
 * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
 */
export class Row<Key = unknown, Value = unknown, Doc = null> {
  /** The id of the document that emitted the row; null for reduced rows and for errors. */
  readonly id: string | null;
  readonly key: Key;
  /** The emitted value, or the reduction; null if `error` is set. */
  readonly value: Value;
  /** The document; null without `includeDocs: true`, or if it is missing or deleted. */
  readonly doc: Doc;
  /** The reason that this key has no row (`'not_found'`), or null. */
  readonly error: string | null;

  constructor(id: string | null, key: Key, value: Value, doc: Doc, error: string | null) {
    this.id = id;
    this.key = key;
    this.value = value;
    this.doc = doc;
    this.error = error;
  }

  /** Describes the row for logs. */
  toString(): string {
    const key = canonical(this.key);
    if (this.error !== null) return `<Row: ${key} error ${this.error}>`;
    const of = this.id === null ? '' : ` of ${this.id}`;
    return `<Row: ${key} → ${canonical(this.value)}${of}>`;
  }
}

/** A row read with `includeDocs: true`. */
export type RowWithDoc<Key = unknown, Value = unknown, T extends object = AnyFields> = Row<
  Key,
  Value,
  Document<T> | null
>;

/** The metadata of a view's response. */
export interface ViewHead {
  /** The number of rows in the whole view; null for reduced views. */
  readonly totalRows: number | null;
  /** The number of rows before these; null if the server does not report it. */
  readonly offset: number | null;
  /** The sequence up to which the index is built; null without `updateSeq: true`. */
  readonly updateSeq: Sequence | null;
}

/**
 * The rows of a view's response, with their metadata. Iterable.
 *
 * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
 */
export class View<R = Row, Options extends object = object> implements Iterable<R>, ViewHead {
  readonly rows: readonly R[];
  readonly totalRows: number | null;
  readonly offset: number | null;
  readonly updateSeq: Sequence | null;
  /** The options of the request. */
  readonly options: Options;

  constructor(rows: readonly R[], head: ViewHead, options: Options) {
    this.rows = rows;
    this.totalRows = head.totalRows;
    this.offset = head.offset;
    this.updateSeq = head.updateSeq;
    this.options = options;
  }

  /** The number of rows in this response. */
  get length(): number {
    return this.rows.length;
  }

  [Symbol.iterator](): IterableIterator<R> {
    return this.rows[Symbol.iterator]();
  }

  /** Describes the view for logs. */
  toString(): string {
    const rows = `${this.length} ${this.length === 1 ? 'row' : 'rows'}`;
    const total = this.totalRows;
    return total === null || total === this.length
      ? `<View: ${rows}>`
      : `<View: ${rows} of ${total}>`;
  }
}
