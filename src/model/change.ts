import type { AnyFields, Document, Tombstone } from './document.ts';

/** A position in a database's history: an opaque string. Never compare it or compute with it. */
export type Sequence = string;

/** One entry of a changes feed: a document's latest change. `deleted` tells which kind of `doc` it has. */
export type Change<T extends object = AnyFields> = Update<T> | Deletion;

interface Row {
  /** The sequence of this change; null for the rows that `seqInterval` leaves without a sequence. */
  readonly seq: Sequence | null;
  /** The id of the document. */
  readonly id: string;
  /** The leaf revisions: the winner alone, or all of them with `style: 'all_docs'`. */
  readonly changes: readonly { readonly rev: string }[];
}

/** The change of a document that exists. */
interface Update<T extends object> extends Row {
  readonly deleted?: never;
  /** With `includeDocs: true`: the document, or null if it is gone already. */
  readonly doc?: Document<T> | null;
}

/** The change of a document that was deleted. */
interface Deletion extends Row {
  readonly deleted: true;
  /** With `includeDocs: true`: the tombstone, or null if it is gone already. */
  readonly doc?: Tombstone | null;
}

/** One emission of a changes feed: the changes of one time window, and the last sequence. */
export interface ChangesBatch<T extends object = AnyFields> {
  readonly seq: Sequence;
  readonly changes: readonly Change<T>[];
}

/** The response to a one-shot request for changes. */
export interface ChangesResult<T extends object = AnyFields> {
  /** The sequence to pass as `since` in the next request. */
  readonly lastSeq: Sequence;
  /** The number of changes after these; null if the server does not report it. */
  readonly pending: number | null;
  readonly results: readonly Change<T>[];
}
