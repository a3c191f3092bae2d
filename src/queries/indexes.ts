import { arrayField, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, oneOf, text, toBody, toQuery } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { segment } from '../http/url.ts';
import type { AnyFields } from '../model/document.ts';
import { mustBe } from '../model/must-be.ts';
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
      throw mustBe(name, 'an array that is not empty', value);
    return json(value, name);
  },
  partialFilterSelector: (value, name) => {
    if (typeof value !== 'object' || value === null) throw mustBe(name, 'an object', value);
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
const DELETE: Parameters = { w: count };

/** The Mango indexes of a database: `db.indexes`. All of it is cold. */
export class Indexes<T extends object = AnyFields> {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Emits the indexes, with `_all_docs`, which every database has.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#get--db-_index
   */
  list(): Operation<MangoIndex[]> {
    const db = this.#db;
    return operation(
      db.connection,
      () => ({ path: `${db.path}/_index` }),
      (body) => arrayField(body, 'indexes').map(decodeIndex),
    );
  }

  /**
   * Makes an index, and emits where it is; where there is the same already, it is left.
   *
   * The server answers before the index is built: the first query that uses it waits for that.
   * Errors with `Unauthorized` or `Forbidden` where one may not write design documents, `BadRequest`
   * for a text index where the server has no full-text search.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#post--db-_index
   */
  create(definition: IndexDefinition<T>): Operation<IndexCreated> {
    const db = this.#db;
    const write = (): Record<string, unknown> => indexBody(definition);
    // Misuse is told now.
    write();
    return operation(
      db.connection,
      () => ({ method: 'POST', path: `${db.path}/_index`, json: write() }),
      (body) => ({
        created: stringField(body, 'result') === 'created',
        ddoc: stringField(body, 'id'),
        name: stringField(body, 'name'),
      }),
    );
  }

  /**
   * Deletes an index, and its design document when that was the last in it; emits `true`.
   *
   * Errors with `NotFound`.
   *
   * @param index - As `list` and `create` give it.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#delete--db-_index-design_doc-json-name
   */
  delete(index: IndexRef, options: DeleteIndexOptions = {}): Operation<true> {
    const db = this.#db;
    const path = indexPath(index) + toQuery(DELETE, options, 'indexes.delete');
    return operation(
      db.connection,
      () => ({ method: 'DELETE', path: db.path + path }),
      (): true => true,
    );
  }

  /**
   * Deletes all indexes of several design documents in one request; emits what became of each.
   *
   * @param ddocs - The ids of design documents, with or without `_design/`.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#post--db-_index-_bulk_delete
   */
  deleteMany(
    ddocs: readonly string[],
    options: DeleteIndexOptions = {},
  ): Operation<IndexesDeleted> {
    const db = this.#db;
    if (!Array.isArray(ddocs)) throw mustBe('indexes.deleteMany: ddocs', 'an array', ddocs);
    ddocs.forEach((ddoc, i) => text(ddoc, `indexes.deleteMany: ddocs[${i}]`));
    const body = toBody(DELETE, options, 'indexes.deleteMany');
    return operation(
      db.connection,
      () => ({
        method: 'POST',
        path: `${db.path}/_index/_bulk_delete`,
        json: { docids: ddocs, ...body },
      }),
      (answer) => ({
        deleted: arrayField(answer, 'success').map((one) => stringField(one, 'id')),
        failed: arrayField(answer, 'fail').map((one) => ({
          ddoc: stringField(one, 'id'),
          error: stringField(one, 'error'),
        })),
      }),
    );
  }
}

function indexBody(definition: object): Record<string, unknown> {
  if (typeof definition !== 'object' || definition === null)
    throw mustBe('indexes.create: definition', 'an object with fields', definition);
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

function indexPath(index: unknown): string {
  if (typeof index !== 'object' || index === null)
    throw mustBe('indexes.delete: index', 'an object with ddoc and name', index);
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
