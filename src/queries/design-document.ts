import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** A design document as CouchDB has it: plain JSON, with functions as text. */
export interface DesignDocument {
  _id: `_design/${string}`;
  _rev?: string;
  language?: string;
  views?: Record<string, { readonly map: string; readonly reduce?: string }>;
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

/** Adds a row to a view: `emit(key, value)`. */
export type Emit = (key: unknown, value?: unknown) => void;

/** Adds a field to a search index: `index(name, value, options)`, and for Nouveau the type first. */
export type IndexField = (...args: readonly unknown[]) => void;

/** Maps a document to rows. `emit` may be taken as an argument, or be the server's own. */
export type MapFunction<T> = (doc: T, emit: Emit) => unknown;

/** Makes one value of many; `keys` is null when values are reductions already. */
export type ReduceFunction = (
  keys: readonly (readonly [key: unknown, id: string])[] | null,
  values: readonly never[],
  rereduce: boolean,
) => unknown;

/** The reductions that the server has built in, which are much faster. */
export type BuiltInReduce =
  | '_sum'
  | '_count'
  | '_stats'
  | '_approx_count_distinct'
  | '_first'
  | '_last'
  | `_top_${number}`
  | `_bottom_${number}`;

/** Tells of the request that a function is called for. */
export type FunctionRequest = Readonly<Record<string, unknown>> & {
  readonly query: Readonly<Record<string, string>>;
  readonly userCtx: UserContext;
};

/** Who asks. */
export interface UserContext {
  readonly db: string;
  readonly name: string | null;
  readonly roles: readonly string[];
}

/** A view: a function, or a function with a reduction. */
export interface ViewDefinition<T> {
  readonly map: ServerFunction<MapFunction<T>>;
  /** The text of a function is taken as well as one; an editor offers what is built in. */
  readonly reduce?: BuiltInReduce | ReduceFunction | (string & Record<never, never>);
}

/** What a design document is made of. `T` is what its functions take documents for. */
export interface DesignDefinition<T = Readonly<Record<string, unknown>>> {
  /** With or without `_design/`. */
  readonly name: string;
  readonly views?: Readonly<Record<string, ViewDefinition<T>>>;
  /** For the `filter` of a feed. */
  readonly filters?: Readonly<
    Record<string, ServerFunction<(doc: T, req: FunctionRequest) => boolean>>
  >;
  /** For `db.update`: returns the document to be written, or null, and the answer. */
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
  /** Throws `{ forbidden: why }` or `{ unauthorized: why }` for what must not be written. */
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
  /** In a partitioned database: whether its views are partitioned. @defaultValue as the database */
  readonly partitioned?: boolean;
  /** Whether design documents are mapped as well. @defaultValue false */
  readonly includeDesign?: boolean;
  /** Whether `_local_seq` is in the documents that are mapped. @defaultValue false */
  readonly localSeq?: boolean;
  /** Whether the server may build the indexes before they are asked for. @defaultValue true */
  readonly autoupdate?: boolean;
}

/**
 * Makes a design document of functions: for `db.designs.deploy`, which writes it only when it differs.
 *
 * The functions are sent as text, and run in the server: they see their arguments and what CouchDB
 * gives them, **and nothing of the module that they are written in: no constant, no import, no other
 * function**. The text is the one that runs here, after TypeScript and a bundler have been at it;
 * what adds calls to every function (instrumentation for coverage) spoils it. Arrow functions,
 * `const`, destructuring and the like are understood by CouchDB 3.5; async functions and generators
 * are not.
 *
 * A map function takes `emit` as its second argument, which a minifier may rename; or it uses the
 * server's own, which TypeScript is told of by `declare const emit: Emit;` in the same file.
 *
 * @throws TypeError for what the server could not run: an async function, a generator, a method
 * (`map(doc) {…}`), a class, a bound function.
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
  if (typeof definition !== 'object' || definition === null)
    throw invalidArgument('designDocument: definition', 'an object with a name', definition);
  const { name, views, filters, updates, shows, lists, indexes, nouveau, ...rest } = definition;
  const { validateDocUpdate, partitioned, includeDesign, localSeq, autoupdate, ...unknown } = rest;
  const [stranger] = Object.keys(unknown);
  if (stranger !== undefined) throw new TypeError(`designDocument: unknown option '${stranger}'`);
  const bare = typeof name === 'string' ? name.replace(/^_design\//, '') : '';
  if (bare === '')
    throw invalidArgument('designDocument: name', 'a string that is not empty', name);
  const options = {
    ...(partitioned !== undefined && { partitioned }),
    ...(includeDesign !== undefined && { include_design: includeDesign }),
    ...(localSeq !== undefined && { local_seq: localSeq }),
  };
  return {
    _id: `_design/${bare}`,
    language: 'javascript',
    ...each('views', views, ({ map, reduce }, at) => ({
      map: functionSource(map, `${at}.map`, ['doc'], ['emit']),
      ...(reduce !== undefined && {
        reduce: functionSource(reduce, `${at}.reduce`, ['keys', 'values', 'rereduce']),
      }),
    })),
    ...each('filters', filters, (fn, at) => functionSource(fn, at, ['doc', 'req'])),
    ...each('updates', updates, (fn, at) => functionSource(fn, at, ['doc', 'req'])),
    ...each('shows', shows, (fn, at) => functionSource(fn, at, ['doc', 'req'])),
    ...each('lists', lists, (fn, at) => functionSource(fn, at, ['head', 'req'])),
    ...(validateDocUpdate !== undefined && {
      validate_doc_update: functionSource(validateDocUpdate, 'designDocument: validateDocUpdate', [
        'newDoc',
        'oldDoc',
        'userCtx',
        'security',
      ]),
    }),
    ...each('indexes', indexes, ({ index, analyzer }, at) => ({
      index: functionSource(index, `${at}.index`, ['doc'], ['index']),
      ...(analyzer !== undefined && { analyzer }),
    })),
    ...each('nouveau', nouveau, ({ index, defaultAnalyzer, fieldAnalyzers }, at) => ({
      index: functionSource(index, `${at}.index`, ['doc'], ['index']),
      ...(defaultAnalyzer !== undefined && { default_analyzer: defaultAnalyzer }),
      ...(fieldAnalyzers !== undefined && { field_analyzers: fieldAnalyzers }),
    })),
    ...(Object.keys(options).length > 0 && { options }),
    ...(autoupdate !== undefined && { autoupdate }),
  };
}

function each<Name extends string, Given, Made>(
  field: Name,
  given: Readonly<Record<string, Given>> | undefined,
  make: (one: Given, at: string) => Made,
): { readonly [_ in Name]?: Record<string, Made> } {
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null)
    throw invalidArgument(`designDocument: ${field}`, 'an object', given);
  const made = Object.entries(given).map(([name, one]) => {
    const at = `designDocument: ${field}.${name}`;
    if (one === null || one === undefined)
      throw invalidArgument(at, 'an object or a function', one);
    return [name, make(one, at)];
  });
  return { [field]: Object.fromEntries(made) as Record<string, Made> } as {
    [_ in Name]?: Record<string, Made>;
  };
}

/** A function to be run by the server: itself, or the text of one. */
export type ServerFunction<F extends (...args: never) => unknown> = F | string;

/**
 * Returns the text of a function, as the server's JavaScript engine takes it.
 *
 * @param given - The names that the server has outside the function (`emit`). They are handed over
 * after the function's own arguments where it takes more than those, so that a minifier that
 * renames them does no harm.
 * @throws TypeError for what the engine would not take: an async function, a generator, a method, a
 * class, a function without a text.
 */
export function functionSource(
  fn: unknown,
  name: string,
  own: readonly string[],
  given: readonly string[] = [],
): string {
  if (typeof fn === 'string') {
    if (fn.trim() === '') throw invalidArgument(name, 'a function or the text of one', fn);
    return fn;
  }
  if (typeof fn !== 'function') throw invalidArgument(name, 'a function or the text of one', fn);
  const source = Function.prototype.toString.call(fn);
  const refusal = whyNot(source);
  if (refusal !== undefined) throw new TypeError(`${name}: ${refusal}`);
  if (fn.length <= own.length || given.length === 0) return source;
  const all = [...own, ...given].join(', ');
  return `function (${own.join(', ')}) { return (${source})(${all}); }`;
}

function whyNot(source: string): string | undefined {
  if (/^class\b/.test(source)) return 'a class is no function that the server could call';
  if (/\{\s*\[native code\]\s*\}$/.test(source))
    return 'the text of a bound or built-in function is not known; write it out';
  if (/^async\b(?!\s*=>)/.test(source)) return 'the server runs no async functions';
  if (/^(?:function\s*)?\*/.test(source)) return 'the server runs no generators';
  if (/^function\b/.test(source) || isArrow(source)) return undefined;
  return `write \`name: (doc) => …\` or \`name: function (doc) { … }\`, not a method: ${describeValue(source)}`;
}

/** An arrow function begins with its parameters; so does nothing else that is a function. */
function isArrow(source: string): boolean {
  return (
    source.startsWith('(') || /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*\s*=>/u.test(source)
  );
}
