import { Refusal } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { bestIndex, indexesOf, isUsable, prefixOf } from './mango-choice.ts';
import type { MangoIndex } from './mango-choice.ts';
import { validated } from './mango-options.ts';
import type { SortKey } from './mango-options.ts';
import { EMPTY_RANGE, fieldRanges } from './mango-ranges.ts';
import type { FieldRange } from './mango-ranges.ts';
import { normalize, requireCheckable } from './mango-selector.ts';
import type { Normal } from './mango-selector.ts';

/** A query with the index that answers it. */
export interface Plan {
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

/** Chooses the index for a query. */
export function plan(db: MemoryDatabase, body: unknown, kind: 'find' | 'explain'): Plan {
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

export function isNamed(index: MangoIndex, [ddoc, name]: readonly string[]): boolean {
  const id = ddoc?.startsWith('_design/') === true ? ddoc : `_design/${ddoc}`;
  return index.ddoc === id && (name === undefined || index.name === name);
}

export function bareName(ddoc: string | undefined): string {
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

/** CouchDB asks no index if the conditions contradict each other, or if there is an empty combination. */
export function isNoQuery(normal: Normal, prefix: readonly FieldRange[]): boolean {
  const [[operator, operand] = ['', undefined]] = Object.entries(normal);
  const isEmptyList = Array.isArray(operand) && operand.length === 0;
  if (['$all', '$and', '$or', '$in'].includes(operator) && isEmptyList) return true;
  return prefix.length === 1 && prefix[0]?.[1] === EMPTY_RANGE;
}
