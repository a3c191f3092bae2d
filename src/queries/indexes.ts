import { asObject } from '../http/decode.ts';
import { count, flag, json, oneOf, text, toBody } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { segment } from '../http/url.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { FieldPath } from './field-path.ts';
import type { Selector } from './selector.ts';

/** An index as the server lists it. */
export interface MangoIndex {
  /** The id of the design document that it is kept in; null for `_all_docs`. */
  readonly ddoc: string | null;
  readonly name: string;
  /** `'special'` is `_all_docs`, which every database has. */
  readonly type: 'special' | 'json' | 'text' | 'nouveau';
  /** Whether it is one for each partition; null for `_all_docs`. */
  readonly partitioned: boolean | null;
  /** The fields, in order, each with its direction; of a text index, with its type. */
  readonly fields: readonly Readonly<Record<string, string>>[];
  /** Which documents are in it, where that is not all of them; else null. */
  readonly partialFilterSelector: Readonly<Record<string, unknown>> | null;
  /** The definition as the server has it. */
  readonly def: Readonly<Record<string, unknown>>;
}

/** An index to be made. */
export type IndexDefinition<T extends object = AnyFields> =
  JsonIndexDefinition<T> | TextIndexDefinition<T>;

interface AnyIndexDefinition<T extends object> {
  /** Default: one that the server makes of the definition. */
  readonly name?: string;
  /** The design document to keep it in, with or without `_design/`. Default: one of its own. */
  readonly ddoc?: string;
  /** Whether it is one for each partition. Default: as the database is. */
  readonly partitioned?: boolean;
  /** Only documents that match are in it; a query must name it in `useIndex` then. */
  readonly partialFilterSelector?: Selector<T>;
  /** How many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
}

/** An index that is a view: for what is compared and sorted. */
export interface JsonIndexDefinition<T extends object = AnyFields> extends AnyIndexDefinition<T> {
  /** @defaultValue 'json' */
  readonly type?: 'json';
  /** The fields, in order. All go the same way. */
  readonly fields: readonly (
    FieldPath<T> | { readonly [Field in FieldPath<T>]?: 'asc' | 'desc' }
  )[];
}

/** An index for full-text search, where the server has Clouseau (`'text'`) or Nouveau. */
export interface TextIndexDefinition<T extends object = AnyFields> extends AnyIndexDefinition<T> {
  readonly type: 'text' | 'nouveau';
  /** Default: every field of every document. */
  readonly fields?: readonly {
    readonly name: FieldPath<T>;
    readonly type: 'string' | 'number' | 'boolean';
  }[];
  /** How text is taken apart. */
  readonly defaultAnalyzer?: string | Readonly<Record<string, unknown>>;
  /** Whether `$text` works, and how its text is taken apart. */
  readonly defaultField?:
    | boolean
    | {
        readonly enabled?: boolean;
        readonly analyzer?: string | Readonly<Record<string, unknown>>;
      };
  /** Whether `$size` works. @defaultValue true */
  readonly indexArrayLengths?: boolean;
}

/** What became of an index that was to be made. */
export interface IndexCreated {
  /** False where there was the same index already. */
  readonly created: boolean;
  /** The id of the design document that it is kept in. */
  readonly ddoc: string;
  readonly name: string;
}

/** An index to be deleted: as `list` and `create` give it. */
export interface IndexRef {
  /** With or without `_design/`. */
  readonly ddoc: string | null;
  readonly name: string;
  /** @defaultValue 'json' */
  readonly type?: MangoIndex['type'];
}

/** How indexes are deleted. */
export interface DeleteIndexOptions {
  /** How many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
}

/** What became of indexes that were to be deleted, by the ids of their design documents. */
export interface IndexesDeleted {
  readonly deleted: readonly string[];
  readonly failed: readonly { readonly ddoc: string; readonly error: string }[];
}

const anything: Parameter = json;
const DEFINITION: Parameters = {
  fields: (value, name) => {
    if (!Array.isArray(value) || value.length === 0)
      throw invalidArgument(name, 'an array that is not empty', value);
    return json(value, name);
  },
  partialFilterSelector: (value, name) => {
    if (typeof value !== 'object' || value === null)
      throw invalidArgument(name, 'an object', value);
    return json(value, name);
  },
  defaultAnalyzer: anything,
  defaultField: anything,
  indexArrayLengths: flag,
};
const INDEX: Parameters = {
  name: text,
  ddoc: text,
  type: oneOf('json', 'text', 'nouveau'),
  partitioned: flag,
  w: count,
};
/** The options of a deletion, as the wire has them. */
export const DELETE_INDEX: Parameters = { w: count };

export function indexBody(definition: object): Record<string, unknown> {
  if (typeof definition !== 'object' || definition === null)
    throw invalidArgument('indexes.create: definition', 'an object with fields', definition);
  const { fields, type = 'json' } = definition as { fields?: unknown; type?: unknown };
  if (fields === undefined && type === 'json')
    throw new TypeError('indexes.create: an index needs fields');
  const named: Record<string, unknown> = {};
  const inner: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(definition)) {
    (name in DEFINITION ? inner : named)[name] = value;
  }
  const index = toBody(DEFINITION, inner, 'indexes.create');
  return { index, ...toBody(INDEX, named, 'indexes.create') };
}

export function indexPath(index: unknown): string {
  if (typeof index !== 'object' || index === null)
    throw invalidArgument('indexes.delete: index', 'an object with ddoc and name', index);
  const { ddoc, name, type = 'json' } = index as Partial<IndexRef>;
  if (ddoc === null || type === 'special')
    throw new TypeError('indexes.delete: _all_docs is there to stay');
  const design = text(ddoc, 'indexes.delete: ddoc').replace(/^_design\//, '');
  const below = [type, text(name, 'indexes.delete: name')].map(segment).join('/');
  return `/_index/_design/${segment(design)}/${below}`;
}

/** Reads an index as `_index` and `_explain` tell of one. */
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
