import type { AnyFields, StoredFields } from '../model/document.ts';

/**
 * The name of a field of documents, or of a nested one: `'address.city'`, `'tags.0'`, with dots in
 * names escaped, `'a\\.b'`. Paths are known four names deep; what lies deeper a selector reaches by
 * nesting. Where `T` is not described, any string.
 */
export type FieldPath<T extends object = AnyFields> = string extends keyof T
  ? string
  : Escaped<keyof Queried<T> & string> | NestedPath<Queried<T>>;

/** A document as a query sees it: `_conflicts` is there when asked for, other metadata never. */
export type Queried<T extends object> = T &
  Pick<StoredFields, '_id' | '_rev' | '_attachments' | '_conflicts'>;

/** The paths to what lies in the fields of an object. */
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

/** What is left of a value when only these paths of it are read. */
export type Projected<Value, Path extends string> = Value extends Opaque
  ? Value
  : Value extends readonly unknown[]
    ? // The server makes an object of it: `{ "0": … }`.
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

/** Objects that JSON writes as something else, whose members are no fields. */
export type Opaque = Date | ((...args: never) => unknown);

/** How deep paths go: recursive types have no end. */
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

/** A name as it stands in a path. */
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
