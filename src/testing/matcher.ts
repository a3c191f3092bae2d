import { compileSelector, readField } from '../queries/matcher.ts';
import { Refusal } from './reply.ts';

/**
 * Orders JSON values as CouchDB's Mango does: null, false, true, numbers, strings, arrays, objects.
 * Strings are ordered by code units; CouchDB uses ICU.
 */
export function collate(a: unknown, b: unknown): number {
  const rank = rankOf(a) - rankOf(b);
  if (rank !== 0) return rank;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return a === b ? 0 : a < b ? -1 : 1;
  if (Array.isArray(a) && Array.isArray(b)) return collateLists(a, b);
  if (isRecord(a) && isRecord(b)) {
    return collateLists(Object.entries(a).flat(), Object.entries(b).flat());
  }
  return 0;
}

/** Returns whether a value is an object, and neither null nor an array. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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
  if (typeof value === 'number') return 3;
  if (typeof value === 'string') return 4;
  return Array.isArray(value) ? 5 : 6;
}

/** Returns whether a document matches a Mango selector. */
export type Matcher = (selector: object, doc: object) => boolean;

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
  const text = JSON.stringify(selector);
  throw new Refusal(
    501,
    'not_implemented',
    `the in-memory server of corduroy/testing cannot evaluate the selector ${text} ` +
      `for ${JSON.stringify(doc)}; test it on a CouchDB`,
  );
};

export { readField as fieldOf };

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
