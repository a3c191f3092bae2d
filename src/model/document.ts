/**
 * The model room: values as CouchDB has them, and pure functions on them. It imports no other room.
 */

/** An attachment as it stands in a document that was read without `attachments: true`. */
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

/** The body of a document whose fields are not described by a type. */
export type AnyFields = Record<string, unknown>;

/** The fields of CouchDB's own that every stored document has, or can be asked to have. */
export interface StoredFields {
  _id: string;
  _rev: string;
  _attachments?: Attachments;
  /** Leaf revisions in conflict with this one; present when asked for with `conflicts: true`. */
  _conflicts?: readonly string[];
  /** Deleted leaf revisions; present when asked for with `deletedConflicts: true`. */
  _deleted_conflicts?: readonly string[];
  /** The revision's ancestry; present when asked for with `revs: true`. */
  _revisions?: { readonly start: number; readonly ids: readonly string[] };
  /** The known revisions and whether their bodies are still there; with `revsInfo: true`. */
  _revs_info?: readonly { readonly rev: string; readonly status: string }[];
  _local_seq?: string | number;
}

/** A document as the server has it: the fields of `T`, with an `_id` and a `_rev`. */
export type Document<T extends object = AnyFields> = T & StoredFields;

/** What can be saved: the fields of `T`, with or without an `_id` and a `_rev`. */
export type Draft<T extends object = AnyFields> = T & {
  _id?: string;
  _rev?: string;
  _deleted?: boolean;
  _attachments?: Attachments;
};

/** A deleted document: its last revision, which has lost the fields of its type. */
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
 * Notes a successful write on the object that was saved, so that the next save of it works.
 * A frozen object, or a property that cannot be written, is left alone.
 */
export function recordRevision(doc: object, id: string, rev: string | undefined): void {
  Reflect.set(doc, '_id', id);
  if (rev !== undefined) Reflect.set(doc, '_rev', rev);
}

/** Returns the generation of a revision: 3 for `3-917fa…`. */
export function generation(rev: string): number {
  const end = rev.indexOf('-');
  const number = Number(end === -1 ? rev : rev.slice(0, end));
  return Number.isInteger(number) ? number : 0;
}

/**
 * Orders revisions as CouchDB does when it picks a winner among live leaves: the higher generation
 * first, then the hash that sorts later. For `Array.prototype.sort`: the winner comes first.
 */
export function byWinner(a: string, b: string): number {
  const difference = generation(b) - generation(a);
  if (difference !== 0) return difference;
  return a === b ? 0 : a > b ? -1 : 1;
}

/** Orders ids by their bytes, as CouchDB does; JavaScript's own order differs beyond U+FFFF. */
export function byId(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a.charCodeAt(i) === b.charCodeAt(i)) continue;
    return (a.codePointAt(i) as number) - (b.codePointAt(i) as number);
  }
  return a.length - b.length;
}
