import type { AnyFields, IsKnown, JsonFields, StoredFields } from '../model/document.ts';

/**
 * The path of a field, or of a nested field: `'address.city'`, `'tags.0'`. A dot in a name is escaped:
 * `'a\\.b'`.
 *
 * The type knows paths of up to four names. For deeper fields, nest the selector. If `T` has no known
 * fields, a path is any string.
 */
export type FieldPath<T extends object = AnyFields> =
  IsKnown<T> extends true ? (string extends keyof T ? string : MemberPath<JsonFields<T>>) : string;

/** The paths of the fields of any member of a union. */
type MemberPath<T> = T extends object
  ? Escaped<`${keyof Queried<T> & (string | number)}`> | NestedPath<Queried<T>>
  : never;

/** A document as a query reads it: with `_conflicts` if requested, but without other metadata. */
export type Queried<T extends object> = T &
  Pick<StoredFields, '_id' | '_rev' | '_attachments' | '_conflicts'>;

/** The paths of the fields below the fields of an object. */
export type NestedPath<Value, Depth extends number = 3> = Depth extends keyof Shallower
  ? Value extends object
    ? {
        [Field in keyof Value & string]-?: `${Escaped<Field>}.${PathIn<Value[Field], Depth>}`;
      }[keyof Value & string]
    : never
  : never;

/** The type of the value at a path. */
export type ValueAt<Value, Path extends string> = Value extends Opaque
  ? never
  : Value extends readonly (infer Element)[]
    ? Path extends `${number}.${infer Rest}`
      ? ValueAt<Element, Rest>
      : Element
    : Value extends object
      ? {
          [Field in keyof Value & string]-?: Path extends Escaped<Field>
            ? Value[Field]
            : Path extends `${Escaped<Field>}.${infer Rest}`
              ? ValueAt<Value[Field], Rest>
              : never;
        }[keyof Value & string]
      : never;

/** The type of a value of which only these paths are read. */
export type Projected<Value, Path extends string> = Value extends Opaque
  ? Value
  : Value extends readonly unknown[]
    ? // CouchDB turns a projected array into an object: `{ "0": … }`.
      Readonly<Record<string, unknown>>
    : Value extends object
      ? {
          [
            Field in keyof Value as Escaped<Field & string> extends Head<Path> ? Field : never
          ]: Escaped<Field & string> extends Path
            ? Value[Field]
            : Projected<Value[Field], Tail<Path, Escaped<Field & string>>>;
        }
      : Value;

/** Objects whose members are not fields: JSON writes them as another value. */
export type Opaque = Date | ((...args: never) => unknown);

/** Counts the depth down: a path of a recursive type has no end. */
interface Shallower {
  3: 2;
  2: 1;
  1: 0;
}

type PathIn<Value, Depth extends keyof Shallower> = Value extends Opaque
  ? never
  : Value extends readonly (infer Element)[]
    ? `${number}` | `${number}.${PathBelow<Element, Shallower[Depth]>}`
    : Value extends object
      ? Escaped<keyof Value & string> | NestedPath<Value, Shallower[Depth]>
      : never;

type PathBelow<Value, Depth extends number> = Depth extends keyof Shallower
  ? PathIn<Value, Depth>
  : never;

/** The name of a field as it is written in a path: with escaped dots. */
export type Escaped<Field extends string> = Field extends `${infer Before}.${infer After}`
  ? `${Before}\\.${Escaped<After>}`
  : Field;

type Head<Path extends string> = Path extends `${infer Before}\\.${infer After}`
  ? `${Before}\\.${Head<After>}`
  : Path extends `${infer First}.${string}`
    ? First
    : Path;

type Tail<Path extends string, First extends string> = Path extends `${First}.${infer Rest}`
  ? Rest
  : never;
