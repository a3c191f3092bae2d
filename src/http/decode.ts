import { canonical } from '../model/json.ts';

/** Makes the error for an unexpected response. `Connection` converts it to a `ProtocolError`. */
function expected(description: string): TypeError {
  return new TypeError(`expected ${description}`);
}

/** Returns a response body that must be an object. */
export function asObject(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw expected('an object');
  return body as Readonly<Record<string, unknown>>;
}

/** Returns a response body that must be an array. */
export function asArray(body: unknown, what = 'an array'): readonly unknown[] {
  if (!Array.isArray(body)) throw expected(what);
  return body;
}

/** Returns a field that must be a string. */
export function stringField(body: unknown, name: string): string {
  const value = asObject(body)[name];
  if (typeof value !== 'string') throw expected(`a string as '${name}'`);
  return value;
}

/** Returns a field that must be an array. */
export function arrayField(body: unknown, name: string): readonly unknown[] {
  return asArray(asObject(body)[name], `an array as '${name}'`);
}

/** Returns a number, or null for any other value. */
export function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** Returns a sequence: a string, or the JSON of a number or array from an older server. */
export function sequence(value: unknown): string {
  if (typeof value === 'string') return value;
  // Older Cloudant clusters send [number, string], and accept its JSON as `since`.
  if (typeof value === 'number' || typeof value === 'bigint' || Array.isArray(value))
    return canonical(value);
  throw expected('a sequence');
}

/** Refuses an answer about another document than the one that was sent. */
export function requireSameId(sent: string, received: string): void {
  if (sent === received) return;
  const ids = `${JSON.stringify(sent)} was sent, and ${JSON.stringify(received)} was answered`;
  throw new TypeError(`${ids}: a proxy between Corduroy and CouchDB changes paths`);
}
