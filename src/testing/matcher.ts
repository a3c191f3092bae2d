import { collate, isRecord } from './collate.ts';
import { Refusal } from './refusal.ts';

/** Tells whether a document is what a Mango selector describes. */
export type Matcher = (selector: object, doc: object) => boolean;

/** Matches as `_find` does. Throws a `Refusal` for what is no operator. */
export const matches: Matcher = (selector, doc) => matchesValue(selector, doc);

type Operator = (argument: unknown, value: unknown) => boolean;

const compares =
  (test: (order: number) => boolean): Operator =>
  (argument, value) =>
    value !== undefined && test(collate(value, argument));
const equal = compares((order) => order === 0);
const isOneOf: Operator = (argument, value) =>
  Array.isArray(argument) &&
  argument.some((one) =>
    Array.isArray(value)
      ? value.some((item) => equal(one, item)) || equal(one, value)
      : equal(one, value),
  );

/** Operators on a field; `value` is undefined where the document has none. */
const OPERATORS: Readonly<Record<string, Operator>> = {
  $eq: equal,
  $ne: (argument, value) => value !== undefined && !equal(argument, value),
  $gt: compares((order) => order > 0),
  $gte: compares((order) => order >= 0),
  $lt: compares((order) => order < 0),
  $lte: compares((order) => order <= 0),
  $in: (argument, value) => value !== undefined && isOneOf(argument, value),
  $nin: (argument, value) => value !== undefined && !isOneOf(argument, value),
  $exists: (argument, value) => (value !== undefined) === argument,
  $type: (argument, value) => value !== undefined && typeOf(value) === argument,
  $size: (argument, value) => Array.isArray(value) && value.length === argument,
  $mod: (argument, value) => {
    const [divisor, remainder] = argument as readonly number[];
    return Number.isInteger(value) && Number(value) % Number(divisor) === remainder;
  },
  $regex: (argument, value) =>
    typeof value === 'string' && new RegExp(String(argument)).test(value),
  $beginsWith: (argument, value) => typeof value === 'string' && value.startsWith(String(argument)),
  $all: (argument, value) =>
    Array.isArray(argument) &&
    Array.isArray(value) &&
    argument.every((one) => value.some((item) => equal(one, item))),
  $elemMatch: (argument, value) =>
    Array.isArray(value) && value.some((item) => matchesValue(argument, item)),
  $allMatch: (argument, value) =>
    Array.isArray(value) && value.length > 0 && value.every((item) => matchesValue(argument, item)),
  $keyMapMatch: (argument, value) =>
    isRecord(value) && Object.keys(value).some((key) => matchesValue(argument, key)),
  $and: (argument, value) => listOf(argument).every((part) => matchesValue(part, value)),
  $or: (argument, value) => listOf(argument).some((part) => matchesValue(part, value)),
  $nor: (argument, value) => !listOf(argument).some((part) => matchesValue(part, value)),
  $not: (argument, value) => !matchesValue(argument, value),
};

function matchesValue(selector: unknown, value: unknown): boolean {
  if (!isRecord(selector)) return equal(selector, value);
  return Object.entries(selector).every(([name, argument]) => {
    if (!name.startsWith('$')) return matchesValue(argument, fieldOf(value, name));
    const operator = OPERATORS[name];
    if (operator === undefined)
      throw new Refusal(400, 'invalid_operator', `Invalid operator: ${name}`);
    return operator(argument, value);
  });
}

/** Reads a field, as in `'address.city'`; a dot of the name itself has a backslash before it. */
export function fieldOf(value: unknown, path: string): unknown {
  const names = path.match(/(?:\\.|[^.\\])+/g) ?? [];
  let found = value;
  for (const name of names) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = (found as Record<string, unknown>)[name.replace(/\\(.)/g, '$1')];
  }
  return found;
}

function listOf(argument: unknown): readonly unknown[] {
  if (Array.isArray(argument)) return argument;
  throw new Refusal(400, 'bad_arg', 'Bad argument for operator: it takes a list');
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
