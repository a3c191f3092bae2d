import type { Json } from '../model/document.ts';
import type { Row, RowWithDoc } from '../model/view.ts';

declare const TYPES: unique symbol;
declare const EMITTED: unique symbol;

/**
 * The name of a view that knows its rows: `'design-document/view'`, as {@link defineDesign} makes it. It is
 * a string, and works wherever the name of a view does.
 */
export type ViewName<Key = unknown, Value = unknown, Reduced = never> = string & {
  readonly [TYPES]: readonly [Key, Value, Reduced];
};

/** The name of a view whose rows are not known. */
export type AnyViewName = string & { readonly [TYPES]?: never };

/** A row that a map function has added. `emit` returns it for the compiler; CouchDB ignores it. */
export interface Emitted<Key, Value> {
  readonly [EMITTED]: readonly [Key, Value];
}

/** Adds a row to a view: `emit(key, value)`. With types, it says which rows the function adds. */
export type Emit<Key = unknown, Value = unknown> = (key: Key, value?: Value) => Emitted<Key, Value>;

/**
 * The `emit` of a map function without a type. It returns what it adds, so that
 * `(doc, emit) => emit(doc.legs, doc.name)` says which rows the view has.
 */
export type InferringEmit = <Key extends {} | null | undefined | [], Value = null>(
  key: Key,
  value?: Value,
) => Emitted<Key, Value>;

/** The numbers of the built-in reduce function `_stats`. */
export interface Stats {
  readonly sum: number;
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly sumsqr: number;
}

/** The name of a view, from its definition. */
export type ViewNameOf<View> = View extends { readonly map: infer Map }
  ? RowTypes<Map> extends Emitted<infer Key, infer Value>
    ? ViewName<Json<Key>, Json<Value>, ReducedOf<View, Json<Value>>>
    : never
  : never;

/** The rows of a map function: those of its typed `emit`, else those that it returns. */
type RowTypes<Map> = Map extends (doc: never, emit: infer Add) => infer Returned
  ? IsTyped<Add> extends true
    ? ReturnType<Extract<Add, (...args: never) => unknown>>
    : Merged<Returns<Returned>>
  : Emitted<unknown, unknown>;

/** Whether `emit` has been given types. */
type IsTyped<Add> = Add extends (key: infer Key, value?: infer Value) => Emitted<infer _K, infer _V>
  ? unknown extends Key
    ? false
    : [Add] extends [InferringEmit]
      ? false
      : Value extends unknown
        ? true
        : false
  : false;

/** The rows in what a map function returns: one, a list of them, or none. */
type Returns<Returned> =
  Returned extends Emitted<unknown, unknown>
    ? Returned
    : Returned extends readonly (infer Element)[]
      ? Returns<Element>
      : never;

/** One type of row for all; unknown without any. */
type Merged<All> = [All] extends [never]
  ? Emitted<unknown, unknown>
  : Emitted<KeyOf<All>, ValueOf<All>>;
type KeyOf<All> = All extends Emitted<infer Key, unknown> ? Key : never;
type ValueOf<All> = All extends Emitted<unknown, infer Value> ? Value : never;

/** The result of the reduce function; never without one. */
type ReducedOf<View, Value> = View extends { readonly reduce: infer Reduce }
  ? Reduce extends (...args: never) => infer Returned
    ? Json<Returned>
    : Reduce extends '_count' | '_approx_count_distinct'
      ? number
      : Reduce extends '_sum'
        ? Value
        : Reduce extends '_stats'
          ? [Value] extends [number]
            ? Stats
            : readonly Stats[]
          : Reduce extends '_first' | '_last'
            ? Value
            : Reduce extends `_top_${number}` | `_bottom_${number}`
              ? readonly Value[]
              : unknown
  : never;

/** The value of `groupLevel`. */
export type GroupLevel = number | 'exact';

/**
 * The options of a view whose keys are known.
 *
 * @typeParam Options - The options of a view in general.
 */
export type TypedOptions<
  Key,
  Options,
  Reduce extends boolean = boolean,
  Docs extends boolean = boolean,
  Group extends boolean = boolean,
  Level extends GroupLevel = GroupLevel,
> = Omit<
  Options,
  'key' | 'keys' | 'startKey' | 'endKey' | 'reduce' | 'includeDocs' | 'group' | 'groupLevel'
> & {
  /** Reads only the rows with this key. */
  readonly key?: Key;
  /** Reads only the rows with these keys, in this order. */
  readonly keys?: readonly Key[];
  /** The first key. An array may be shorter than the keys. */
  readonly startKey?: Bound<Key>;
  /** The last key. An array may be shorter than the keys; `{}` in it follows all other values. */
  readonly endKey?: Bound<Key>;
  /** Whether to reduce the rows. Default: true if the view has a reduce function. */
  readonly reduce?: Reduce;
  /** Adds to each row the document that emitted it. @defaultValue false */
  readonly includeDocs?: Docs;
  /** Reduces to one row for each key. @defaultValue false */
  readonly group?: Group;
  /** Reduces to one row for each group of array keys with the same first elements: as many as this number. */
  readonly groupLevel?: Level;
};

/** A place between keys. */
type Bound<Key> =
  | Key
  | null
  | (Key extends readonly unknown[]
      ? readonly (Key[number] | null | Record<string, never>)[]
      : never);

/** The rows that a query of a typed view emits. */
export type TypedRow<
  Key,
  Value,
  Reduced,
  Out extends object,
  Reduce extends boolean,
  Docs extends boolean,
  Group extends boolean,
  Level extends GroupLevel,
> = [Reduced] extends [never]
  ? MappedRow<Key, Value, Out, Docs>
  : Reduce extends true
    ? Row<
        [Level] extends [never]
          ? Group extends true
            ? Key
            : null
          : Level extends 'exact'
            ? Key
            : Key extends readonly unknown[]
              ? readonly Key[number][]
              : Key,
        Reduced
      >
    : MappedRow<Key, Value, Out, Docs>;

type MappedRow<Key, Value, Out extends object, Docs extends boolean> = Docs extends true
  ? RowWithDoc<Key, Value, Out>
  : Row<Key, Value>;
