import { collate } from '../../model/collation.ts';
import { byId } from '../../model/document.ts';
import { readField, stepsOf } from '../../queries/fields.ts';
import { Refusal, isRecord, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { setOwn } from './draft.ts';
import {
  bestIndex,
  describeIndex,
  indexRows,
  indexesOf,
  isUsable,
  prefixOf,
} from './mango-indexes.ts';
import type { MangoIndex } from './mango-indexes.ts';
import { matcherOf } from './mango-match.ts';
import { validated } from './mango-options.ts';
import type { SortKey } from './mango-options.ts';
import { EMPTY_RANGE, fieldRanges } from './mango-ranges.ts';
import type { FieldRange } from './mango-ranges.ts';
import { fieldsOf, indexableFields, normalize, requireCheckable } from './mango-selector.ts';
import type { Normal } from './mango-selector.ts';
import { toDocument } from './reads.ts';
import type { JsonDocument } from './reads.ts';

/** A query with the index that answers it. */
interface Plan {
  readonly selector: object;
  readonly normal: Normal;
  readonly options: Readonly<Record<string, unknown>>;
  readonly sort: readonly SortKey[];
  readonly useIndex: readonly string[];
  readonly index: MangoIndex | undefined;
  readonly prefix: readonly FieldRange[];
}

const noIndex = (where: string): Refusal =>
  new Refusal(
    400,
    'no_usable_index',
    `No ${where}index exists for this sort, try indexing by the sort fields.`,
  );

function plan(db: MemoryDatabase, body: unknown, kind: 'find' | 'explain'): Plan {
  const options = validated(body, 'find');
  const { selector, sort = [], use_index: wanted = [], partition } = options;
  const normal = normalize(selector);
  const sortKeys = sort as readonly SortKey[];
  const useIndex = wanted as readonly string[];
  const existing = indexesOf(db);
  const ofUser = useIndex.length === 0 ? [] : existing.filter((index) => isNamed(index, useIndex));
  const inScope = existing
    .filter((index) => index.partial === undefined || ofUser.includes(index))
    .filter((index) => index.ddoc === null || index.partitioned === (partition !== undefined));
  // CouchDB looks for a text search in the selector, for each index.
  if (inScope.some(({ ddoc }) => ddoc !== null)) requireCheckable(normal);
  const fields = sortKeys.map(([field]) => field);
  const usable = inScope.filter((index) => isUsable(index, normal, fields));
  if (usable.length === 0 && kind === 'find')
    throw noIndex(!db.partitioned ? '' : partition === undefined ? 'global ' : 'partitioned ');
  const named = useIndex.length === 0 ? [] : usable.filter((index) => isNamed(index, useIndex));
  const mayFallBack =
    options['allow_fallback'] !== false || (useIndex.length === 0 && usable.length > 1);
  if (named.length === 0 && !mayFallBack) throw invalidIndex(useIndex);
  const candidates = named.length === 0 ? usable : named;
  const ranges = fieldRanges(normal);
  const index = bestIndex(candidates, ranges);
  const prefix = index === undefined ? [] : prefixOf(index, ranges);
  return { selector: selector as object, normal, options, sort: sortKeys, useIndex, index, prefix };
}

function isNamed(index: MangoIndex, [ddoc, name]: readonly string[]): boolean {
  const id = ddoc?.startsWith('_design/') === true ? ddoc : `_design/${ddoc}`;
  return index.ddoc === id && (name === undefined || index.name === name);
}

function bareName(ddoc: string | undefined): string {
  return (ddoc ?? '').replace(/^_design\//, '');
}

function invalidIndex([ddoc, name]: readonly string[]): Refusal {
  if (ddoc === undefined)
    return new Refusal(
      400,
      'invalid_index',
      'You must specify an index with the `use_index` parameter.',
    );
  const names = `_design/${bareName(ddoc)}${name === undefined ? '' : `, ${name}`}`;
  return new Refusal(
    400,
    'invalid_index',
    `${names} specified by \`use_index\` could not be found or it is not suitable.`,
  );
}

/** Finds documents with a selector: `_find`. They have the order of the index that CouchDB would use. */
export function find(db: MemoryDatabase, body: unknown): Reply {
  const chosen = plan(db, body, 'find');
  const { selector, normal, options, sort, index, prefix } = chosen;
  const { limit = 25, skip = 0, fields = [], bookmark, conflicts = false, partition } = options;
  if (index === undefined || isNoQuery(normal, prefix)) return json(200, { docs: [] });
  const rows = indexRows(db, index, prefix).filter(
    ({ id }) => partition === undefined || id.startsWith(`${String(partition)}:`),
  );
  const isReversed = sort[0]?.[1] === 'desc';
  const ordered = isReversed ? [...rows].reverse() : rows;
  const start = afterBookmark(ordered, bookmark, isReversed ? -1 : 1);
  const matches = matcherOf(selector);
  let toSkip = (skip as number) + (start.isContinued ? 1 : 0);
  let examined = 0;
  let last: { readonly id: string; readonly key: unknown } | undefined;
  const docs: JsonDocument[] = [];
  for (const row of ordered.slice(start.index)) {
    const winner = db.find(row.id);
    if (winner === undefined) continue;
    examined += 1;
    const doc = toDocument(db, row.id, winner, { conflicts: conflicts === true });
    if (!matches(doc) || row.id.startsWith('_design/')) continue;
    if (docs.length >= (limit as number)) break;
    last = row;
    if (toSkip > 0) toSkip -= 1;
    else docs.push(doc);
  }
  const found = fields as readonly string[];
  const warning = warningOf(chosen, examined, docs.length);
  return json(200, {
    docs: found.length === 0 ? docs : docs.map((doc) => pick(doc, found)),
    bookmark: last === undefined ? (bookmark === '' ? null : (bookmark ?? 'nil')) : encode(last),
    ...(options['execution_stats'] === true && {
      execution_stats: {
        total_keys_examined: examined,
        total_docs_examined: examined,
        total_quorum_docs_examined: 0,
        results_returned: docs.length,
        execution_time_ms: 0,
      },
    }),
    ...(warning !== '' && { warning }),
  });
}

/** CouchDB asks no index if the conditions contradict each other, or if there is an empty combination. */
function isNoQuery(normal: Normal, prefix: readonly FieldRange[]): boolean {
  const [[operator, operand] = ['', undefined]] = Object.entries(normal);
  const isEmptyList = Array.isArray(operand) && operand.length === 0;
  if (['$all', '$and', '$or', '$in'].includes(operator) && isEmptyList) return true;
  return prefix.length === 1 && prefix[0]?.[1] === EMPTY_RANGE;
}

interface IndexPosition {
  readonly id: string;
  readonly key: unknown;
}

function encode({ id, key }: IndexPosition): string {
  return btoa(encodeURIComponent(JSON.stringify([id, key])));
}

/** In Erlang, all other types come before strings. */
function compareIds(id: string, key: unknown): number {
  return typeof key === 'string' ? byId(id, key) : 1;
}

/** Returns where a page begins: at the last document of the one before, which is skipped. */
function afterBookmark(
  rows: readonly IndexPosition[],
  bookmark: unknown,
  sign: 1 | -1,
): { readonly index: number; readonly isContinued: boolean } {
  if (bookmark === undefined || bookmark === null || bookmark === '')
    return { index: 0, isContinued: false };
  try {
    const [id, key] = JSON.parse(decodeURIComponent(atob(String(bookmark)))) as [string, unknown];
    const index = rows.findIndex((row) => {
      // A bookmark of another index has a key of another type.
      const order = typeof row.key === 'string' ? compareIds(row.key, key) : collate(row.key, key);
      return (order * sign || byId(row.id, id) * sign) >= 0;
    });
    return { index: index === -1 ? rows.length : index, isContinued: true };
  } catch {
    throw new Refusal(
      400,
      'invalid_bookmark',
      `Invalid bookmark value: ${JSON.stringify(bookmark)}`,
    );
  }
}

function warningOf({ index, useIndex }: Plan, examined: number, returned: number): string {
  const warnings: string[] = [];
  const [ddoc, name] = useIndex;
  if (ddoc !== undefined && index !== undefined && !isNamed(index, useIndex))
    warnings.push(
      `_design/${bareName(ddoc)}${name === undefined ? '' : `, ${name}`} was not used because ` +
        `${name === undefined ? 'it does not contain' : 'it is not'} a valid index for this query.`,
    );
  if (index?.ddoc === null)
    warnings.push('No matching index found, create an index to optimize query time.');
  if (examined / Math.max(1, returned) > 10)
    warnings.push(
      'The number of documents examined is high in proportion to the number of results returned. ' +
        'Consider adding a more specific index to improve this.',
    );
  return warnings.join('\n');
}

function pick(doc: JsonDocument, fields: readonly string[]): object {
  const picked: Record<string, unknown> = {};
  for (const field of fields) {
    const value = readField(doc, field);
    if (value !== undefined) setField(picked, stepsOf(field), value);
  }
  return picked;
}

/** Sets a field below its path, as in the document: `address.city` sets `city` of `address`. */
function setField(target: object, [name = '', ...rest]: readonly string[], value: unknown): void {
  const present: unknown = Object.hasOwn(target, name) ? (target as never)[name] : undefined;
  if (rest.length === 0) setOwn(target, name, value);
  else if (present === undefined) {
    const nested = {};
    setField(nested, rest, value);
    setOwn(target, name, nested);
  } else if (isRecord(present)) {
    const nested = { ...present };
    setField(nested, rest, value);
    setOwn(target, name, nested);
  }
}

/** Describes the part of an index that a query reads, as `_explain` does. */
function keyRange(
  index: MangoIndex,
  prefix: readonly FieldRange[],
  sort: readonly SortKey[],
  isEmpty: boolean,
): object {
  const isReversed = sort[0]?.[1] === 'desc';
  const ranges = prefix.map(([, range]) => (range === EMPTY_RANGE ? undefined : range));
  const [first] = ranges;
  const low: unknown[] = [];
  for (const range of ranges) {
    if (range?.low === undefined) break;
    low.push(range.low);
  }
  const high: unknown[] = [];
  for (const range of ranges) {
    if (range?.high === undefined) break;
    high.push(range.high);
  }
  const isAll = index.ddoc === null;
  const start = isEmpty
    ? null
    : isAll
      ? first?.low === undefined
        ? prefix.length === 0
          ? null
          : ''
        : first.low
      : low;
  const isExact =
    high.length === prefix.length && high.length > 0 && ranges.at(-1)?.includesHigh === true;
  const end = isEmpty
    ? null
    : isAll
      ? (first?.high ?? '<MAX>')
      : isExact
        ? [...high, '<MAX>']
        : [...high, '<MAX>'];
  return {
    start_key: isReversed ? end : start,
    end_key: isReversed ? start : end,
    direction: isReversed ? 'rev' : 'fwd',
  };
}

/** Tells how a query would be answered: `_explain`. */
export function explain(db: MemoryDatabase, body: unknown): Reply {
  const { normal, options, sort, index, prefix, useIndex } = plan(db, body, 'explain');
  const { limit = 25, skip = 0, fields = [], bookmark, ...rest } = options;
  const indexable = new Set(indexableFields(normal));
  const unindexable = [...new Set(fieldsOf(normal))].filter((field) => !indexable.has(field));
  const isCovering =
    index !== undefined &&
    index.ddoc !== null &&
    (fields as readonly string[]).length > 0 &&
    [...(fields as readonly string[]), ...fieldsOf(normal)].every(
      (field) => field === '_id' || index.fields.some(([column]) => column === field),
    );
  return json(200, {
    dbname: db.name,
    index: index === undefined ? null : describeIndex(index),
    partitioned: db.partitioned,
    selector: normal,
    opts: {
      use_index: useIndex,
      bookmark: bookmark === undefined || bookmark === '' || bookmark === null ? 'nil' : bookmark,
      limit,
      skip,
      sort: Object.fromEntries(sort),
      fields,
      partition: rest['partition'] ?? '',
      r: rest['r'] ?? 1,
      conflicts: rest['conflicts'] ?? false,
      stale: rest['stale'] ?? false,
      update: rest['update'] ?? true,
      stable: rest['stable'] ?? false,
      execution_stats: rest['execution_stats'] ?? false,
      allow_fallback: rest['allow_fallback'] ?? true,
    },
    limit,
    skip,
    fields,
    ...(index !== undefined && {
      mrargs: {
        include_docs: !isCovering && (rest['r'] ?? 1) === 1,
        view_type: 'map',
        reduce: false,
        partition: rest['partition'] ?? null,
        ...keyRange(index, prefix, sort, isNoQuery(normal, prefix)),
        stable: rest['stable'] ?? false,
        update: rest['update'] ?? true,
        conflicts: rest['conflicts'] === true ? true : 'undefined',
      },
      covering: isCovering,
    }),
    selector_hints: [
      {
        type: 'json',
        indexable_fields: [...indexable].sort(),
        unindexable_fields: unindexable.sort(),
      },
    ],
  });
}
