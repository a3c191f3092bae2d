import { byId } from '../model/document.ts';
import { isNumeric } from '../model/json.ts';

/** Returns whether a text is ASCII. The order of other characters depends on the collation. */
export function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/** Sorts ASCII strings as CouchDB does: every browser has the same root collation for them. */
const collator = new Intl.Collator('en', { usage: 'sort' });

/**
 * Compares two JSON values as CouchDB does: null, false, true, numbers, strings, arrays, objects.
 *
 * Returns undefined if only CouchDB can decide the order: for strings beyond ASCII, and for objects with
 * numbers as names.
 *
 * @param byBytes - Whether to compare strings by their bytes, as CouchDB compares ids.
 */
export function compareJson(a: unknown, b: unknown, byBytes = false): number | undefined {
  if (a === b) return 0;
  const byType = typeRank(a) - typeRank(b);
  if (byType !== 0) return byType;
  if (isNumeric(a) && isNumeric(b)) return a < b ? -1 : Number(a > b);
  if (typeof a === 'string') return compareStrings(a, b as string, byBytes);
  if (Array.isArray(a)) return compareLists(a, b as readonly unknown[]);
  const [left, right] = [flatEntries(a as object), flatEntries(b as object)];
  return left && right && compareLists(left, right);
}

function typeRank(value: unknown): number {
  if (value === null) return 0;
  if (value === false) return 1;
  if (value === true) return 2;
  if (isNumeric(value)) return 3;
  if (typeof value === 'string') return 4;
  return Array.isArray(value) ? 5 : 6;
}

function compareStrings(a: string, b: string, byBytes: boolean): number | undefined {
  if (byBytes) return byId(a, b);
  return isAscii(a) && isAscii(b) ? collator.compare(a, b) : undefined;
}

function compareLists(a: readonly unknown[], b: readonly unknown[]): number | undefined {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compareJson(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/**
 * Returns the names and values of an object in their order, which CouchDB compares. Returns undefined if a
 * name is a number: JavaScript moves those to the front.
 */
function flatEntries(object: object): readonly unknown[] | undefined {
  const names = Object.keys(object);
  if (names.some((name) => /^\d+$/.test(name))) return undefined;
  return names.flatMap((name) => [name, (object as Readonly<Record<string, unknown>>)[name]]);
}
