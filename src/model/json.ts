/**
 * Refuses a value that JSON would lose or change in silence: NaN and Infinity (which become null),
 * BigInt and cycles (which throw without saying where), functions, symbols, Map, Set and binary
 * data (which vanish or turn into `{}`), and holes in arrays. `undefined` as a property is left
 * out, as everywhere in JavaScript.
 *
 * @throws TypeError that names what was wrong and the path to it.
 */
export function assertJson(value: unknown, what: string): void {
  check(value, what, '', []);
}

/** Tells whether a string is well-formed Unicode, as JSON, URLs and CouchDB require. */
export function isWellFormed(text: string): boolean {
  try {
    encodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function check(value: unknown, what: string, path: string, ancestors: object[]): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'undefined':
      throw refused(what, path, 'undefined');
    case 'number':
      if (Number.isFinite(value)) return;
      throw refused(what, path, String(value));
    case 'object':
      if (value !== null) checkObject(value, what, path, ancestors);
      return;
    default:
      throw refused(what, path, `a ${typeof value}`);
  }
}

function checkObject(value: object, what: string, path: string, ancestors: object[]): void {
  if (ancestors.includes(value)) throw refused(what, path, 'a cycle');
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const replaced: unknown = value.toJSON();
    // An invalid Date turns into null.
    if (replaced === null) throw refused(what, path, 'an invalid date');
    ancestors.push(value);
    check(replaced, what, path, ancestors);
    ancestors.pop();
    return;
  }
  if (value instanceof Map || value instanceof Set) {
    throw refused(what, path, `a ${value.constructor.name}, which JSON has not`);
  }
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw refused(what, path, 'binary data (save it as an attachment)');
  }
  ancestors.push(value);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], what, `${path}[${i}]`, ancestors);
  } else {
    for (const key of Object.keys(value)) {
      const field: unknown = (value as Record<string, unknown>)[key];
      if (field === undefined) continue;
      check(field, what, path === '' ? key : `${path}.${key}`, ancestors);
    }
  }
  ancestors.pop();
}

function refused(what: string, path: string, found: string): TypeError {
  return new TypeError(`${what} cannot be written as JSON: ${found}${path && ` at ${path}`}`);
}
