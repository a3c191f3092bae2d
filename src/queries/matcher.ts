import type { AnyFields } from '../model/document.ts';
import { MISSING, UNREACHABLE, isPlainObject, readSteps, stepsOf, typeOf } from './fields.ts';
import { CAREFUL, isWhole } from './platform.ts';
import type { Platform } from './platform.ts';
import { all, any, every, neverMatches, not, some, undecided } from './verdict.ts';
import type { Matcher, Verdict } from './verdict.ts';

/**
 * Compiles a Mango selector to a function that decides whether a document matches it.
 *
 * It moves negations inwards, as CouchDB does: a condition on a missing field fails, negated or not.
 *
 * @param platform - How strings are compared. Default: as CouchDB surely does, else undecided.
 */
export function compileSelector(
  selector: object,
  platform: Platform = CAREFUL,
): (doc: AnyFields) => Verdict {
  if (platform.refusesEmpty && isBareEmpty(selector)) return neverMatches;
  return compile(platform, selector, [], false, true);
}

/**
 * Tells whether a selector is nothing but an empty combination, also below a field or `$not`. CouchDB finds
 * nothing then. With another condition beside it, an empty combination matches every document.
 */
function isBareEmpty(condition: unknown): boolean {
  if (!isPlainObject(condition)) return false;
  const [entry, other] = Object.entries(condition);
  if (entry === undefined || other !== undefined) return false;
  const [name, operand] = entry;
  if (['$and', '$or', '$nor'].includes(name)) return Array.isArray(operand) && operand.length === 0;
  return (name === '$not' || !name.startsWith('$')) && isBareEmpty(operand);
}

function compile(
  platform: Platform,
  condition: unknown,
  path: readonly string[],
  negated: boolean,
  root = false,
): Matcher {
  if (!isPlainObject(condition)) return onField(path, compare(platform, '$eq', condition), negated);
  const entries = Object.entries(condition);
  if (entries.length === 0) {
    if (root) return () => true;
    return path.length > 0
      ? onField(path, compare(platform, '$eq', condition), negated)
      : undecided;
  }
  const parts = entries.map(([name, operand]) =>
    compileEntry(platform, name, operand, path, negated),
  );
  return parts.length === 1 ? (parts[0] as Matcher) : negated ? any(parts) : all(parts);
}

function compileEntry(
  platform: Platform,
  name: string,
  operand: unknown,
  path: readonly string[],
  negated: boolean,
): Matcher {
  if (!name.startsWith('$')) {
    const steps = stepsOf(name);
    // CouchDB refuses a path with an empty step.
    return steps.includes('')
      ? undecided
      : compile(platform, operand, [...path, ...steps], negated);
  }
  const compileEach = (negate: boolean): Matcher[] | null =>
    Array.isArray(operand)
      ? operand.map((part: unknown) => compile(platform, part, path, negate))
      : null;
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
      return isPlainObject(operand) ? compile(platform, operand, path, !negated) : undecided;
    case '$exists':
      return exists(path, operand === negated);
    default:
      return compileOperator(platform, name, operand, path, negated);
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
  platform: Platform,
  name: string,
  operand: unknown,
  path: readonly string[],
  negated: boolean,
): Matcher {
  const opposite = OPPOSITE[name];
  if (opposite !== undefined)
    return onField(path, compare(platform, negated ? opposite : name, operand, path), false);
  const condition = CONDITIONS[name]?.(operand, platform);
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

function compare(
  platform: Platform,
  name: string,
  operand: unknown,
  path: readonly string[] = [],
): Matcher {
  // CouchDB compares ids by their bytes, and other strings by the collation of views.
  const byBytes = path.length === 1 && path[0] === '_id';
  return (value) => {
    const order = platform.compare(value, operand, byBytes);
    if (name === '$eq') return order === undefined ? undefined : order === 0;
    if (name === '$ne') return order === undefined ? undefined : order !== 0;
    if (order === undefined) return undefined;
    if (name === '$lt') return order < 0;
    if (name === '$lte') return order <= 0;
    if (name === '$gt') return order > 0;
    return order >= 0;
  };
}

const CONDITIONS: Readonly<
  Record<string, (operand: unknown, platform: Platform) => Matcher | undefined>
> = {
  $in: (operand, platform) => (Array.isArray(operand) ? isIn(platform, operand) : undefined),
  $nin: (operand, platform) => {
    if (!Array.isArray(operand)) return undefined;
    const matchesIn = isIn(platform, operand);
    return (value) => not(matchesIn(value));
  },
  $all: (operand, platform) => {
    if (!Array.isArray(operand)) return undefined;
    const [only] = operand as unknown[];
    const isOnly =
      Array.isArray(only) && operand.length === 1 ? compare(platform, '$eq', only) : neverMatches;
    const members = operand.map((member: unknown) => compare(platform, '$eq', member));
    return (value) => {
      if (!Array.isArray(value) || operand.length === 0) return false;
      const hasAll = every(members, (member) => some(value, member));
      return hasAll === true ? true : some([hasAll, isOnly(value)], (verdict) => verdict);
    };
  },
  $elemMatch: (operand, platform) => {
    const match = compileElement(platform, operand);
    return match && ((value) => Array.isArray(value) && someElement(value, match));
  },
  $allMatch: (operand, platform) => {
    const match = compileElement(platform, operand);
    return (
      match && ((value) => Array.isArray(value) && value.length > 0 && everyElement(value, match))
    );
  },
  $keyMapMatch: (operand, platform) => {
    const match = compileElement(platform, operand);
    return match && ((value) => isPlainObject(value) && someElement(Object.keys(value), match));
  },
  $size: (operand) => (value) => Array.isArray(value) && value.length === operand,
  $type: (operand) => (value) => typeOf(value) === operand,
  $mod: (operand) => {
    if (!Array.isArray(operand)) return undefined;
    const [divisor, remainder] = operand as readonly number[];
    if (!Number.isInteger(divisor) || !Number.isInteger(remainder)) return undefined;
    // CouchDB fails to divide by 0, if a document has an integer there.
    if (divisor === 0) return (value) => (isWhole(value) ? undefined : false);
    // JSON.parse reads 4.0 as 4, which matches. For CouchDB, 4.0 is not an integer.
    return (value) =>
      typeof value === 'bigint'
        ? value % BigInt(divisor as number) === BigInt(remainder as number)
        : isWhole(value) && value % (divisor as number) === remainder;
  },
  $beginsWith:
    (operand, { beginsWith }) =>
    (value) =>
      typeof value === 'string' && typeof operand === 'string' && beginsWith(value, operand),
  $regex: (operand, platform) => {
    const expression = typeof operand === 'string' ? platform.expression(operand) : undefined;
    return expression && ((value) => typeof value === 'string' && expression.test(value));
  },
};

/** Compiles the condition on an element: on its value, or on its fields. */
function compileElement(platform: Platform, operand: unknown): Matcher | undefined {
  return isPlainObject(operand) ? compilePlain(platform, operand, []) : undefined;
}

/** Thrown by an evaluated `$nor` in the condition on an element: CouchDB's operator fails then. */
const NOR_FAILED = new Error('$nor cannot be evaluated in a condition on an element');

/**
 * Compiles the condition on an element. CouchDB moves no negations inwards there: a `$not` matches where its
 * condition fails, also because of a missing field.
 */
function compilePlain(platform: Platform, condition: unknown, path: readonly string[]): Matcher {
  const entries = isPlainObject(condition) ? Object.entries(condition) : [];
  if (entries.length === 0) return onField(path, compare(platform, '$eq', condition), false);
  const parts = entries.map(([name, operand]): Matcher => {
    if (!name.startsWith('$')) {
      const steps = stepsOf(name);
      return steps.includes('') ? undecided : compilePlain(platform, operand, [...path, ...steps]);
    }
    const each = Array.isArray(operand)
      ? operand.map((part) => compilePlain(platform, part, path))
      : null;
    if (name === '$and') return each === null ? undecided : all(each);
    if (name === '$or') return each === null ? undecided : any(each);
    if (name === '$nor')
      return () => {
        throw NOR_FAILED;
      };
    if (name === '$exists') return exists(path, operand === false);
    if (name !== '$not') return compileOperator(platform, name, operand, path, false);
    const match = isPlainObject(operand) ? compilePlain(platform, operand, path) : undecided;
    return (value) => not(match(value));
  });
  return parts.length === 1 ? (parts[0] as Matcher) : all(parts);
}

/** Returns whether an element matches, before one whose condition cannot be evaluated. */
function someElement(elements: readonly unknown[], match: Matcher): Verdict {
  let decided = true;
  for (const element of elements) {
    const verdict = evaluate(match, element);
    if (verdict === true) return true;
    if (verdict === 'failed') break;
    if (verdict === undefined) decided = false;
  }
  return decided ? false : undefined;
}

/** Returns whether all elements match. */
function everyElement(elements: readonly unknown[], match: Matcher): Verdict {
  let decided = true;
  for (const element of elements) {
    const verdict = evaluate(match, element);
    if (verdict === false || verdict === 'failed') return false;
    if (verdict === undefined) decided = false;
  }
  return decided ? true : undefined;
}

function evaluate(match: Matcher, element: unknown): Verdict | 'failed' {
  try {
    return match(element);
  } catch (error) {
    if (error === NOR_FAILED) return 'failed';
    throw error;
  }
}

/** Matches a value that is one of the operands, or an array that contains one of them. */
function isIn(platform: Platform, operands: readonly unknown[]): Matcher {
  const members = operands.map((operand) => compare(platform, '$eq', operand));
  return (value) =>
    some(members, (member) => (Array.isArray(value) ? some(value, member) : member(value)));
}
