/** A field that is not there: conditions on it fail, but `{ $exists: false }`. */
export const MISSING: unique symbol = Symbol('missing');

/** A field of something that cannot have fields: all conditions on it fail. */
export const ASTRAY: unique symbol = Symbol('astray');

/** Reads a field by its path, as `'address.city'`; undefined where it is not there. */
export function readField(doc: unknown, path: string): unknown {
  const value = read(doc, steps(path));
  return value === MISSING || value === ASTRAY ? undefined : value;
}

/** Reads a field, or an element of a list by its number. */
export function read(value: unknown, path: readonly string[]): unknown {
  let present = value;
  for (const step of path) {
    if (Array.isArray(present)) {
      if (!/^\+?\d+$/.test(step) || Number(step) >= present.length) return ASTRAY;
      present = present[Number(step)];
    } else if (isPlainObject(present)) {
      if (!Object.hasOwn(present, step)) return MISSING;
      present = present[step];
    } else {
      return ASTRAY;
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
