/**
 * Throws for a value that JSON would lose or change without an error:
 *
 * - NaN and Infinity, which become null;
 * - BigInt and cycles, which throw without a path;
 * - functions, symbols, Map, Set and binary data, which vanish or become `{}`;
 * - holes in arrays.
 *
 * An `undefined` property is left out, as `JSON.stringify` does.
 *
 * @param what - The name of the value in the error.
 * @throws TypeError that names the problem and the path to it.
 */
export function assertJson(value: unknown, what: ValueName): void {
  check(value, { what, ancestors: [], keys: [] });
}

/** The name of a value in an error, or a function that returns it, if the name costs time to make. */
export type ValueName = string | (() => string);

/** Tells whether a string is well-formed Unicode, as JSON, URLs and CouchDB require. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** The state of a walk through a value. The path is built only for an error: bulk saves check often. */
interface Walk {
  readonly what: ValueName;
  readonly ancestors: object[];
  readonly keys: (string | number)[];
}

function check(value: unknown, walk: Walk): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'undefined':
      throw notJson(walk, 'undefined');
    case 'number':
      if (Number.isFinite(value)) return;
      throw notJson(walk, String(value));
    case 'object':
      if (value !== null) checkObject(value, walk);
      return;
    default:
      throw notJson(walk, `a ${typeof value}`);
  }
}

function checkObject(value: object, walk: Walk): void {
  const { ancestors, keys } = walk;
  if (ancestors.includes(value)) throw notJson(walk, 'a cycle');
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const replacement: unknown = value.toJSON();
    // An invalid Date turns into null.
    if (replacement === null) throw notJson(walk, 'an invalid date');
    ancestors.push(value);
    check(replacement, walk);
    ancestors.pop();
    return;
  }
  if (value instanceof Map || value instanceof Set) {
    throw notJson(walk, `a ${value.constructor.name} (use an object or an array)`);
  }
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw notJson(walk, 'binary data (save it as an attachment)');
  }
  ancestors.push(value);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      keys.push(i);
      check(value[i], walk);
      keys.pop();
    }
  } else {
    for (const key of Object.keys(value)) {
      const field: unknown = (value as Record<string, unknown>)[key];
      if (field === undefined) continue;
      keys.push(key);
      check(field, walk);
      keys.pop();
    }
  }
  ancestors.pop();
}

function notJson({ what, keys }: Walk, problem: string): TypeError {
  const path = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
  const at = path === '' ? '' : ` at ${path.replace(/^\./, '')}`;
  return new TypeError(`${nameOf(what)} cannot be written as JSON: ${problem}${at}`);
}

/** Returns the name of a value. */
export function nameOf(what: ValueName): string {
  return typeof what === 'string' ? what : what();
}

/** Writes a value as JSON with sorted keys, so that equal JSON values give equal strings. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) =>
    typeof field === 'object' && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).sort(([a], [b]) => (a < b ? -1 : 1)))
      : field,
  );
}

/**
 * Tells whether two JSON values are equal. The order of keys does not matter.
 *
 * The package `dequal` is no replacement: it compares the `constructor` property. It calls two equal
 * documents different if a field of that name holds an object, or if they come from two realms.
 */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equal(property(a, name), property(b, name)))
  );
}

function property(value: object, name: string): unknown {
  return (value as Readonly<Record<string, unknown>>)[name];
}
