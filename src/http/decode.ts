/** Says what an answer lacks; what is thrown here becomes a `ProtocolError`. */
function expected(what: string): TypeError {
  return new TypeError(`expected ${what}`);
}

/** Reads an answer that must be an object. */
export function asObject(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw expected('an object');
  return body as Readonly<Record<string, unknown>>;
}

/** Reads an answer that must be an array. */
export function asArray(body: unknown, what = 'an array'): readonly unknown[] {
  if (!Array.isArray(body)) throw expected(what);
  return body;
}

/** Reads a string field. */
export function stringField(body: unknown, name: string): string {
  const value = asObject(body)[name];
  if (typeof value !== 'string') throw expected(`a string as '${name}'`);
  return value;
}

/** Reads an array field. */
export function arrayField(body: unknown, name: string): readonly unknown[] {
  return asArray(asObject(body)[name], `an array as '${name}'`);
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
  throw expected('a sequence');
}

/** Refuses an answer about another document than the one that was sent. */
export function requireSameId(sent: string, received: string): void {
  if (sent === received) return;
  const ids = `${JSON.stringify(sent)} was sent, and ${JSON.stringify(received)} was answered`;
  throw new TypeError(`${ids}: a proxy between Corduroy and CouchDB changes paths`);
}
