/**
 * Refuses a value that JSON would lose or change in silence: NaN and Infinity (which become null),
 * BigInt and cycles (which throw without saying where), functions, symbols, Map, Set and binary
 * data (which vanish or turn into `{}`), and holes in arrays. `undefined` as a property is left
 * out, as everywhere in JavaScript.
 *
 * @throws TypeError that names what was wrong and the path to it.
 */
export function assertJson(value: unknown, what: ValueName): void {
  check(value, { what, ancestors: [], keys: [] });
}

/** What something is called in an error; a function where it is dear to say. */
export type ValueName = string | (() => string);

/** Tells whether a string is well-formed Unicode, as JSON, URLs and CouchDB require. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** Where a walk through a value is. Documents are saved by the thousand: paths are written last. */
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
      throw refused(walk, 'undefined');
    case 'number':
      if (Number.isFinite(value)) return;
      throw refused(walk, String(value));
    case 'object':
      if (value !== null) checkObject(value, walk);
      return;
    default:
      throw refused(walk, `a ${typeof value}`);
  }
}

function checkObject(value: object, walk: Walk): void {
  const { ancestors, keys } = walk;
  if (ancestors.includes(value)) throw refused(walk, 'a cycle');
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const replaced: unknown = value.toJSON();
    // An invalid Date turns into null.
    if (replaced === null) throw refused(walk, 'an invalid date');
    ancestors.push(value);
    check(replaced, walk);
    ancestors.pop();
    return;
  }
  if (value instanceof Map || value instanceof Set) {
    throw refused(walk, `a ${value.constructor.name}, which JSON has not`);
  }
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw refused(walk, 'binary data (save it as an attachment)');
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

function refused({ what, keys }: Walk, found: string): TypeError {
  const path = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
  const at = path === '' ? '' : ` at ${path.replace(/^\./, '')}`;
  return new TypeError(`${nameOf(what)} cannot be written as JSON: ${found}${at}`);
}

/** Says what something is called. */
export function nameOf(what: ValueName): string {
  return typeof what === 'string' ? what : what();
}

/** JSON with the names of objects in order: two values are equal where it is. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}

/** Tells whether two JSON values are equal, whatever the order of the names in them. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equal(valueAt(a, name), valueAt(b, name)))
  );
}

function valueAt(of: object, name: string): unknown {
  return (of as Readonly<Record<string, unknown>>)[name];
}
