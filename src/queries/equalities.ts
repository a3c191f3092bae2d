import { isPlainObject } from './fields.ts';

/**
 * Returns the values that matching documents must have, by the path of their field. A document with
 * another value in one of these fields never matches, unless either value is a string beyond ASCII: two
 * different strings may be equal for CouchDB.
 */
export function equalities(selector: object): ReadonlyMap<string, readonly unknown[]> {
  const found = new Map<string, readonly unknown[]>();
  collectEqualities(selector, '', found);
  return found;
}

function collectEqualities(
  condition: object,
  path: string,
  found: Map<string, readonly unknown[]>,
): void {
  for (const [name, operand] of Object.entries(condition) as [string, unknown][]) {
    if (name === '$and' && Array.isArray(operand)) {
      for (const part of operand) if (isPlainObject(part)) collectEqualities(part, path, found);
    } else if (name === '$eq') {
      if (path !== '' && isScalar(operand)) found.set(path, [operand]);
    } else if (!name.startsWith('$')) {
      const field = path === '' ? name : `${path}.${name}`;
      if (isPlainObject(operand)) collectEqualities(operand, field, found);
      else if (isScalar(operand)) found.set(field, [operand]);
    }
  }
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
