import { asObject } from '../http/decode.ts';
import { count, flag, json, oneOf, restriction, text, toBody } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import { designAt, designName, endpoint, segment } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import type { JsonCodec } from '../model/json.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { FieldPath } from './field-path.ts';
import type { Selector } from './selector.ts';

/** A Mango index, as CouchDB lists it. */
export interface MangoIndex {
  /** The id of the design document that holds the index; null for `_all_docs`. */
  readonly ddoc: string | null;
  readonly name: string;
  /** `'special'` is `_all_docs`, which every database has. */
  readonly type: 'special' | 'json' | 'text' | 'nouveau';
  /** Whether the index is partitioned; null for `_all_docs`. */
  readonly partitioned: boolean | null;
  /** The fields, in order, each with its direction. In a text index, each with its type. */
  readonly fields: readonly Readonly<Record<string, string>>[];
  /** The selector of a partial index; null if the index contains all documents. */
  readonly partialFilterSelector: Readonly<Record<string, unknown>> | null;
  /** The definition, as CouchDB stores it. */
  readonly def: Readonly<Record<string, unknown>>;
}

/** The definition of an index to create. */
export type IndexDefinition<T extends object = AnyFields> =
  JsonIndexDefinition<T> | TextIndexDefinition<T>;

interface CommonIndexOptions<T extends object> {
  /** The name of the index. Default: the server derives a name from the definition. */
  readonly name?: string;
  /** The design document that will hold the index, with or without `_design/`. Default: a new one. */
  readonly ddoc?: string;
  /** Whether the index is partitioned. Default: as the database. */
  readonly partitioned?: boolean;
  /** Indexes only the documents that match. A query must then name the index in `useIndex`. */
  readonly partialFilterSelector?: Selector<T>;
  /** The write quorum: how many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
}

/** An index that is a view, for comparing and sorting fields. */
export interface JsonIndexDefinition<T extends object = AnyFields> extends CommonIndexOptions<T> {
  /** @defaultValue 'json' */
  readonly type?: 'json';
  /** The fields, in order. All have the same direction. */
  readonly fields: readonly (
    FieldPath<T> | { readonly [Field in FieldPath<T>]?: 'asc' | 'desc' }
  )[];
}

/** An index for full-text search with Clouseau (`'text'`) or Nouveau, if the server has it. */
export interface TextIndexDefinition<T extends object = AnyFields> extends CommonIndexOptions<T> {
  readonly type: 'text' | 'nouveau';
  /** The fields to index. Default: every field of every document. */
  readonly fields?: readonly {
    readonly name: FieldPath<T>;
    readonly type: 'string' | 'number' | 'boolean';
  }[];
  /** The analyzer, which splits text into terms. */
  readonly defaultAnalyzer?: string | Readonly<Record<string, unknown>>;
  /** Whether `$text` works, and the analyzer for it. */
  readonly defaultField?:
    | boolean
    | {
        readonly enabled?: boolean;
        readonly analyzer?: string | Readonly<Record<string, unknown>>;
      };
  /** Whether `$size` works. @defaultValue true */
  readonly indexArrayLengths?: boolean;
}

/** The result of creating an index. */
export interface IndexCreated {
  /** Whether the index was created; false if the same index existed. */
  readonly created: boolean;
  /** The id of the design document that holds the index. */
  readonly ddoc: string;
  readonly name: string;
}

/** A reference to an index: an index as `list` and `create` emit it. */
export interface IndexRef {
  /** The design document that holds the index, with or without `_design/`. */
  readonly ddoc: string | null;
  readonly name: string;
  /** @defaultValue 'json' */
  readonly type?: MangoIndex['type'];
}

/** Options for deleting indexes. */
export interface DeleteIndexOptions {
  /** The write quorum: how many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
}

/** The result of deleting indexes, by the ids of their design documents. */
export interface IndexesDeleted {
  readonly deleted: readonly string[];
  readonly failed: readonly { readonly ddoc: string; readonly error: string }[];
}

/** The options of a definition that CouchDB reads below `index`. */
const DEFINITION: Parameters = {
  fields: (value, name) => {
    if (!Array.isArray(value) || value.length === 0)
      throw invalidArgument(name, 'an array that is not empty', value);
    return json(value, name);
  },
  partialFilterSelector: (value, name, codec) => {
    if (typeof value !== 'object' || value === null)
      throw invalidArgument(name, 'an object', value);
    return restriction(value, name, codec);
  },
  defaultAnalyzer: json,
  defaultField: json,
  indexArrayLengths: flag,
};
/** The other options of a definition. */
const INDEX: Parameters = {
  name: text,
  ddoc: text,
  type: oneOf('json', 'text', 'nouveau'),
  partitioned: flag,
  w: count,
};
/** The options of a deletion. */
export const DELETE_INDEX: Parameters = { w: count };

/**
 * Writes the definition of an index as a body.
 *
 * @throws TypeError or RangeError for an invalid definition.
 */
export function indexBody(definition: object, codec: JsonCodec): Record<string, unknown> {
  if (typeof definition !== 'object' || definition === null)
    throw invalidArgument('indexes.create: definition', 'an object with fields', definition);
  const { fields, type = 'json' } = definition as { fields?: unknown; type?: unknown };
  if (fields === undefined && type === 'json')
    throw new TypeError('indexes.create: the definition has no fields');
  const outer: Record<string, unknown> = {};
  const inner: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(definition)) {
    (Object.hasOwn(DEFINITION, name) ? inner : outer)[name] = value;
  }
  const index = toBody(DEFINITION, inner, 'indexes.create', codec);
  return { index, ...toBody(INDEX, outer, 'indexes.create') };
}

/**
 * Returns the address of an index.
 *
 * @param base - The address of the indexes of a database.
 * @throws TypeError for a value that does not name an index, and for `_all_docs`.
 */
export function indexAt(base: Endpoint, index: unknown, query: string): Endpoint {
  if (typeof index !== 'object' || index === null)
    throw invalidArgument('indexes.delete: index', 'an object with ddoc and name', index);
  const { ddoc, name, type = 'json' } = index as Partial<IndexRef>;
  if (ddoc === null || type === 'special')
    throw new TypeError('indexes.delete: _all_docs cannot be deleted');
  const design = designName(ddoc, 'indexes.delete');
  return endpoint(
    designAt(base, design),
    '/{type}/{name}',
    query,
    segment(type, 'indexes.delete: type'),
    segment(name, 'indexes.delete: name'),
  );
}

/** Decodes an index from an answer of `_index` or `_explain`. */
export function decodeIndex(raw: unknown): MangoIndex {
  const { ddoc, name, type, partitioned, def } = asObject(raw);
  const definition = asObject(def);
  const { fields, partial_filter_selector: filter } = definition;
  return {
    ddoc: typeof ddoc === 'string' ? ddoc : null,
    name: String(name),
    type: type as MangoIndex['type'],
    partitioned: typeof partitioned === 'boolean' ? partitioned : null,
    fields: Array.isArray(fields) ? (fields as MangoIndex['fields']) : [],
    partialFilterSelector:
      filter === undefined || Object.keys(asObject(filter)).length === 0 ? null : asObject(filter),
    def: definition,
  };
}
