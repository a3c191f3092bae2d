import { invalidArgument, unknownOption } from '../model/invalid-argument.ts';
import { functionSource } from './server-function.ts';
import type { ServerFunction } from './server-function.ts';
import type { Emit } from './typed-view.ts';

/** A design document as CouchDB stores it: plain JSON, with functions as text. */
export interface DesignDocument {
  _id: `_design/${string}`;
  _rev?: string;
  language?: string;
  /** The views; `lib` contains modules for their functions. */
  views?: Record<string, StoredView | Readonly<Record<string, unknown>>>;
  filters?: Record<string, string>;
  updates?: Record<string, string>;
  shows?: Record<string, string>;
  lists?: Record<string, string>;
  validate_doc_update?: string;
  /** Search indexes of Clouseau. */
  indexes?: Record<string, { readonly index: string; readonly analyzer?: unknown }>;
  /** Search indexes of Nouveau. */
  nouveau?: Record<string, Readonly<Record<string, unknown>> & { readonly index: string }>;
  options?: Readonly<Record<string, unknown>>;
  autoupdate?: boolean;
  [field: string]: unknown;
}

/** A view as CouchDB stores it. The `map` of a Mango index is an object. */
interface StoredView {
  readonly map: string | Readonly<Record<string, unknown>>;
  readonly reduce?: string;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** Adds a field to a search index: `index(name, value, options)`; for Nouveau, the type comes first. */
export type IndexField = (...args: readonly unknown[]) => void;

/** Maps a document to rows. Declare `emit` as the second parameter, or use the server's global `emit`. */
export type MapFunction<T> = (doc: T, emit: Emit) => unknown;

/** Reduces values to one value. `keys` is null if the values are reductions (`rereduce`). */
export type ReduceFunction = (
  keys: readonly (readonly [key: unknown, id: string])[] | null,
  values: readonly never[],
  rereduce: boolean,
) => unknown;

/** The built-in reduce functions of CouchDB, which are much faster. */
export type BuiltInReduce =
  | '_sum'
  | '_count'
  | '_stats'
  | '_approx_count_distinct'
  | '_first'
  | '_last'
  | `_top_${number}`
  | `_bottom_${number}`;

/** The request for which the server calls a function. */
export type FunctionRequest = Readonly<Record<string, unknown>> & {
  readonly query: Readonly<Record<string, string>>;
  readonly userCtx: UserContext;
};

/** The user who sent the request. */
export interface UserContext {
  readonly db: string;
  /** `null` means anonymous. */
  readonly name: string | null;
  readonly roles: readonly string[];
}

/** A view: a map function, with or without a reduce function. */
export interface ViewDefinition<T> {
  readonly map: ServerFunction<MapFunction<T>>;
  /** A built-in function, a function, or the source text of one. */
  readonly reduce?: BuiltInReduce | ReduceFunction | (string & Record<never, never>);
}

/** The definition of a design document. `T` is the type of the documents that its functions receive. */
export interface DesignDefinition<T = Readonly<Record<string, unknown>>> {
  /** The name of the design document, with or without `_design/`. */
  readonly name: string;
  readonly views?: Readonly<Record<string, ViewDefinition<T>>>;
  /** Filter functions, for the option `filter` of a feed. */
  readonly filters?: Readonly<
    Record<string, ServerFunction<(doc: T, req: FunctionRequest) => boolean>>
  >;
  /** Update functions, for `db.update`: each returns the document to write, or null, and the answer. */
  readonly updates?: Readonly<
    Record<string, ServerFunction<(doc: T | null, req: FunctionRequest) => unknown>>
  >;
  /** @deprecated CouchDB 4 will have no show functions. */
  readonly shows?: Readonly<
    Record<string, ServerFunction<(doc: T | null, req: FunctionRequest) => unknown>>
  >;
  /** @deprecated CouchDB 4 will have no list functions. */
  readonly lists?: Readonly<
    Record<string, ServerFunction<(head: unknown, req: FunctionRequest) => unknown>>
  >;
  /** Validates each write: throws `{ forbidden: reason }` or `{ unauthorized: reason }` to refuse it. */
  readonly validateDocUpdate?: ServerFunction<
    (
      newDoc: T & { readonly _id: string; readonly _deleted?: boolean },
      oldDoc: T | null,
      userCtx: UserContext,
      security: Readonly<Record<string, unknown>>,
    ) => void
  >;
  /** Search indexes of Clouseau. */
  readonly indexes?: Readonly<
    Record<
      string,
      {
        readonly index: ServerFunction<(doc: T, index: IndexField) => unknown>;
        readonly analyzer?: string | Readonly<Record<string, unknown>>;
      }
    >
  >;
  /** Search indexes of Nouveau. */
  readonly nouveau?: Readonly<
    Record<
      string,
      {
        readonly index: ServerFunction<(doc: T, index: IndexField) => unknown>;
        readonly defaultAnalyzer?: string;
        readonly fieldAnalyzers?: Readonly<Record<string, string>>;
      }
    >
  >;
  /** In a partitioned database: whether the views are partitioned. Default: as the database. */
  readonly partitioned?: boolean;
  /** Whether the views map design documents too. @defaultValue false */
  readonly includeDesign?: boolean;
  /** Whether mapped documents have `_local_seq`. @defaultValue false */
  readonly localSeq?: boolean;
  /** Whether the server may build the indexes before a query needs them. @defaultValue true */
  readonly autoupdate?: boolean;
}

const DEFINITION = [
  'name',
  'views',
  'filters',
  'updates',
  'shows',
  'lists',
  'indexes',
  'nouveau',
  'validateDocUpdate',
  'partitioned',
  'includeDesign',
  'localSeq',
  'autoupdate',
];

/**
 * Makes a design document from functions, for `db.designs.deploy`.
 *
 * CouchDB runs the functions, and receives them as source text. A function sees its arguments and the
 * globals of CouchDB, **but nothing of its module: no constant, no import, no other function**.
 *
 * The text is the compiled code, after TypeScript and a bundler. A function that uses what CouchDB does not
 * have is refused, also if a compiler or coverage instrumentation has put that in. CouchDB 3.5 runs modern syntax, such as arrow functions,
 * `const` and destructuring. It runs no async functions and no generators.
 *
 * A map function can declare `emit` as its second parameter, which a minifier may rename. Or it uses the
 * global `emit` of CouchDB: declare it with `declare const emit: Emit;` in the same file.
 *
 * {@link defineDesign} makes the same document, and knows the rows of its views.
 *
 * @throws TypeError for a function that CouchDB cannot run: an async function, a generator, a method
 * (`map(doc) {…}`), a class, a bound function, a function that uses a constant of its module.
 * @example
 * const people = designDocument<Person>({
 *   name: 'people',
 *   views: { byName: { map: (doc, emit) => emit(doc.name), reduce: '_count' } },
 * });
 * db.designs.deploy(people).subscribe();
 * @see https://docs.couchdb.org/en/stable/ddocs/ddocs.html
 */
export function designDocument<T = Readonly<Record<string, unknown>>>(
  definition: DesignDefinition<T>,
): DesignDocument {
  return encodeDesign(definition, 'designDocument');
}

/**
 * Encodes the definition of a design document.
 *
 * @param what - The function that was called, for errors.
 */
export function encodeDesign<T>(definition: DesignDefinition<T>, what: string): DesignDocument {
  if (typeof definition !== 'object' || definition === null)
    throw invalidArgument(`${what}: definition`, 'an object with a name', definition);
  const encodeEach = encoderOf(what);
  const { name, views, filters, updates, shows, lists, indexes, nouveau, ...rest } = definition;
  const { validateDocUpdate, partitioned, includeDesign, localSeq, autoupdate, ...unknown } = rest;
  const [unknownName] = Object.keys(unknown);
  if (unknownName !== undefined) throw unknownOption(what, unknownName, DEFINITION);
  const bareName = typeof name === 'string' ? name.replace(/^_design\//, '') : '';
  if (bareName === '') throw invalidArgument(`${what}: name`, 'a string that is not empty', name);
  const options = {
    ...(partitioned !== undefined && { partitioned }),
    ...(includeDesign !== undefined && { include_design: includeDesign }),
    ...(localSeq !== undefined && { local_seq: localSeq }),
  };
  return {
    _id: `_design/${bareName}`,
    language: 'javascript',
    ...encodeEach('views', views, ({ map, reduce }, label) => ({
      map: functionSource(map, `${label}.map`, ['doc'], ['emit']),
      ...(reduce !== undefined && {
        reduce: functionSource(reduce, `${label}.reduce`, ['keys', 'values', 'rereduce']),
      }),
    })),
    ...encodeEach('filters', filters, (fn, label) => functionSource(fn, label, ['doc', 'req'])),
    ...encodeEach('updates', updates, (fn, label) => functionSource(fn, label, ['doc', 'req'])),
    ...encodeEach('shows', shows, (fn, label) => functionSource(fn, label, ['doc', 'req'])),
    ...encodeEach('lists', lists, (fn, label) => functionSource(fn, label, ['head', 'req'])),
    ...(validateDocUpdate !== undefined && {
      validate_doc_update: functionSource(validateDocUpdate, `${what}: validateDocUpdate`, [
        'newDoc',
        'oldDoc',
        'userCtx',
        'security',
      ]),
    }),
    ...encodeEach('indexes', indexes, ({ index, analyzer }, label) => ({
      index: functionSource(index, `${label}.index`, ['doc'], ['index']),
      ...(analyzer !== undefined && { analyzer }),
    })),
    ...encodeEach('nouveau', nouveau, ({ index, defaultAnalyzer, fieldAnalyzers }, label) => ({
      index: functionSource(index, `${label}.index`, ['doc'], ['index']),
      ...(defaultAnalyzer !== undefined && { default_analyzer: defaultAnalyzer }),
      ...(fieldAnalyzers !== undefined && { field_analyzers: fieldAnalyzers }),
    })),
    ...(Object.keys(options).length > 0 && { options }),
    ...(autoupdate !== undefined && { autoupdate }),
  };
}

type EncodeEach = <Name extends string, Entry, Encoded>(
  field: Name,
  entries: Readonly<Record<string, Entry>> | undefined,
  encode: (entry: Entry, label: string) => Encoded,
) => { readonly [_ in Name]?: Record<string, Encoded> };

/**
 * Returns a function that encodes each entry of a field of the definition. It leaves the field out if it is
 * undefined.
 */
function encoderOf(what: string): EncodeEach {
  return (field, entries, encode) => {
    if (entries === undefined) return {};
    if (typeof entries !== 'object' || entries === null)
      throw invalidArgument(`${what}: ${field}`, 'an object', entries);
    const encoded = Object.entries(entries).map(([name, entry]) => {
      const label = `${what}: ${field}.${name}`;
      if (entry === null || entry === undefined)
        throw invalidArgument(label, 'an object or a function', entry);
      return [name, encode(entry, label)] as const;
    });
    return { [field]: Object.fromEntries(encoded) } as ReturnType<EncodeEach> as never;
  };
}
