/** Reads an answer that must be an object. What it throws becomes a `ProtocolError`. */
export function asObject(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
    return body as Readonly<Record<string, unknown>>;
  }
  throw new TypeError('expected an object');
}

/** Reads an answer that must be an array. */
export function asArray(body: unknown): readonly unknown[] {
  if (Array.isArray(body)) return body;
  throw new TypeError('expected an array');
}

/** Reads a string field. */
export function stringField(body: unknown, name: string): string {
  const value = asObject(body)[name];
  if (typeof value === 'string') return value;
  throw new TypeError(`expected a string as '${name}'`);
}

/** Reads an array field. */
export function arrayField(body: unknown, name: string): readonly unknown[] {
  const value = asObject(body)[name];
  if (Array.isArray(value)) return value;
  throw new TypeError(`expected an array as '${name}'`);
}

/** Reads a number field, or null where there is none. */
export function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** Reads a sequence: a string, where servers of old say a number. */
export function sequence(value: unknown): string {
  if (typeof value === 'string') return value;
  // Cloudant's older clusters answer [number, string]; each comes back as it was given.
  if (typeof value === 'number' || Array.isArray(value)) return JSON.stringify(value);
  throw new TypeError('expected a sequence');
}
