import { byId } from '../../model/document.ts';
import { collate } from '../../model/collation.ts';
import { Refusal, isRecord, missing } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { compileFunction, throughJson } from './functions.ts';
import { toDocument } from './reads.ts';
import { backwards } from './parameters.ts';
import { NO_KEY } from './rows.ts';
import type { RowOptions } from './rows.ts';

/** A row of a view. */
export interface ViewRow {
  readonly id: string;
  readonly key: unknown;
  readonly value: unknown;
}

type Compare = (a: unknown, b: unknown) => number;

/** The rows of each map function, by document: a document is mapped again when its winner changes. */
const indexes = new WeakMap<MemoryDatabase, Map<string, Map<string, Mapped>>>();

interface Mapped {
  readonly rev: string;
  readonly rows: readonly ViewRow[];
}

/** Returns the rows of a map function in the order of their keys and ids. */
export function mapRows(
  db: MemoryDatabase,
  source: string,
  map: (doc: object, emit: (key: unknown, value: unknown) => void) => void,
  withDesigns = false,
): readonly ViewRow[] {
  const byView = indexes.get(db) ?? new Map<string, Map<string, Mapped>>();
  indexes.set(db, byView);
  const before = byView.get(source) ?? new Map<string, Mapped>();
  const after = new Map<string, Mapped>();
  for (const [id, winner] of db.live) {
    if (!withDesigns && id.startsWith('_design/')) continue;
    const known = before.get(id);
    const { rev } = winner;
    const rows = (): readonly ViewRow[] => rowsOf(id, toDocument(db, id, winner), map);
    after.set(id, known?.rev === rev ? known : { rev, rows: rows() });
  }
  byView.set(source, after);
  return [...after.values()]
    .flatMap(({ rows }) => rows)
    .sort((a, b) => collate(a.key, b.key) || byId(a.id, b.id));
}

function rowsOf(
  id: string,
  doc: object,
  map: (doc: object, emit: (key: unknown, value: unknown) => void) => void,
): readonly ViewRow[] {
  const rows: ViewRow[] = [];
  try {
    map(throughJson(doc) as object, (key, value) => {
      rows.push({ id, key: throughJson(key), value: throughJson(value) });
    });
  } catch {
    // CouchDB leaves out a document for which the map function throws.
    return [];
  }
  return rows;
}

/** Returns the map function of a source. */
export function javascriptMap(
  source: string,
): (doc: object, emit: (key: unknown, value: unknown) => void) => void {
  const current: { emit?: (key: unknown, value: unknown) => void } = {};
  const map = compileFunction(source, (key, value) => current.emit?.(key, value));
  return (doc, emit) => {
    current.emit = emit;
    map(doc);
  };
}

/** Selects the rows of a request, before `skip` and `limit`. Returns the number of those before them, too. */
export function selectRows<Row extends { readonly key: unknown; readonly id: string }>(
  rows: readonly Row[],
  { startKey, endKey, startId, endId, inclusiveEnd, descending }: RowOptions,
  compare: Compare = collate,
): { readonly before: number; readonly selected: readonly Row[] } {
  const sign = descending ? -1 : 1;
  const ordered = descending ? reversed(rows) : rows;
  /** Whether a row comes before a position, in the direction of the request. */
  const isBefore = (row: Row, key: unknown, id: string | undefined, atKey: boolean): boolean => {
    const order = compare(row.key, key) * sign;
    if (order !== 0) return order < 0;
    return id === undefined ? atKey : byId(row.id, id) * sign < 0;
  };
  const starts = (row: Row): boolean =>
    startKey === NO_KEY || !isBefore(row, startKey, startId, false);
  const ends = (row: Row): boolean => {
    if (endKey === NO_KEY) return true;
    if (!inclusiveEnd) return isBefore(row, endKey, endId, false);
    return endId === undefined
      ? isBefore(row, endKey, undefined, true)
      : isBefore(row, endKey, endId, false) || (compare(row.key, endKey) === 0 && row.id === endId);
  };
  const first = ordered.findIndex(starts);
  const before = first === -1 ? ordered.length : first;
  const selected = ordered.slice(before).filter(ends);
  return { before, selected };
}

/** Reverses rows. Those that a document emitted with the same key keep their order, as in CouchDB. */
export function reversed<Row extends { readonly key: unknown; readonly id: string }>(
  rows: readonly Row[],
): readonly Row[] {
  const groups: Row[][] = [];
  for (const row of rows) {
    const group = groups.at(-1);
    const [first] = group ?? [];
    if (first?.id === row.id && collate(first.key, row.key) === 0) group?.push(row);
    else groups.push([row]);
  }
  return backwards(groups).flat();
}

/** Returns the rows of a page. */
export function pageOf<Row>(rows: readonly Row[], { skip, limit }: RowOptions): readonly Row[] {
  return rows.slice(skip, skip + limit);
}

/** A reduced row. */
export interface ReducedRow {
  readonly key: unknown;
  readonly value: unknown;
}

/** Reduces rows that are in order, by groups. */
export function reduceRows(
  rows: readonly ViewRow[],
  source: string,
  { groupLevel }: RowOptions,
): readonly ReducedRow[] {
  const reduce = reducer(source);
  if (groupLevel === 0) return rows.length === 0 ? [] : [{ key: null, value: reduce(rows) }];
  const groups: { readonly key: unknown; readonly rows: ViewRow[] }[] = [];
  for (const row of rows) {
    const key = groupKey(row.key, groupLevel);
    const last = groups.at(-1);
    if (last !== undefined && collate(last.key, key) === 0) last.rows.push(row);
    else groups.push({ key, rows: [row] });
  }
  return groups.map((group) => ({ key: group.key, value: reduce(group.rows) }));
}

function groupKey(key: unknown, level: number | 'exact'): unknown {
  return Array.isArray(key) && level !== 'exact' ? key.slice(0, level) : key;
}

type Reduce = (rows: readonly ViewRow[]) => unknown;

/** Returns a reduce function: a built-in one, or the function of a source. */
export function reducer(source: string): Reduce {
  switch (source.trim()) {
    case '_count':
      return (rows) => rows.length;
    case '_sum':
      return (rows) => rows.map(({ value }) => value).reduce(add, 0);
    case '_stats':
      return (rows) => stats(rows.map(({ value }) => value));
    case '_approx_count_distinct':
      return (rows) =>
        rows.filter(({ key }, i) => i === 0 || collate(rows[i - 1]?.key, key) !== 0).length;
    default: {
      if (source.startsWith('_'))
        throw new Refusal(
          400,
          'invalid_design_doc',
          `\`${source}\` is not a supported reduce function.`,
        );
      const reduce = compileFunction(source);
      return (rows) =>
        throughJson(
          reduce(
            rows.map(({ key, id }) => [key, id]),
            rows.map(({ value }) => value),
            false,
          ),
        );
    }
  }
}

const reduceError = (reason: string): Refusal => new Refusal(500, 'builtin_reduce_error', reason);

function add(total: unknown, value: unknown): unknown {
  if (typeof total === 'number' && typeof value === 'number') return total + value;
  if (isRecord(value)) {
    const sums = new Map(Object.entries(isRecord(total) ? total : {}));
    for (const [name, field] of Object.entries(value))
      sums.set(name, add(sums.get(name) ?? 0, field));
    return Object.fromEntries(sums);
  }
  if (Array.isArray(value)) {
    const known: readonly unknown[] = Array.isArray(total) ? total : [total];
    const length = Math.max(known.length, value.length);
    return Array.from({ length }, (_, i) => add(known[i] ?? 0, value[i] ?? 0));
  }
  if (Array.isArray(total) && typeof value === 'number') return add(total, [value]);
  throw reduceError(
    'The _sum function requires that map values be numbers, arrays of numbers, or objects',
  );
}

function stats(values: readonly unknown[]): object {
  const numbers = values.map((value) => {
    if (typeof value === 'number') return value;
    throw reduceError('The _stats function requires that map values be numbers');
  });
  return {
    sum: numbers.reduce((total, value) => total + value, 0),
    count: numbers.length,
    min: Math.min(...numbers),
    max: Math.max(...numbers),
    sumsqr: numbers.reduce((total, value) => total + value * value, 0),
  };
}

/** Returns a view of a design document. Throws a 404 if there is none. */
export function viewOf(
  design: Readonly<Record<string, unknown>>,
  name: string,
): { readonly map: unknown; readonly reduce: string | undefined } {
  const { views } = design;
  const view = isRecord(views) && Object.hasOwn(views, name) ? views[name] : undefined;
  if (!isRecord(view)) throw missing('missing_named_view');
  const { map, reduce } = view;
  return { map, reduce: typeof reduce === 'string' ? reduce : undefined };
}
