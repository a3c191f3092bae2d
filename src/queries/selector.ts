import type { AnyFields, IsKnown, JsonFields } from '../model/document.ts';
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
export type Selector<T extends object = AnyFields> =
  IsKnown<T> extends true
    ? string extends keyof T
      ? AnySelector
      : MemberConditions<JsonFields<T>> & Combinations<Selector<T>> & FullText
    : AnySelector;

/** The conditions for the fields of any member of a union. */
type MemberConditions<T> = T extends object ? FieldConditions<Queried<T>> : never;

/**
 * The part of a selector from which the compiler learns the wanted members of a union: a condition of
 * equality for a field that tells them apart, such as `{ type: 'dog' }`.
 */
export type Tagged<T extends object, Tag> =
  IsKnown<T> extends true
    ? [TagField<T>] extends [never]
      ? unknown
      : { readonly [Field in TagField<T>]?: Tag | TagOperators<Tag> }
    : unknown;

type TagOperators<Tag> = { readonly $eq?: Tag; readonly $in?: readonly Tag[] } & {
  readonly [
    Operator in Exclude<
      keyof (AnyOperators<unknown> & TextOperators & NumberOperators & Combinations<unknown>),
      '$eq' | '$in'
    >
  ]?: unknown;
};

/** The fields of all members of a union that have known values. */
export type TagField<T> = {
  [Field in keyof T]-?: IsTag<T[Field]> extends true ? Field : never;
}[keyof T];

type IsTag<Value> = [Value] extends [string | number]
  ? string extends Value
    ? false
    : number extends Value
      ? false
      : true
  : false;

/** The values of the fields that tell the members of a union apart. */
export type TagValue<T> = T[TagField<T> & keyof T];

/** The members of a union that can have one of these values. */
export type Matching<T extends object, Tag, Field = TagField<T>> = T extends object
  ? [Field] extends [never]
    ? T
    : [Extract<T[Field & keyof T], Tag>] extends [never]
      ? never
      : T
  : never;

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
      readonly [Field in keyof Doc as EscapedKey<Field>]?: Condition<Doc[Field]>;
    } & {
      readonly [Path in NestedPath<Doc>]?: Condition<ValueAt<Doc, Path>>;
    };

/** The name of a field in a selector: a dollar at its beginning would be an operator. */
type EscapedKey<Field> = Field extends `$${string}`
  ? `\\${Escaped<Field>}`
  : Field extends string | number
    ? Escaped<`${Field}`>
    : never;

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
