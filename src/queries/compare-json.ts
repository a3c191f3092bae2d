import { byId } from '../model/document.ts';

/** Beyond ASCII, which characters are equal and which come first is a matter of language. */
export function isPlain(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/** The order of CouchDB's strings; of plain ones it is that of every browser's root collation. */
const collator = new Intl.Collator('en', { usage: 'sort' });

/**
 * Compares two JSON values as CouchDB does: null, false, true, numbers, strings, lists, objects.
 * Undefined where it cannot be told here whether they are equal.
 *
 * @param raw - Whether strings are compared by their bytes, as ids are.
 */
export function compareJson(a: unknown, b: unknown, raw = false): number | undefined {
  if (a === b) return 0;
  const kinds = rank(a) - rank(b);
  if (kinds !== 0) return kinds;
  if (typeof a === 'number') return a - (b as number);
  if (typeof a === 'string') return compareStrings(a, b as string, raw);
  if (Array.isArray(a)) return compareLists(a, b as readonly unknown[]);
  const [left, right] = [flat(a as object), flat(b as object)];
  return left && right && compareLists(left, right);
}

function rank(value: unknown): number {
  if (value === null) return 0;
  if (value === false) return 1;
  if (value === true) return 2;
  if (typeof value === 'number') return 3;
  if (typeof value === 'string') return 4;
  return Array.isArray(value) ? 5 : 6;
}

function compareStrings(a: string, b: string, raw: boolean): number | undefined {
  if (raw) return byId(a, b);
  return isPlain(a) && isPlain(b) ? collator.compare(a, b) : undefined;
}

function compareLists(a: readonly unknown[], b: readonly unknown[]): number | undefined {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compareJson(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** An object as what it is compared by, in its own order, which JavaScript keeps but for numbers. */
function flat(of: object): readonly unknown[] | undefined {
  const names = Object.keys(of);
  if (names.some((name) => /^\d+$/.test(name))) return undefined;
  return names.flatMap((name) => [name, (of as Readonly<Record<string, unknown>>)[name]]);
}
