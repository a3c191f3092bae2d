import { byId } from './document.ts';
import { isNumeric } from './json.ts';

/**
 * Returns whether the order of a text is the same in all versions of ICU: its characters are ASCII, or
 * letters of the Latin, Greek and Cyrillic scripts, kana or hangul, without separate accents. Versions order
 * ideographs, symbols and typographic quotes in different ways.
 */
export function isPortable(text: string): boolean {
  return /^[\x20-\x7e\u00a0-\u024f\u0370-\u0482\u048a-\u04ff\u1e00-\u1eff\u3041-\u3096\u30a1-\u30fa\uac00-\ud7a3]*$/.test(
    text,
  );
}

/** Created at the first comparison, because that takes milliseconds. */
let collator: Intl.Collator | undefined;

/** Compares texts by the root collation of ICU, which the locale `en` does not change. */
function compareText(a: string, b: string): number {
  collator ??= new Intl.Collator('en', { usage: 'sort' });
  return collator.compare(a, b);
}

/**
 * Compares two JSON values as CouchDB does: null, false, true, numbers, strings, arrays, objects.
 *
 * Returns undefined if only CouchDB can decide the order: for strings whose order depends on the version of
 * ICU, and for objects with numbers as names.
 *
 * @param byBytes - Whether to compare strings by their bytes, as CouchDB compares ids.
 */
export function compareJson(a: unknown, b: unknown, byBytes = false): number | undefined {
  return compare(a, b, (left, right) => {
    if (byBytes) return byId(left, right);
    return isPortable(left) && isPortable(right) ? compareText(left, right) : undefined;
  });
}

/** Compares two JSON values as {@link compareJson} does, with the ICU of this platform for all strings. */
export function collate(a: unknown, b: unknown): number {
  return compare(a, b, compareText) ?? 0;
}

type Compare = (a: string, b: string) => number | undefined;

function compare(a: unknown, b: unknown, strings: Compare): number | undefined {
  if (a === b) return 0;
  const byType = typeRank(a) - typeRank(b);
  if (byType !== 0) return byType;
  if (isNumeric(a) && isNumeric(b)) return a < b ? -1 : Number(a > b);
  if (typeof a === 'string') return strings(a, b as string);
  if (Array.isArray(a)) return compareLists(a, b as readonly unknown[], strings);
  const [left, right] = [flatEntries(a as object), flatEntries(b as object)];
  return left && right && compareLists(left, right, strings);
}

function typeRank(value: unknown): number {
  if (value === null) return 0;
  if (value === false) return 1;
  if (value === true) return 2;
  if (isNumeric(value)) return 3;
  if (typeof value === 'string') return 4;
  return Array.isArray(value) ? 5 : 6;
}

function compareLists(
  a: readonly unknown[],
  b: readonly unknown[],
  strings: Compare,
): number | undefined {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compare(a[i], b[i], strings);
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
