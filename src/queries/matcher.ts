import type { AnyFields } from '../model/document.ts';
import { compareJson, isAscii } from '../model/json.ts';

/** A missing field: only `{ $exists: false }` matches it. */
export const MISSING: unique symbol = Symbol('missing');

/** A field of a value that has no fields: no condition matches it. */
export const UNREACHABLE: unique symbol = Symbol('unreachable');

/** Reads a field by its path, such as `'address.city'`. Returns undefined if it is missing. */
export function readField(doc: unknown, path: string): unknown {
  const value = readSteps(doc, stepsOf(path));
  return value === MISSING || value === UNREACHABLE ? undefined : value;
}

/** Reads a field by the steps of its path. In an array, a step is the index of an element. */
function readSteps(value: unknown, path: readonly string[]): unknown {
  let current = value;
  for (const step of path) {
    if (Array.isArray(current)) {
      if (!/^\+?\d+$/.test(step) || Number(step) >= current.length) return UNREACHABLE;
      current = current[Number(step)];
    } else if (isPlainObject(current)) {
      if (!Object.hasOwn(current, step)) return MISSING;
      current = current[step];
    } else {
      return UNREACHABLE;
    }
  }
  return current;
}

/** Splits a path into steps: `a.b` has two, `a\.b` one. */
function stepsOf(path: string): readonly string[] {
  const escaped: readonly string[] = path.match(/(?:\\.|[^\\.])+/g) ?? [];
  return escaped.map((step) => step.replace(/\\([.$])/g, '$1'));
}

/** Returns whether a value is an object, and neither an array nor null. */
function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Whether a document matches. `undefined` means that only CouchDB can decide: for text searches, most
 * regular expressions, unknown operators, and the order of strings beyond ASCII.
 */
export type Verdict = boolean | undefined;

/** Negates a verdict. */
function not(verdict: Verdict): Verdict {
  return verdict === undefined ? undefined : !verdict;
}

/** Returns whether all items match: false if one does not match, even if others are undecided. */
function every<Item>(items: readonly Item[], match: (item: Item) => Verdict): Verdict {
  return not(some(items, (item) => not(match(item))));
}

/** Returns whether at least one item matches: true if one matches, even if others are undecided. */
function some<Item>(items: readonly Item[], match: (item: Item) => Verdict): Verdict {
  let decided = true;
  for (const item of items) {
    const verdict = match(item);
    if (verdict === true) return true;
    if (verdict === undefined) decided = false;
  }
  return decided ? false : undefined;
}

/** Decides whether a value matches. */
type Matcher = (value: unknown) => Verdict;

/**
 * Compiles a Mango selector to a function that decides whether a document matches it.
 *
 * It moves negations inwards, as CouchDB does: a condition on a missing field fails, negated or not.
 */
export function compileSelector(selector: object): (doc: AnyFields) => Verdict {
  return compile(selector, [], false, true);
}

function compile(
  condition: unknown,
  path: readonly string[],
  negated: boolean,
  root = false,
): Matcher {
  if (!isPlainObject(condition)) return onField(path, compare('$eq', condition), negated);
  const entries = Object.entries(condition);
  if (entries.length === 0) {
    if (root) return () => true;
    return path.length > 0 ? onField(path, compare('$eq', condition), negated) : undecided;
  }
  const parts = entries.map(([name, operand]) => compileEntry(name, operand, path, negated));
  return parts.length === 1 ? (parts[0] as Matcher) : negated ? any(parts) : all(parts);
}

function compileEntry(
  name: string,
  operand: unknown,
  path: readonly string[],
  negated: boolean,
): Matcher {
  if (!name.startsWith('$')) return compile(operand, [...path, ...stepsOf(name)], negated);
  const compileEach = (negate: boolean): Matcher[] | null =>
    Array.isArray(operand) ? operand.map((part: unknown) => compile(part, path, negate)) : null;
  switch (name) {
    case '$and': {
      const parts = compileEach(negated);
      return parts === null ? undecided : negated ? any(parts) : all(parts);
    }
    case '$or': {
      const parts = compileEach(negated);
      return parts === null ? undecided : negated ? all(parts) : any(parts);
    }
    case '$nor': {
      const parts = compileEach(!negated);
      return parts === null ? undecided : negated ? any(parts) : all(parts);
    }
    case '$not':
      return isPlainObject(operand) ? compile(operand, path, !negated) : undecided;
    case '$exists':
      return exists(path, operand === negated);
    default:
      return compileOperator(name, operand, path, negated);
  }
}

/** Matches documents with or without a field. A negation exchanges the two. */
function exists(path: readonly string[], absent: boolean): Matcher {
  return (doc) => {
    const value = readSteps(doc, path);
    return value !== UNREACHABLE && (value === MISSING) === absent;
  };
}

const OPPOSITE: Readonly<Record<string, string>> = {
  $lt: '$gte',
  $lte: '$gt',
  $eq: '$ne',
  $ne: '$eq',
  $gte: '$lt',
  $gt: '$lte',
};

function compileOperator(
  name: string,
  operand: unknown,
  path: readonly string[],
  negated: boolean,
): Matcher {
  const opposite = OPPOSITE[name];
  if (opposite !== undefined)
    return onField(path, compare(negated ? opposite : name, operand, path), false);
  const condition = CONDITIONS[name]?.(operand);
  return condition === undefined ? undecided : onField(path, condition, negated);
}

/** Matches a field against a condition. A missing field fails, and fails the negated condition too. */
function onField(path: readonly string[], condition: Matcher, negated: boolean): Matcher {
  return (doc) => {
    const value = readSteps(doc, path);
    if (value === MISSING || value === UNREACHABLE) return false;
    return negated ? not(condition(value)) : condition(value);
  };
}

function compare(name: string, operand: unknown, path: readonly string[] = []): Matcher {
  // CouchDB compares ids by their bytes, and other strings by the collation of views.
  const byBytes = path.length === 1 && path[0] === '_id';
  return (value) => {
    const order = compareJson(value, operand, byBytes);
    if (name === '$eq') return order === undefined ? undefined : order === 0;
    if (name === '$ne') return order === undefined ? undefined : order !== 0;
    if (order === undefined) return undefined;
    if (name === '$lt') return order < 0;
    if (name === '$lte') return order <= 0;
    if (name === '$gt') return order > 0;
    return order >= 0;
  };
}

const CONDITIONS: Readonly<Record<string, (operand: unknown) => Matcher | undefined>> = {
  $in: (operand) => (Array.isArray(operand) ? isIn(operand) : undefined),
  $nin: (operand) => {
    if (!Array.isArray(operand)) return undefined;
    const matchesIn = isIn(operand);
    return (value) => not(matchesIn(value));
  },
  $all: (operand) => {
    if (!Array.isArray(operand)) return undefined;
    const [only] = operand as unknown[];
    const isOnly =
      Array.isArray(only) && operand.length === 1 ? compare('$eq', only) : neverMatches;
    const members = operand.map((member: unknown) => compare('$eq', member));
    return (value) => {
      if (!Array.isArray(value) || operand.length === 0) return false;
      const hasAll = every(members, (member) => some(value, member));
      return hasAll === true ? true : some([hasAll, isOnly(value)], (verdict) => verdict);
    };
  },
  $elemMatch: (operand) => {
    const match = compileElement(operand);
    return match && ((value) => Array.isArray(value) && some(value, match));
  },
  $allMatch: (operand) => {
    const match = compileElement(operand);
    return match && ((value) => Array.isArray(value) && value.length > 0 && every(value, match));
  },
  $keyMapMatch: (operand) => {
    const match = compileElement(operand);
    return match && ((value) => isPlainObject(value) && some(Object.keys(value), match));
  },
  $size: (operand) => (value) => Array.isArray(value) && value.length === operand,
  $type: (operand) => (value) => typeOf(value) === operand,
  $mod: (operand) => {
    if (!Array.isArray(operand)) return undefined;
    const [divisor, remainder] = operand as readonly number[];
    if (!Number.isInteger(divisor) || !Number.isInteger(remainder)) return undefined;
    // JSON.parse reads 4.0 as 4, which matches. For CouchDB, 4.0 is not an integer.
    return (value) =>
      typeof value === 'bigint'
        ? value % BigInt(divisor as number) === BigInt(remainder as number)
        : Number.isInteger(value) && (value as number) % (divisor as number) === remainder;
  },
  $beginsWith: (operand) => (value) => {
    if (typeof value !== 'string' || typeof operand !== 'string') return false;
    if (!value.startsWith(operand)) return false;
    // Beyond ASCII, the prefix may end within a character that is composed of several code points.
    return isAscii(value) ? true : undefined;
  },
  $regex: (operand) => {
    // Only syntax with the same meaning in JavaScript and in CouchDB's PCRE.
    if (typeof operand !== 'string' || !/^\^?[\w \-,:;@#/=~%&'"!<>]*$/.test(operand))
      return undefined;
    const expression = new RegExp(operand);
    return (value) => typeof value === 'string' && expression.test(value);
  },
};

/** Compiles the condition on an element: on its value, or on its fields. */
function compileElement(operand: unknown): Matcher | undefined {
  return isPlainObject(operand) ? compile(operand, [], false, true) : undefined;
}

/** Matches a value that is one of the operands, or an array that contains one of them. */
function isIn(operands: readonly unknown[]): Matcher {
  const members = operands.map((operand) => compare('$eq', operand));
  return (value) =>
    some(members, (member) => (Array.isArray(value) ? some(value, member) : member(value)));
}

function typeOf(value: unknown): string {
  if (typeof value === 'bigint') return 'number';
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

const undecided: Matcher = () => undefined;
const neverMatches: Matcher = () => false;
const all =
  (parts: readonly Matcher[]): Matcher =>
  (value) =>
    every(parts, (part) => part(value));
/** In CouchDB, every document matches an empty list. */
const any =
  (parts: readonly Matcher[]): Matcher =>
  (value) =>
    parts.length === 0 || some(parts, (part) => part(value));

/** Compiles a path such as `'address.city'` to a function that reads the field; undefined if missing. */
export function compilePath(path: string): (doc: unknown) => unknown {
  const steps = stepsOf(path);
  return (doc) => {
    const value = readSteps(doc, steps);
    return value === MISSING || value === UNREACHABLE ? undefined : value;
  };
}

/**
 * Returns the values that matching documents must have, by the path of their field. A document with
 * another value in one of these fields never matches, unless either value is a string beyond ASCII: two
 * different strings may be equal for CouchDB.
 */
export function equalities(selector: object): ReadonlyMap<string, readonly unknown[]> {
  const found = new Map<string, readonly unknown[]>();
  collectEqualities(selector, '', found);
  return found;
}

function collectEqualities(
  condition: object,
  path: string,
  found: Map<string, readonly unknown[]>,
): void {
  for (const [name, operand] of Object.entries(condition) as [string, unknown][]) {
    if (name === '$and' && Array.isArray(operand)) {
      for (const part of operand) if (isPlainObject(part)) collectEqualities(part, path, found);
    } else if (name === '$eq') {
      if (path !== '' && isScalar(operand)) found.set(path, [operand]);
    } else if (!name.startsWith('$')) {
      const field = path === '' ? name : `${path}.${name}`;
      if (isPlainObject(operand)) collectEqualities(operand, field, found);
      else if (isScalar(operand)) found.set(field, [operand]);
    }
  }
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
