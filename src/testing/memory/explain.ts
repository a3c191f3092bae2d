import { json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { describeIndex } from './mango-choice.ts';
import type { MangoIndex } from './mango-choice.ts';
import type { SortKey } from './mango-options.ts';
import { isNoQuery, plan } from './mango-plan.ts';
import { EMPTY_RANGE } from './mango-ranges.ts';
import type { FieldRange } from './mango-ranges.ts';
import { fieldsOf, indexableFields } from './mango-selector.ts';

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
