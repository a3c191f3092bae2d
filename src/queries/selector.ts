import type { AnyFields } from '../model/document.ts';
import type { Escaped, NestedPath, Opaque, Queried, ValueAt } from './field-path.ts';

/**
 * A Mango selector: the condition for the documents that a query finds. It knows the fields of `T`: a
 * misspelled field, or an operand of another type, does not compile. If `T` has no known fields, a
 * selector accepts any field.
 *
 * - A field with a value, `{ year: 2010 }`, or with operators, `{ year: { $gt: 2000, $lt: 2010 } }`.
 * - A nested field by its path, `{ 'address.city': 'Bonn' }`, or as a nested selector,
 *   `{ address: { city: 'Bonn' } }`, which means the same. Use `$eq` to compare a whole object.
 * - Combinations, `{ $or: [{ year: 2010 }, { year: 2012 }] }`, of selectors or of operators.
 *
 * A missing field matches no operator except `$exists: false`. It does not match `$ne`.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/find.html#selector-syntax
 */
export type Selector<T extends object = AnyFields> = string extends keyof T
  ? AnySelector
  : FieldConditions<Queried<T>> & Combinations<Selector<T>> & FullText;

/** A selector for documents without known fields. */
export interface AnySelector extends Combinations<AnySelector>, FullText {
  readonly [field: string]: unknown;
}

/** The operators that combine conditions. */
export interface Combinations<Of> {
  /** All of these conditions match. */
  readonly $and?: readonly Of[];
  /** At least one of these conditions matches. */
  readonly $or?: readonly Of[];
  /** None of these conditions matches. */
  readonly $nor?: readonly Of[];
  /** This condition does not match. */
  readonly $not?: Of;
}

/** A search over all fields of a text index, if the server has full-text search. */
export interface FullText {
  /** The search expression, in the syntax of Lucene. */
  readonly $text?: string;
}

/** The condition for a field: the value that it must have, or operators. */
export type Condition<Value> = unknown extends Value
  ? unknown
  : Plain<Exclude<Value, undefined>> | Operators<Exclude<Value, undefined>>;

/** The operators for values of this type; for objects, also a selector for their fields. */
export type Operators<Value> = AnyOperators<Value> &
  Combinations<Condition<Value>> &
  IfAny<Extract<Value, string>, TextOperators> &
  IfAny<Extract<Value, number>, NumberOperators> &
  IfAny<Extract<Value, readonly unknown[]>, ArrayOperators<ElementOf<Value>>> &
  IfAny<ObjectOf<Value>, ObjectOperators & FieldConditions<ObjectOf<Value>>>;

/** The operators for values of every type. CouchDB also orders values of different types. */
export interface AnyOperators<Value> {
  readonly $eq?: Value;
  readonly $ne?: Value;
  /** Greater than this; `{ $gt: null }` matches every value except null. */
  readonly $gt?: Value | null;
  readonly $gte?: Value | null;
  readonly $lt?: Value | null;
  readonly $lte?: Value | null;
  /** One of these values; an array matches if it contains one of them. */
  readonly $in?: readonly (Value | ElementOf<Value>)[];
  /** None of these values; an array matches if it contains none of them. */
  readonly $nin?: readonly (Value | ElementOf<Value>)[];
  /** Whether the document has the field. A field that is null exists. */
  readonly $exists?: boolean;
  readonly $type?: 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object';
}

/** The operators for strings. */
export interface TextOperators {
  /** A PCRE regular expression. CouchDB cannot use an index for it. */
  readonly $regex?: string;
  readonly $beginsWith?: string;
}

/** The operators for numbers. */
export interface NumberOperators {
  /** Whole numbers that have this remainder. */
  readonly $mod?: readonly [divisor: number, remainder: number];
}

/** The operators for arrays. */
export interface ArrayOperators<Element> {
  /** The array contains all of these values. */
  readonly $all?: readonly Element[];
  /** The array has this many elements. */
  readonly $size?: number;
  /** At least one element matches. */
  readonly $elemMatch?: ElementCondition<Element>;
  /** Every element matches, and the array is not empty. */
  readonly $allMatch?: ElementCondition<Element>;
}

/** The operators for objects. */
export interface ObjectOperators {
  /** At least one key of the object matches. */
  readonly $keyMapMatch?: Operators<string>;
}

/** The mapping keeps the fields of `Doc`, so that an editor finds their declarations. */
type FieldConditions<Doc> = string extends keyof Doc
  ? { readonly [field: string]: unknown }
  : {
      readonly [Field in keyof Doc as Escaped<Field & string>]?: Condition<Doc[Field]>;
    } & {
      readonly [Path in NestedPath<Doc>]?: Condition<ValueAt<Doc, Path>>;
    };

/** CouchDB accepts operators for elements, but no plain values. */
type ElementCondition<Element> = unknown extends Element ? unknown : Operators<Element>;

/** A plain value as a condition. An object is none: it is a nested selector. */
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

type IfAny<Extracted, Then> = [Extracted] extends [never] ? unknown : Then;
