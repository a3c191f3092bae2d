import type { AnyFields } from '../model/document.ts';
import type { Escaped, NestedPath, Opaque, Queried, ValueAt } from './field-path.ts';

/**
 * A Mango selector: which documents a query finds. It knows the fields of `T`: a misspelt one, or an
 * operand of another type, does not compile. Where `T` is not described, it takes anything.
 *
 * - A field with a value, `{ year: 2010 }`, or with operators, `{ year: { $gt: 2000, $lt: 2010 } }`.
 * - A nested field by its path, `{ 'address.city': 'Bonn' }`, or nested itself,
 *   `{ address: { city: 'Bonn' } }`, which says the same. A whole object is compared with `$eq`.
 * - Combinations, `{ $or: [{ year: 2010 }, { year: 2012 }] }`, of selectors or of operators.
 *
 * A field that a document does not have matches no operator but `$exists: false`: not even `$ne`.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/find.html#selector-syntax
 */
export type Selector<T extends object = AnyFields> = string extends keyof T
  ? AnySelector
  : FieldConditions<Queried<T>> & Combinations<Selector<T>> & FullText;

/** A selector for documents whose fields are not described by a type. */
export interface AnySelector extends Combinations<AnySelector>, FullText {
  readonly [field: string]: unknown;
}

/** Conditions that are made of others. */
export interface Combinations<Of> {
  /** All of these. */
  readonly $and?: readonly Of[];
  /** At least one of these. */
  readonly $or?: readonly Of[];
  /** None of these. */
  readonly $nor?: readonly Of[];
  /** Not this. */
  readonly $not?: Of;
}

/** A search over all the fields of a text index, where the server has full-text search. */
export interface FullText {
  /** In the syntax of Lucene. */
  readonly $text?: string;
}

/** What is asked of a field: the value that it must have, or operators. */
export type Condition<Value> = unknown extends Value
  ? unknown
  : Plain<Exclude<Value, undefined>> | Operators<Exclude<Value, undefined>>;

/** The operators that there are for values of this type; for objects, the selector of what is in them. */
export type Operators<Value> = AnyOperators<Value> &
  Combinations<Condition<Value>> &
  Where<Extract<Value, string>, TextOperators> &
  Where<Extract<Value, number>, NumberOperators> &
  Where<Extract<Value, readonly unknown[]>, ArrayOperators<ElementOf<Value>>> &
  Where<ObjectOf<Value>, ObjectOperators & FieldConditions<ObjectOf<Value>>>;

/** The operators for values of every type. Values of different types have an order among them, too. */
export interface AnyOperators<Value> {
  readonly $eq?: Value;
  readonly $ne?: Value;
  /** Greater than this; `{ $gt: null }` is every value but null. */
  readonly $gt?: Value | null;
  readonly $gte?: Value | null;
  readonly $lt?: Value | null;
  readonly $lte?: Value | null;
  /** One of these; of an array: it holds one of them. */
  readonly $in?: readonly (Value | ElementOf<Value>)[];
  /** None of these; of an array: it holds none of them. */
  readonly $nin?: readonly (Value | ElementOf<Value>)[];
  /** Whether the document has the field; null is a value as well. */
  readonly $exists?: boolean;
  readonly $type?: 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object';
}

/** The operators for strings. */
export interface TextOperators {
  /** A regular expression as PCRE knows them. No index helps it. */
  readonly $regex?: string;
  readonly $beginsWith?: string;
}

/** The operators for numbers. */
export interface NumberOperators {
  /** Whole numbers that leave this remainder. */
  readonly $mod?: readonly [divisor: number, remainder: number];
}

/** The operators for arrays. */
export interface ArrayOperators<Element> {
  /** All of these are in it. */
  readonly $all?: readonly Element[];
  /** How many elements it has. */
  readonly $size?: number;
  /** At least one element is so. */
  readonly $elemMatch?: ElementCondition<Element>;
  /** Every element is so, and there is one. */
  readonly $allMatch?: ElementCondition<Element>;
}

/** The operators for objects. */
export interface ObjectOperators {
  /** At least one of the object's keys is so. */
  readonly $keyMapMatch?: Operators<string>;
}

/** The fields themselves are mapped, not their names: an editor leads to where they are declared. */
type FieldConditions<Doc> = string extends keyof Doc
  ? { readonly [field: string]: unknown }
  : {
      readonly [Field in keyof Doc as Escaped<Field & string>]?: Condition<Doc[Field]>;
    } & {
      readonly [Path in NestedPath<Doc>]?: Condition<ValueAt<Doc, Path>>;
    };

/** The server takes no plain value for an element. */
type ElementCondition<Element> = unknown extends Element ? unknown : Operators<Element>;

/** An object as a condition is a selector of its own. */
type Plain<Value> = Value extends readonly unknown[] | Opaque
  ? Value
  : Value extends object
    ? never
    : Value;

type ObjectOf<Value> = Value extends readonly unknown[] | Opaque
  ? never
  : Value extends object
    ? Value
    : never;

type ElementOf<Value> = Value extends readonly (infer Element)[] ? Element : never;

type Where<FoundDocument, Then> = [FoundDocument] extends [never] ? unknown : Then;
