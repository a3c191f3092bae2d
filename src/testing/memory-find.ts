import { readField } from '../queries/fields.ts';
import { compileSelector } from '../queries/matcher.ts';
import { isNumeric } from '../model/json.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { toDocument } from './memory-documents.ts';
import { readSort } from './memory-indexes.ts';
import { Refusal, badRequest, isRecord, json, toText } from './reply.ts';
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
    .filter((doc) => indexFields.every((field) => readField(doc, field) !== undefined))
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
      const difference = collate(readField(a, field), readField(b, field));
      if (difference !== 0) return direction === 'desc' ? -difference : difference;
    }
    return 0;
  };
}

function pick(doc: Doc, fields: readonly string[]): Doc {
  const picked: Record<string, unknown> = {};
  for (const field of fields) {
    const value = readField(doc, field);
    if (value !== undefined) setField(picked, field.split('.'), value);
  }
  return picked;
}

/** Sets a field below its path, as in the document: `address.city` sets `city` of `address`. */
function setField(target: Record<string, unknown>, names: readonly string[], value: unknown): void {
  const [name = '', ...rest] = names;
  const present = Object.hasOwn(target, name) ? target[name] : undefined;
  const nested = isRecord(present) ? { ...present } : {};
  if (rest.length > 0) setField(nested, rest, value);
  // A plain assignment to `__proto__` would set the prototype.
  const own = { value: rest.length === 0 ? value : nested, enumerable: true, configurable: true };
  Object.defineProperty(target, name, { ...own, writable: true });
}

/**
 * Orders JSON values as CouchDB's Mango does: null, false, true, numbers, strings, arrays, objects.
 * Strings are ordered by code units; CouchDB uses ICU.
 */
function collate(a: unknown, b: unknown): number {
  const rank = rankOf(a) - rankOf(b);
  if (rank !== 0) return rank;
  if (isNumeric(a) && isNumeric(b)) return a < b ? -1 : Number(a > b);
  if (typeof a === 'string' && typeof b === 'string') return a === b ? 0 : a < b ? -1 : 1;
  if (Array.isArray(a) && Array.isArray(b)) return collateLists(a, b);
  if (isRecord(a) && isRecord(b)) {
    return collateLists(Object.entries(a).flat(), Object.entries(b).flat());
  }
  return 0;
}

function collateLists(a: readonly unknown[], b: readonly unknown[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = collate(a[i], b[i]);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function rankOf(value: unknown): number {
  if (value === null || value === undefined) return 0;
  if (value === false) return 1;
  if (value === true) return 2;
  if (typeof value === 'number' || typeof value === 'bigint') return 3;
  if (typeof value === 'string') return 4;
  return Array.isArray(value) ? 5 : 6;
}

/** Returns whether a document matches a Mango selector. */
type Matcher = (selector: object, doc: object) => boolean;

/**
 * Matches as `_find` does, with the matcher of live queries. Throws a `Refusal` for an unknown
 * operator, and for a selector that only CouchDB can evaluate.
 */
export const matches: Matcher = (selector, doc) => {
  const verdict = compileSelector(selector)(doc as Record<string, unknown>);
  if (verdict !== undefined) return verdict;
  const unknown = unknownOperator(selector);
  if (unknown !== undefined) {
    throw new Refusal(400, 'invalid_operator', `Invalid operator: ${unknown}`);
  }
  const text = toText(selector);
  throw new Refusal(
    501,
    'not_implemented',
    `the in-memory server of corduroy/testing cannot evaluate the selector ${text} ` +
      `for ${toText(doc)}; test it on a CouchDB`,
  );
};

const OPERATORS =
  /^\$(?:and|or|nor|not|eq|ne|gte?|lte?|in|nin|exists|type|size|mod|regex|beginsWith|all|elemMatch|allMatch|keyMapMatch|text)$/;

function unknownOperator(selector: unknown): string | undefined {
  if (typeof selector !== 'object' || selector === null) return undefined;
  for (const [name, operand] of Object.entries(selector)) {
    if (name.startsWith('$') && !OPERATORS.test(name)) return name;
    const inner = unknownOperator(operand);
    if (inner !== undefined) return inner;
  }
  return undefined;
}
