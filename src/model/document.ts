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

/** An attachment of a document to save. A stub keeps the attachment. */
export type DraftAttachment = AttachmentStub | InlineAttachment | { readonly stub: true };

/** The attachments of a document to save, by name. */
export type DraftAttachments = Readonly<Record<string, DraftAttachment>>;

/**
 * A value as it arrives when it was written as JSON: a `Date` is a string, and functions are gone. A type
 * that JSON does not change stays the same type.
 */
export type Json<V> =
  IsAny<V> extends true
    ? V
    : V extends JsonScalar
      ? V
      : V extends { toJSON(...args: never): infer Written }
        ? Json<Written>
        : V extends readonly unknown[]
          ? [IsJson<V>] extends [true]
            ? V
            : { [Index in keyof V]: Json<V[Index]> }
          : V extends object
            ? JsonFields<V>
            : V;

/** The fields of a document as they arrive: see {@link Json}. */
export type JsonFields<T extends object> = [IsJson<T>] extends [true]
  ? T
  : T extends object
    ? { [Field in keyof T as WrittenField<T, Field>]: Json<T[Field]> }
    : never;

type JsonScalar = string | number | bigint | boolean | null | undefined;

/** Whether JSON leaves a type as it is. Looks at six levels, because a type may contain itself. */
type IsJson<V, Depth extends readonly 0[] = [0, 0, 0, 0, 0, 0]> =
  IsAny<V> extends true
    ? true
    : unknown extends V
      ? true
      : V extends JsonScalar
        ? true
        : V extends { toJSON(...args: never): unknown } | ((...args: never) => unknown) | symbol
          ? false
          : Depth extends readonly [0, ...infer Rest extends readonly 0[]]
            ? V extends readonly (infer Element)[]
              ? IsJson<Element, Rest>
              : {
                  [Field in keyof V]-?: Field extends symbol ? false : IsJson<V[Field], Rest>;
                }[keyof V]
            : true;

/** The name of a field that JSON contains: none for a function or a symbol. */
type WrittenField<T, Field extends keyof T> = Field extends symbol
  ? never
  : IsAny<T[Field]> extends true
    ? Field
    : [Exclude<T[Field], undefined>] extends [never]
      ? Field
      : [Exclude<T[Field], undefined>] extends [((...args: never) => unknown) | symbol]
        ? never
        : Field;

type IsAny<V> = 0 extends 1 & V ? true : false;

/**
 * Whether the fields of a type are known. They are not for a type parameter, within generic code: the
 * compiler then tries the case of false alone.
 */
export type IsKnown<T> = [...(T extends object ? [] : [0])] extends [] ? true : false;

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

/**
 * A document that a database takes: as its type says, as it was read, or read-only. A database without a
 * declared type takes every object.
 */
export type Saved<T extends object, Out extends object = T> = string extends keyof T
  ? WithMetadata<T> | WithMetadata<object>
  : WithMetadata<T> | WithMetadata<Out> | ReadonlyDeep<Draft<T>> | ReadonlyDeep<Draft<Out>>;

type WithMetadata<T> = T & {
  readonly _id?: string;
  readonly _rev?: string;
  readonly _deleted?: boolean;
  readonly _attachments?: DraftAttachments;
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
