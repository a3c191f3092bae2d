import { compareJson } from '../model/collation.ts';

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
export function readSteps(value: unknown, path: readonly string[]): unknown {
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

/** Splits a path into steps: `a.b` has two, `a\\.b` one. CouchDB drops every backslash. */
export function stepsOf(path: string): readonly string[] {
  const steps = [''];
  let previous = '';
  for (const character of path) {
    if (character === '.' && previous !== '\\') steps.push('');
    else if (character !== '\\') steps[steps.length - 1] += character;
    previous = character;
  }
  return steps;
}

/** Returns whether a value is an object, and neither an array nor null. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the JSON type of a value, as the operator `$type` names it. */
export function typeOf(value: unknown): string {
  if (typeof value === 'bigint') return 'number';
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

/** Compiles a path such as `'address.city'` to a function that reads the field; undefined if missing. */
export function compilePath(path: string): (doc: unknown) => unknown {
  const steps = stepsOf(path);
  return (doc) => {
    const value = readSteps(doc, steps);
    return value === MISSING || value === UNREACHABLE ? undefined : value;
  };
}

/** A field of a sort: its path, ascending; or its path with a direction. */
export type SortColumn = string | Readonly<Record<string, string>>;

/**
 * Compiles a sort to a comparator of documents. It returns 0 for documents that are equal in all fields,
 * and undefined if only CouchDB can decide the order. Ids are compared by their bytes.
 */
export function compileSort(
  sort: readonly SortColumn[],
): (a: unknown, b: unknown) => number | undefined {
  const columns = sort.map((column) => {
    const [name, direction] = readColumn(column);
    return {
      read: compilePath(name),
      byBytes: name === '_id',
      direction: direction === 'desc' ? -1 : 1,
    };
  });
  return (a, b) => {
    for (const { read, byBytes, direction } of columns) {
      const order = compareJson(read(a), read(b), byBytes);
      if (order !== 0) return order && order * direction;
    }
    return 0;
  };
}

/** Returns the path and the direction of a field. */
export function readColumn(column: SortColumn): readonly [path: string, direction: string] {
  if (typeof column === 'string') return [column, 'asc'];
  return Object.entries(column)[0] ?? ['', 'asc'];
}
