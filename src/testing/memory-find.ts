import { collate, fieldOf, isRecord, matches } from './matcher.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { toDocument } from './memory-documents.ts';
import { readSort } from './memory-indexes.ts';
import { Refusal, badRequest, json } from './reply.ts';
import type { Reply } from './reply.ts';

type Doc = Readonly<Record<string, unknown>>;

/**
 * Finds documents with a selector: `_find`. A sort needs an index, which only contains documents
 * with its fields.
 */
export function find(db: MemoryDatabase, body: unknown): Reply {
  if (!isRecord(body)) throw badRequest('Request body must be a JSON object');
  const { selector, sort = [], limit = 25, skip = 0, fields, bookmark } = body;
  if (!isRecord(selector))
    throw new Refusal(400, 'missing_required_key', 'Missing required key: selector');
  const keys = (sort as readonly unknown[]).map(readSort);
  const indexFields = keys.length === 0 ? [] : db.indexes.forSort(keys, selector);
  if (indexFields === null)
    throw new Refusal(
      400,
      'no_usable_index',
      'No index exists for this sort, try indexing by the sort fields.',
    );
  const found = db.ids
    .filter((id) => !id.startsWith('_design/'))
    .flatMap((id) => {
      const tree = db.tree(id);
      return tree === undefined ? [] : [toDocument(db, id, tree.winner, {})];
    })
    .filter((doc) => matches(selector, doc))
    .filter((doc) => indexFields.every((field) => fieldOf(doc, field) !== undefined))
    .sort(bySort(keys));
  // A bookmark contains the number of documents before the page.
  const start = Number(/^memory-(\d+)$/.exec(String(bookmark))?.[1] ?? skip);
  const docs = found.slice(start, start + Number(limit));
  const next = docs.length === 0 ? 'nil' : `memory-${start + docs.length}`;
  return json(200, {
    docs: Array.isArray(fields) ? docs.map((doc) => pick(doc, fields as string[])) : docs,
    bookmark: next,
  });
}

function bySort(keys: readonly (readonly [string, string])[]): (a: Doc, b: Doc) => number {
  return (a, b) => {
    for (const [field, direction] of keys) {
      const difference = collate(fieldOf(a, field), fieldOf(b, field));
      if (difference !== 0) return direction === 'desc' ? -difference : difference;
    }
    return 0;
  };
}

function pick(doc: Doc, fields: readonly string[]): Doc {
  const picked: Record<string, unknown> = {};
  for (const field of fields) {
    const value = fieldOf(doc, field);
    if (value !== undefined) setField(picked, field.split('.'), value);
  }
  return picked;
}

/** Sets a field below its path, as in the document: `address.city` sets `city` of `address`. */
function setField(target: Record<string, unknown>, names: readonly string[], value: unknown): void {
  const [name = '', ...rest] = names;
  if (rest.length === 0) {
    target[name] = value;
    return;
  }
  const nested = isRecord(target[name]) ? { ...target[name] } : {};
  target[name] = nested;
  setField(nested, rest, value);
}
