import { Refusal, isRecord } from '../reply.ts';
import { erlangTerm } from './parameters.ts';

/** A normalized selector: an object with one name, or an empty one. */
export type Normal = Readonly<Record<string, unknown>>;

const badArgument = (operator: string, argument: unknown): Refusal =>
  new Refusal(400, 'bad_arg', `Bad argument for operator ${operator}: ${erlangTerm(argument)}`);

/**
 * Normalizes a selector as CouchDB does, which decides what an index can be used for: explicit operators,
 * whole paths, and negations at the conditions. Throws a `Refusal` for a selector that CouchDB refuses.
 */
export function normalize(selector: unknown): Normal {
  if (!isRecord(selector))
    throw new Refusal(
      400,
      'invalid_selector_json',
      `Selector must be a JSON object, not: ${erlangTerm(selector)}`,
    );
  if (Object.keys(selector).length === 0) return {};
  const normal = moveNegations(joinFields(withOperators(selector), ''));
  if (Object.hasOwn(normal, ''))
    throw new Refusal(400, 'invalid_selector', 'One or more conditions is missing a field name.');
  return normal;
}

const LISTS = new Set(['$and', '$or', '$nor']);
const OBJECTS = new Set(['$elemMatch', '$allMatch', '$keyMapMatch']);
const ANY_OPERAND = new Set(['$lt', '$lte', '$eq', '$ne', '$gte', '$gt']);
const UNSUPPORTED = new Set(['$where', '$geoWithin', '$geoIntersects', '$near', '$nearSphere']);

/** Whether an operand is valid, for the operators that restrict it. */
const OPERANDS: Readonly<Record<string, (operand: unknown) => boolean>> = {
  $in: Array.isArray,
  $nin: Array.isArray,
  $all: Array.isArray,
  $exists: (operand) => typeof operand === 'boolean',
  $type: (operand) => typeof operand === 'string',
  $beginsWith: (operand) => typeof operand === 'string',
  $mod: (operand) =>
    Array.isArray(operand) && operand.length === 2 && operand.every(Number.isInteger),
  $size: (operand) => Number.isInteger(operand) && (operand as number) >= 0,
  $regex: (operand) => typeof operand === 'string' && isExpression(operand),
};

function isExpression(source: string): boolean {
  try {
    return new RegExp(source) instanceof RegExp;
  } catch {
    return false;
  }
}

function withOperators(value: unknown): Normal {
  if (!isRecord(value)) return { $eq: value };
  const [first, ...more] = Object.entries(value);
  if (first === undefined) return { $eq: value };
  if (more.length > 0)
    return { $and: [first, ...more].map(([name, operand]) => withOperators({ [name]: operand })) };
  const [name, operand] = first;
  if (LISTS.has(name)) {
    if (!Array.isArray(operand)) throw badArgument(name, operand);
    return { [name]: operand.map(withOperators) };
  }
  if (name === '$not' || OBJECTS.has(name)) {
    if (!isRecord(operand)) throw badArgument(name, operand);
    return { [name]: withOperators(operand) };
  }
  if (!name.startsWith('$')) return { [name]: withOperators(operand) };
  if (ANY_OPERAND.has(name)) return value;
  const isValid = OPERANDS[name];
  if (isValid !== undefined) {
    if (!isValid(operand)) throw badArgument(name, operand);
    return value;
  }
  if (name === '$text') throw new Refusal(503, 'required index service unavailable', 'text');
  if (UNSUPPORTED.has(name))
    throw new Refusal(400, 'not_supported', `Unsupported operator: ${name}`);
  throw new Refusal(400, 'invalid_operator', `Invalid operator: ${name}`);
}

function only(condition: Normal): readonly [name: string, operand: unknown] {
  return Object.entries(condition)[0] ?? ['', {}];
}

function joinFields(condition: Normal, path: string): Normal {
  const [name, operand] = only(condition);
  if (LISTS.has(name))
    return { [name]: (operand as readonly Normal[]).map((part) => joinFields(part, path)) };
  if (name === '$not') return { $not: joinFields(operand as Normal, path) };
  if (OBJECTS.has(name)) return { [path]: { [name]: joinFields(operand as Normal, '') } };
  if (name.startsWith('$')) return { [path]: condition };
  return joinFields(operand as Normal, path === '' ? name : `${path}.${name}`);
}

function moveNegations(condition: Normal): Normal {
  const [name, operand] = only(condition);
  if (name === '$not') return negate(operand as Normal);
  if (name === '$nor') return { $and: (operand as readonly Normal[]).map(negate) };
  if (name === '$and' || name === '$or')
    return { [name]: (operand as readonly Normal[]).map(moveNegations) };
  return condition;
}

const OPPOSITE: Readonly<Record<string, string>> = {
  $lt: '$gte',
  $lte: '$gt',
  $eq: '$ne',
  $ne: '$eq',
  $gte: '$lt',
  $gt: '$lte',
  $in: '$nin',
  $nin: '$in',
};

function negate(condition: Normal): Normal {
  const [name, operand] = only(condition);
  if (name === '$not') return moveNegations(operand as Normal);
  if (name === '$nor') return { $or: (operand as readonly Normal[]).map(moveNegations) };
  if (name === '$and') return { $or: (operand as readonly Normal[]).map(negate) };
  if (name === '$or') return { $and: (operand as readonly Normal[]).map(negate) };
  const opposite = OPPOSITE[name];
  if (opposite !== undefined) return { [opposite]: operand };
  if (name === '$exists') return { $exists: operand === false };
  if (name.startsWith('$')) return { $not: condition };
  return { [name]: negate(operand as Normal) };
}

/**
 * Throws where CouchDB's search for `$text` does: at an operand that is an object with several fields, and at
 * null or a list within a list.
 */
export function requireCheckable(value: unknown, isItem = false): void {
  const entries = isRecord(value) ? Object.entries(value) : [];
  const [entry] = entries;
  if (entries.length > 1 || (isItem && (value === null || Array.isArray(value))))
    throw new Refusal(500, 'unknown_error', 'function_clause');
  if (entry === undefined) return;
  const [, operand] = entry;
  if (Array.isArray(operand)) for (const item of operand) requireCheckable(item, true);
  else if (isRecord(operand)) requireCheckable(operand);
}

/** Returns the fields among these that a document may lack, and still match. */
export function optionalFields(selector: Normal, fields: readonly string[]): readonly string[] {
  const [entry] = Object.entries(selector);
  if (entry === undefined || fields.length === 0) return fields;
  const [name, operand] = entry;
  if (name === '$and')
    return (operand as readonly Normal[]).reduce<readonly string[]>(
      (rest, part) => optionalFields(part, rest),
      fields,
    );
  if (name === '$or') {
    const parts = (operand as readonly Normal[]).map((part) => optionalFields(part, fields));
    return fields.filter((field) => parts.some((part) => part.includes(field)));
  }
  const [operator, argument] = only(operand as Normal);
  if (operator === '$exists' && argument === false) return fields;
  return fields.filter((field) => field !== name);
}

const INDEXABLE = new Set(['$lt', '$lte', '$eq', '$gt', '$gte', '$beginsWith', '$exists']);

/** Returns the fields whose conditions an index can answer, in the order of their names. */
export function indexableFields(selector: Normal): readonly string[] {
  const [entry] = Object.entries(selector);
  if (entry === undefined) return [];
  const [name, operand] = entry;
  if (name === '$and') {
    const all = (operand as readonly Normal[]).flatMap(indexableFields);
    return [...new Set(all)].sort();
  }
  if (name.startsWith('$')) return [];
  return INDEXABLE.has(only(operand as Normal)[0]) ? [name] : [];
}

/** Returns all fields of a selector. */
export function fieldsOf(selector: Normal): readonly string[] {
  const [entry] = Object.entries(selector);
  if (entry === undefined) return [];
  const [name, operand] = entry;
  if (!name.startsWith('$')) return [name];
  return Array.isArray(operand) ? (operand as readonly Normal[]).flatMap(fieldsOf) : [];
}

/** Whether each matching document has the same value in a field. */
export function isConstant(selector: Normal, field: string): boolean {
  const [entry] = Object.entries(selector);
  if (entry === undefined) return false;
  const [name, operand] = entry;
  if (name === '$and')
    return (operand as readonly Normal[]).some((part) => isConstant(part, field));
  return name === field && only(operand as Normal)[0] === '$eq';
}

/** The conditions on a field that all matching documents meet. */
export function conditionsOn(
  selector: Normal,
  field: string,
): readonly (readonly [operator: string, operand: unknown])[] {
  const [entry] = Object.entries(selector);
  if (entry === undefined) return [];
  const [name, operand] = entry;
  if (name === '$and')
    return (operand as readonly Normal[]).flatMap((part) => conditionsOn(part, field));
  return name === field ? [only(operand as Normal)] : [];
}
