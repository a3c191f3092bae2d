import type { AnyFields, Document, Tombstone } from './document.ts';

/** A place in a database's history: an opaque string. Never compare two, or count with one. */
export type Sequence = string;

/** One entry of a changes feed: a document's latest change. */
export interface Change<T extends object = AnyFields> {
  /** The place of this change; null for rows between two marks when `seqInterval` is used. */
  readonly seq: Sequence | null;
  readonly id: string;
  /** The leaf revisions: the winner alone, or all of them with `style: 'all_docs'`. */
  readonly changes: readonly { readonly rev: string }[];
  readonly deleted?: true;
  /** With `includeDocs: true`: the document, its tombstone, or null where it is gone already. */
  readonly doc?: Document<T> | Tombstone | null;
}

/** What a changes feed emits: the changes of one window, and the sequence after the last. */
export interface ChangesBatch<T extends object = AnyFields> {
  readonly seq: Sequence;
  readonly changes: readonly Change<T>[];
}

/** The answer to a one-shot request for changes. */
export interface ChangesResult<T extends object = AnyFields> {
  readonly lastSeq: Sequence;
  /** How many changes come after these; null where the server does not say. */
  readonly pending: number | null;
  readonly results: readonly Change<T>[];
}
