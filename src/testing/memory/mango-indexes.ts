import { collate } from '../../model/collation.ts';
import { byId } from '../../model/document.ts';
import { readField } from '../../queries/fields.ts';
import { Refusal, isRecord, json, missing } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import type { MemoryDatabase, Validate } from './database.ts';
import { matcherOf } from './mango-match.ts';
import { EMPTY_RANGE } from './mango-ranges.ts';
import type { FieldRange } from './mango-ranges.ts';
import { indexableFields, isConstant, normalize, optionalFields } from './mango-selector.ts';
import type { Normal } from './mango-selector.ts';
import { readSort, validated } from './mango-options.ts';
import type { SortKey } from './mango-options.ts';
import { toDocument } from './reads.ts';
import type { JsonDocument } from './reads.ts';
import { hex, md5 } from './revision-hash.ts';
import { mapRows } from './views.ts';

/** A Mango index: a view of a design document in the language `query`, or all documents by id. */
export interface MangoIndex {
  /** Null for the built-in index of all documents. */
  readonly ddoc: string | null;
  readonly name: string;
  readonly fields: readonly SortKey[];
  readonly partial: Normal | undefined;
  readonly partitioned: boolean;
}

export const ALL_DOCS: MangoIndex = {
  ddoc: null,
  name: '_all_docs',
  fields: [['_id', 'asc']],
  partial: undefined,
  partitioned: false,
};

/** Lists the indexes, as the design documents define them. */
export function indexesOf(db: MemoryDatabase): readonly MangoIndex[] {
  const designs = db.live
    .filter(([id]) => id.startsWith('_design/'))
    .map(([id, winner]) => toDocument(db, id, winner))
    .filter((design) => design['language'] === 'query');
  const byName = (a: MangoIndex, b: MangoIndex): number => byId(a.name, b.name);
  return [ALL_DOCS, ...designs.flatMap((design) => [...indexesIn(db, design)].sort(byName))];
}

function indexesIn(db: MemoryDatabase, design: JsonDocument): readonly MangoIndex[] {
  const { views, options } = design as { readonly views?: unknown; readonly options?: unknown };
  if (!isRecord(views)) return [];
  const own = isRecord(options) ? options['partitioned'] : undefined;
  return Object.entries(views).flatMap(([name, view]) => {
    if (!isRecord(view) || !isRecord(view['map']) || !isRecord(view['options'])) return [];
    const { fields, partial_filter_selector: partial } = view['map'];
    if (!isRecord(fields)) return [];
    return [
      {
        ddoc: design._id,
        name,
        fields: Object.entries(fields).map(([field, direction]): SortKey => [
          field,
          String(direction),
        ]),
        partial: isRecord(partial) && Object.keys(partial).length > 0 ? partial : undefined,
        partitioned: typeof own === 'boolean' ? own : db.partitioned,
      },
    ];
  });
}

/** Describes an index as `_index` and `_explain` do. */
export function describeIndex(index: MangoIndex): object {
  const fields = index.fields.map(([field, direction]) => ({ [field]: direction }));
  if (index.ddoc === null)
    return { ddoc: null, name: index.name, type: 'special', def: { fields } };
  return {
    ddoc: index.ddoc,
    name: index.name,
    type: 'json',
    partitioned: index.partitioned,
    def: { fields, ...(index.partial !== undefined && { partial_filter_selector: index.partial }) },
  };
}

/** Answers a request for indexes: `_index`. */
export function indexReply(
  db: MemoryDatabase,
  path: readonly string[],
  { method, body, query }: MemoryRequest,
  validate: Validate,
): Reply {
  const [first] = path;
  if (first === undefined && method === 'GET') {
    const all = indexesOf(db);
    const [skip, limit] = [query['skip'] ?? 0, query['limit'] ?? all.length].map(Number);
    const page = all.slice(skip, (skip ?? 0) + (limit ?? 0)).map(describeIndex);
    return json(200, { total_rows: all.length, indexes: page });
  }
  if (first === undefined && method === 'POST') return createIndex(db, body, validate);
  if (first === undefined) throw new Refusal(405, 'method_not_allowed', 'Only GET,POST allowed');
  if (first === '_bulk_delete') return deleteIndexes(db, body, validate);
  const [ddoc, type, name] =
    path[0] === '_design' ? [`_design/${path[1]}`, path[2], path[3]] : path;
  if (name === undefined) throw missing();
  if (method !== 'DELETE') throw new Refusal(405, 'method_not_allowed', 'Only DELETE allowed');
  const index = indexesOf(db).find(
    (one) => one.ddoc === designId(ddoc as string) && type === 'json' && one.name === name,
  );
  if (index === undefined) throw missing();
  removeIndex(db, index, validate);
  return json(200, { ok: true });
}

function designId(name: string): string {
  return name.startsWith('_design/') ? name : `_design/${name}`;
}

function createIndex(db: MemoryDatabase, body: unknown, validate: Validate): Reply {
  const options = validated(body, 'index');
  const definition = options['index'];
  if (!isRecord(definition))
    throw new Refusal(
      400,
      'invalid_index',
      `JSON indexes must be an object, not: ${String(definition)}`,
    );
  const { fields, partial_filter_selector: partial = {} } = validated(definition, 'definition');
  const sort = readSort(fields);
  const normal = normalize(partial);
  const map = {
    fields: Object.fromEntries(sort),
    partial_filter_selector: normal,
  };
  const isPartitioned = options['partitioned'];
  const hash = hex(md5(new TextEncoder().encode(JSON.stringify([map, isPartitioned])))).slice(
    0,
    40,
  );
  const id = designId((options['ddoc'] as string | undefined) ?? hash);
  const name = (options['name'] as string | undefined) ?? hash;
  const winner = db.find(id);
  const { views = {}, ...rest } = (winner?.content?.fields ?? {}) as { readonly views?: object };
  const { language = 'query' } = rest as { readonly language?: unknown };
  if (language !== 'query')
    throw new Refusal(
      400,
      'invalid_ddoc_lang',
      `Existing design doc has an invalid language: ${String(language)}`,
    );
  const view = { map, reduce: '_count', options: { def: definition } };
  const known = (views as Readonly<Record<string, unknown>>)[name];
  const exists = known !== undefined && JSON.stringify(known) === JSON.stringify(view);
  if (!exists) {
    const written = {
      language: 'query',
      ...rest,
      views: { ...views, [name]: view },
      ...(winner === undefined &&
        typeof isPartitioned === 'boolean' && { options: { partitioned: isPartitioned } }),
    };
    save(db, id, written, false, validate);
  }
  return json(200, { result: exists ? 'exists' : 'created', id, name });
}

function save(
  db: MemoryDatabase,
  id: string,
  fields: Readonly<Record<string, unknown>>,
  deleted: boolean,
  validate: Validate,
): void {
  const rev = db.find(id)?.rev;
  const draft = { id, history: rev === undefined ? [] : [rev], deleted, fields, attachments: [] };
  const [written] = db.edit([draft], validate);
  if (written instanceof Refusal) throw written;
}

function removeIndex(db: MemoryDatabase, { ddoc, name }: MangoIndex, validate: Validate): void {
  const id = ddoc ?? '';
  const { views = {}, ...rest } = (db.find(id)?.content?.fields ?? {}) as {
    readonly views?: object;
  };
  const others = Object.entries(views).filter(([one]) => one !== name);
  const isLast = others.length === 0 && Object.keys(rest).join() === 'language';
  const fields = {
    ...rest,
    ...(others.length > 0 && { views: Object.fromEntries(others) }),
  };
  save(db, id, isLast ? {} : fields, isLast, validate);
}

function deleteIndexes(db: MemoryDatabase, body: unknown, validate: Validate): Reply {
  const { docids } = validated(body, 'bulkDelete');
  const success: object[] = [];
  const fail: object[] = [];
  for (const name of docids as readonly string[]) {
    const id = designId(name);
    const found = indexesOf(db).filter((one) => one.ddoc === id);
    const [index] = found;
    if (index === undefined || found.length > 1) fail.unshift({ id, error: 'not_found' });
    else {
      removeIndex(db, index, validate);
      success.unshift({ id, ok: true });
    }
  }
  return json(200, { success, fail });
}

/** Why an index cannot answer a query, or null if it can. */
export function isUsable(index: MangoIndex, selector: Normal, sort: readonly string[]): boolean {
  const columns = index.fields.map(([field]) => field);
  if (index.ddoc === null)
    return (
      sort.length === 0 || (sort.join() === '_id' && indexableFields(selector).includes('_id'))
    );
  const required = columns.filter(
    (field) => !sort.includes(field) && field !== '_id' && field !== '_rev',
  );
  return optionalFields(selector, required).length === 0 && sorts(columns, sort, selector);
}

function sorts(columns: readonly string[], sort: readonly string[], selector: Normal): boolean {
  if (sort.length === 0) return true;
  const [first, ...rest] = columns;
  if (first === undefined) return false;
  if (first === sort[0]) return sort.every((field, i) => columns[i] === field);
  return isConstant(selector, first) && sorts(rest, sort, selector);
}

/** The ranges of an index's first fields that a query restricts. */
export function prefixOf(index: MangoIndex, ranges: readonly FieldRange[]): readonly FieldRange[] {
  const prefix: FieldRange[] = [];
  for (const [field] of index.fields) {
    const range = ranges.find(([one]) => one === field);
    if (range === undefined) break;
    prefix.push(range);
  }
  return prefix;
}

/** Returns the best of the usable indexes: that with most restricted fields, then with fewest fields. */
export function bestIndex(
  indexes: readonly MangoIndex[],
  ranges: readonly FieldRange[],
): MangoIndex | undefined {
  const views = indexes.filter(({ ddoc }) => ddoc !== null);
  const candidates = views.length > 0 ? views : indexes;
  return [...candidates].sort(
    (a, b) =>
      prefixOf(b, ranges).length - prefixOf(a, ranges).length ||
      a.fields.length - b.fields.length ||
      byId(a.ddoc ?? '', b.ddoc ?? '') ||
      byId(a.name, b.name),
  )[0];
}

/** An entry of an index. */
export interface IndexRow {
  readonly id: string;
  readonly key: unknown;
}

/** Returns the entries of an index in their order, within the ranges of its first fields. */
export function indexRows(
  db: MemoryDatabase,
  index: MangoIndex,
  prefix: readonly FieldRange[],
): readonly IndexRow[] {
  const rows: readonly IndexRow[] =
    index.ddoc === null ? db.live.map(([id]) => ({ id, key: id })) : viewRows(db, index);
  return rows.filter(({ key }) =>
    isWithin(index.ddoc === null ? [key] : (key as unknown[]), prefix),
  );
}

function viewRows(db: MemoryDatabase, index: MangoIndex): readonly IndexRow[] {
  const matches = index.partial === undefined ? undefined : matcherOf(index.partial);
  const fields = index.fields.map(([field]) => field);
  return mapRows(db, `mango ${JSON.stringify([fields, index.partial])}`, (doc, emit) => {
    if (matches !== undefined && !matches(doc as JsonDocument)) return;
    const values = fields.map((field) => readField(doc, field));
    if (!values.includes(undefined)) emit(values, null);
  });
}

/** CouchDB's key range: it ends at the first field that has no exact value. */
function isWithin(key: readonly unknown[], prefix: readonly FieldRange[]): boolean {
  const low: unknown[] = [];
  const high: unknown[] = [];
  let isHighOpen = true;
  for (const [, range] of prefix) {
    if (range === EMPTY_RANGE) return false;
    if (range.low === undefined) break;
    low.push(range.low);
  }
  for (const [, range] of prefix) {
    if (range === EMPTY_RANGE || range.high === undefined) break;
    high.push(range.high);
    isHighOpen = true;
  }
  if (low.length > 0 && collate(key, low) < 0) return false;
  return high.length === 0 || !isHighOpen || collate(key.slice(0, high.length), high) <= 0;
}
