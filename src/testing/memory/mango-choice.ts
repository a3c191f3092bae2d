import { collate } from '../../model/collation.ts';
import { byId } from '../../model/document.ts';
import { readField } from '../../queries/fields.ts';
import { isRecord } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { matcherOf } from './mango-match.ts';
import type { SortKey } from './mango-options.ts';
import { EMPTY_RANGE } from './mango-ranges.ts';
import type { FieldRange } from './mango-ranges.ts';
import { indexableFields, isConstant, optionalFields } from './mango-selector.ts';
import type { Normal } from './mango-selector.ts';
import { toDocument } from './reads.ts';
import type { JsonDocument } from './reads.ts';
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
