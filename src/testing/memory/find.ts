import { collate } from '../../model/collation.ts';
import { byId } from '../../model/document.ts';
import { readField, stepsOf } from '../../queries/fields.ts';
import { Refusal, isRecord, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { setOwn } from './draft.ts';
import { indexRows } from './mango-choice.ts';
import { matcherOf } from './mango-match.ts';
import { bareName, isNamed, isNoQuery, plan } from './mango-plan.ts';
import type { Plan } from './mango-plan.ts';
import { backwards } from './parameters.ts';
import { toDocument } from './reads.ts';
import type { JsonDocument } from './reads.ts';

/** Finds documents with a selector: `_find`. They have the order of the index that CouchDB would use. */
export function find(db: MemoryDatabase, body: unknown): Reply {
  const chosen = plan(db, body, 'find');
  const { selector, normal, options, sort, index, prefix } = chosen;
  const { limit = 25, skip = 0, fields = [], bookmark, conflicts = false, partition } = options;
  if (index === undefined || isNoQuery(normal, prefix)) return json(200, { docs: [] });
  const rows = indexRows(db, index, prefix).filter(
    ({ id }) => partition === undefined || id.startsWith(`${partition as string}:`),
  );
  const isReversed = sort[0]?.[1] === 'desc';
  const ordered = isReversed ? backwards(rows) : rows;
  const start = afterBookmark(ordered, bookmark, isReversed ? -1 : 1);
  const matches = matcherOf(selector);
  let toSkip = skip as number;
  // The index skips the last document of the page before. It counts design documents, too.
  let isBookmarked = start.isContinued;
  let examined = 0;
  let last: { readonly id: string; readonly key: unknown } | undefined;
  const docs: JsonDocument[] = [];
  for (const row of ordered.slice(start.index)) {
    const winner = db.find(row.id);
    if (winner === undefined) continue;
    // In a partition, it skips the first document, also one that does not match.
    if (isBookmarked && partition !== undefined) {
      isBookmarked = false;
      continue;
    }
    examined += 1;
    const doc = toDocument(db, row.id, winner, { conflicts: conflicts === true });
    if (!matches(doc)) continue;
    if (isBookmarked) {
      isBookmarked = false;
      continue;
    }
    if (row.id.startsWith('_design/')) continue;
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
    const [id, key] = JSON.parse(decodeURIComponent(atob(bookmark as string))) as [string, unknown];
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
