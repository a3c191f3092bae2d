/**
 * The model layer: CouchDB's values, and pure functions on them. It imports no other layer.
 */

/** An attachment in a document that was read without `attachments: true`: metadata, no bytes. */
export interface AttachmentStub {
  readonly content_type: string;
  readonly digest?: string;
  readonly length?: number;
  readonly revpos?: number;
  readonly stub?: true;
}

/** An attachment with its bytes in the document, as base64. */
export interface InlineAttachment {
  readonly content_type: string;
  readonly data: string;
  readonly digest?: string;
  readonly revpos?: number;
}

/** The attachments of a document, by name. */
export type Attachments = Readonly<Record<string, AttachmentStub | InlineAttachment>>;

/** The fields of a document without a declared type. */
export type AnyFields = Record<string, unknown>;

/** The fields that CouchDB adds to every stored document, always or on request. */
export interface StoredFields {
  _id: string;
  _rev: string;
  _attachments?: Attachments;
  /** The leaf revisions in conflict with this one; present with `conflicts: true`. */
  _conflicts?: readonly string[];
  /** The deleted leaf revisions; present with `deletedConflicts: true`. */
  _deleted_conflicts?: readonly string[];
  /** The revision's ancestry; present with `revs: true`. */
  _revisions?: { readonly start: number; readonly ids: readonly string[] };
  /** The known revisions and whether their bodies still exist; present with `revsInfo: true`. */
  _revs_info?: readonly { readonly rev: string; readonly status: string }[];
  /** The document's local sequence; present with `localSeq: true`. */
  _local_seq?: string | number;
}

/** A stored document: the fields of `T`, with an `_id` and a `_rev`. */
export type Document<T extends object = AnyFields> = T & StoredFields;

/** A value that is read-only, with everything in it. */
export type ReadonlyDeep<V> = V extends (...args: never[]) => unknown
  ? V
  : V extends object
    ? { readonly [Name in keyof V]: ReadonlyDeep<V[Name]> }
    : V;

/** A document of a live query. It is read-only, because all live queries share one object. */
export type LiveDocument<T extends object = AnyFields> = ReadonlyDeep<T> & Readonly<StoredFields>;

/** A document to save: the fields of `T`, with or without an `_id` and a `_rev`. */
export type Draft<T extends object = AnyFields> = T & {
  _id?: string;
  _rev?: string;
  _deleted?: boolean;
  _attachments?: Attachments;
};

/** A deleted document: its last revision, without the fields of its type. */
export interface Tombstone {
  readonly _id: string;
  readonly _rev: string;
  readonly _deleted: true;
}

/** A reference to one revision of a document. */
export interface DocumentRef {
  readonly _id: string;
  readonly _rev: string;
}

/** Tells whether a document body is a tombstone. */
export function isTombstone(doc: object): doc is Tombstone {
  return '_deleted' in doc && doc._deleted === true;
}

/**
 * Records a successful write on the object that was saved, so that its next save works.
 * Leaves a frozen object, or a read-only property, unchanged.
 */
export function recordRevision(doc: object, id: string, rev: string | undefined): void {
  try {
    Reflect.set(doc, '_id', id);
    if (rev !== undefined) Reflect.set(doc, '_rev', rev);
  } catch {
    // A setter of the user's throws: the document is written nonetheless.
  }
}

/** Returns the generation of a revision: 3 for `3-917fa…`, 0 if there is none. */
export function generation(rev: string): number {
  const dash = rev.indexOf('-');
  const number = Number(dash === -1 ? rev : rev.slice(0, dash));
  return Number.isInteger(number) ? number : 0;
}

/**
 * Orders revisions by CouchDB's rule for the winner among live leaves. The higher generation comes
 * first, then the hash that sorts later. As a comparator of `sort`, it puts the winner first.
 */
export function byWinner(a: string, b: string): number {
  const difference = generation(b) - generation(a);
  if (difference !== 0) return difference;
  return a === b ? 0 : a > b ? -1 : 1;
}

/** Orders ids by their bytes, as CouchDB does. JavaScript's `<` differs beyond U+FFFF. */
export function byId(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a.charCodeAt(i) === b.charCodeAt(i)) continue;
    return (a.codePointAt(i) as number) - (b.codePointAt(i) as number);
  }
  return a.length - b.length;
}
