import { collate, fieldOf, isRecord, matches } from './matcher.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { present } from './memory-documents.ts';
import { readSort } from './memory-indexes.ts';
import { Refusal, badRequest, json } from './reply.ts';
import type { Reply } from './reply.ts';

type Doc = Readonly<Record<string, unknown>>;

/** Finds documents by a selector: `_find`. To sort takes an index, which has only
 * the documents that have its fields. */
export function find(db: MemoryDatabase, body: unknown): Reply {
  if (!isRecord(body)) throw badRequest('Request body must be a JSON object');
  const { selector, sort = [], limit = 25, skip = 0, fields, bookmark } = body;
  if (!isRecord(selector))
    throw new Refusal(400, 'missing_required_key', 'Missing required key: selector');
  const keys = (sort as readonly unknown[]).map(readSort);
  const columns = keys.length === 0 ? [] : db.indexes.forSort(keys, selector);
  if (columns === null)
    throw new Refusal(
      400,
      'no_usable_index',
      'No index exists for this sort, try indexing by the sort fields.',
    );
  const found = db.ids
    .filter((id) => !id.startsWith('_design/'))
    .flatMap((id) => {
      const tree = db.tree(id);
      return tree === undefined ? [] : [present(db, id, tree.winner, {})];
    })
    .filter((doc) => matches(selector, doc))
    .filter((doc) => columns.every((field) => fieldOf(doc, field) !== undefined))
    .sort(bySort(keys));
  // A bookmark is how many documents came before the page.
  const begin = Number(/^memory-(\d+)$/.exec(String(bookmark))?.[1] ?? skip);
  const docs = found.slice(begin, begin + Number(limit));
  const next = docs.length === 0 ? 'nil' : `memory-${begin + docs.length}`;
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
    if (value !== undefined) place(picked, field.split('.'), value);
  }
  return picked;
}

/** Puts a field where it was: `address.city` is the city of an address again. */
function place(into: Record<string, unknown>, names: readonly string[], value: unknown): void {
  const [name = '', ...rest] = names;
  if (rest.length === 0) {
    into[name] = value;
    return;
  }
  const below = isRecord(into[name]) ? { ...into[name] } : {};
  into[name] = below;
  place(below, rest, value);
}
