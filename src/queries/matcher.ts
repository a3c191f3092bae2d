import type { AnyFields } from '../model/document.ts';
import { compareJson, isPlain } from './compare-json.ts';

/** A field that is not there: conditions on it fail, but `{ $exists: false }`. */
export const MISSING: unique symbol = Symbol('missing');

/** A field of something that cannot have fields: all conditions on it fail. */
export const UNREACHABLE: unique symbol = Symbol('astray');

/** Reads a field by its path, as `'address.city'`; undefined where it is not there. */
export function readField(doc: unknown, path: string): unknown {
  const value = read(doc, steps(path));
  return value === MISSING || value === UNREACHABLE ? undefined : value;
}

/** Reads a field, or an element of a list by its number. */
export function read(value: unknown, path: readonly string[]): unknown {
  let present = value;
  for (const step of path) {
    if (Array.isArray(present)) {
      if (!/^\+?\d+$/.test(step) || Number(step) >= present.length) return UNREACHABLE;
      present = present[Number(step)];
    } else if (isPlainObject(present)) {
      if (!Object.hasOwn(present, step)) return MISSING;
      present = present[step];
    } else {
      return UNREACHABLE;
    }
  }
  return present;
}

/** The steps of a path: `a.b` has two, `a\.b` one. */
export function steps(name: string): readonly string[] {
  const found: readonly string[] = name.match(/(?:\\.|[^\\.])+/g) ?? [];
  return found.map((step) => step.replace(/\\([.$])/g, '$1'));
}

/** Tells an object from a list and from null. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Whether a document matches; `undefined` where only the server can tell: text searches, regular
 * expressions of Erlang's own, operators that came later, and strings whose order is a matter of
 * language.
 */
export type Verdict = boolean | undefined;

/** Turns a verdict round. */
export function not(verdict: Verdict): Verdict {
  return verdict === undefined ? undefined : !verdict;
}

/** Whether all do; one that surely does not outweighs those that nobody can tell. */
export function every<One>(list: readonly One[], ask: (one: One) => Verdict): Verdict {
  return not(some(list, (one) => not(ask(one))));
}

/** Whether at least one does. */
export function some<One>(list: readonly One[], ask: (one: One) => Verdict): Verdict {
  let known = true;
  for (const one of list) {
    const verdict = ask(one);
    if (verdict === true) return true;
    if (verdict === undefined) known = false;
  }
  return known ? false : undefined;
}

/** Tells whether a value matches. */
type Matcher = (value: unknown) => Verdict;

/**
 * Compiles a Mango selector to a function that tells whether a document matches it, as CouchDB does:
 * negations are carried inwards, so that a condition on a field that is missing fails, negated or not.
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
  if (!isPlainObject(condition)) return field(path, compare('$eq', condition), negated);
  const entries = Object.entries(condition);
  if (entries.length === 0) {
    if (root) return () => true;
    return path.length > 0 ? field(path, compare('$eq', condition), negated) : unknown;
  }
  const parts = entries.map(([name, operand]) => entry(name, operand, path, negated));
  return parts.length === 1 ? (parts[0] as Matcher) : negated ? any(parts) : all(parts);
}

function entry(name: string, operand: unknown, path: readonly string[], negated: boolean): Matcher {
  if (!name.startsWith('$')) return compile(operand, [...path, ...steps(name)], negated);
  const each = (negate: boolean): Matcher[] | null =>
    Array.isArray(operand) ? operand.map((one: unknown) => compile(one, path, negate)) : null;
  switch (name) {
    case '$and': {
      const parts = each(negated);
      return parts === null ? unknown : negated ? any(parts) : all(parts);
    }
    case '$or': {
      const parts = each(negated);
      return parts === null ? unknown : negated ? all(parts) : any(parts);
    }
    case '$nor': {
      const parts = each(!negated);
      return parts === null ? unknown : negated ? any(parts) : all(parts);
    }
    case '$not':
      return isPlainObject(operand) ? compile(operand, path, !negated) : unknown;
    case '$exists':
      return exists(path, operand === negated);
    default:
      return terminal(name, operand, path, negated);
  }
}

/** Carried inwards, `{ $exists: true }` that is negated matches what is missing. */
function exists(path: readonly string[], absent: boolean): Matcher {
  return (doc) => {
    const value = read(doc, path);
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

function terminal(
  name: string,
  operand: unknown,
  path: readonly string[],
  negated: boolean,
): Matcher {
  const opposite = OPPOSITE[name];
  if (opposite !== undefined)
    return field(path, compare(negated ? opposite : name, operand, path), false);
  const condition = CONDITIONS[name]?.(operand);
  return condition === undefined ? unknown : field(path, condition, negated);
}

/** A condition on a field: false where the field is missing, and where that is so of its negation. */
function field(path: readonly string[], condition: Matcher, negated: boolean): Matcher {
  return (doc) => {
    const value = read(doc, path);
    if (value === MISSING || value === UNREACHABLE) return false;
    return negated ? not(condition(value)) : condition(value);
  };
}

function compare(name: string, operand: unknown, path: readonly string[] = []): Matcher {
  // Ids are compared by their bytes, and all else by the rules of views.
  const raw = path.length === 1 && path[0] === '_id';
  return (value) => {
    const order = compareJson(value, operand, raw);
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
    const found = isIn(operand);
    return (value) => not(found(value));
  },
  $all: (operand) => {
    if (!Array.isArray(operand)) return undefined;
    const [only] = operand as unknown[];
    const isOnly = Array.isArray(only) && operand.length === 1 ? compare('$eq', only) : never;
    const members = operand.map((one: unknown) => compare('$eq', one));
    return (value) => {
      if (!Array.isArray(value) || operand.length === 0) return false;
      const hasAll = every(members, (member) => some(value, member));
      return hasAll === true ? true : some([hasAll, isOnly(value)], (verdict) => verdict);
    };
  },
  $elemMatch: (operand) => {
    const match = element(operand);
    return match && ((value) => Array.isArray(value) && some(value, match));
  },
  $allMatch: (operand) => {
    const match = element(operand);
    return match && ((value) => Array.isArray(value) && value.length > 0 && every(value, match));
  },
  $keyMapMatch: (operand) => {
    const match = element(operand);
    return match && ((value) => isPlainObject(value) && some(Object.keys(value), match));
  },
  $size: (operand) => (value) => Array.isArray(value) && value.length === operand,
  $type: (operand) => (value) => typeOf(value) === operand,
  $mod: (operand) => {
    if (!Array.isArray(operand)) return undefined;
    const [divisor, remainder] = operand as readonly number[];
    if (!Number.isInteger(divisor) || !Number.isInteger(remainder)) return undefined;
    // A document's 4.0 is no integer to the server, and is 4 here.
    return (value) =>
      Number.isInteger(value) && (value as number) % (divisor as number) === remainder;
  },
  $beginsWith: (operand) => (value) => {
    if (typeof value !== 'string' || typeof operand !== 'string') return false;
    if (!value.startsWith(operand)) return false;
    // Where characters are composed of several, a beginning may end within one.
    return isPlain(value) ? true : undefined;
  },
  $regex: (operand) => {
    // What both kinds of expressions read alike; the rest is for Erlang's.
    if (typeof operand !== 'string' || !/^\^?[\w \-,:;@#/=~%&'"!<>]*$/.test(operand))
      return undefined;
    const expression = new RegExp(operand);
    return (value) => typeof value === 'string' && expression.test(value);
  },
};

/** A condition on an element: on itself, or on its fields. */
function element(operand: unknown): Matcher | undefined {
  return isPlainObject(operand) ? compile(operand, [], false, true) : undefined;
}

/** A field that is a list is in, if one of its elements is. */
function isIn(operands: readonly unknown[]): Matcher {
  const members = operands.map((one) => compare('$eq', one));
  return (value) =>
    some(members, (member) => (Array.isArray(value) ? some(value, member) : member(value)));
}

function typeOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

const unknown: Matcher = () => undefined;
const never: Matcher = () => false;
const all =
  (parts: readonly Matcher[]): Matcher =>
  (value) =>
    every(parts, (part) => part(value));
/** CouchDB takes an empty list for something that everything matches. */
const any =
  (parts: readonly Matcher[]): Matcher =>
  (value) =>
    parts.length === 0 || some(parts, (part) => part(value));
