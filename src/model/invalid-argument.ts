/** Makes the error for an invalid argument: `name must be what (received value)`. */
export function invalidArgument(
  name: string,
  what: string,
  value: unknown,
  Kind: new (message: string) => TypeError = TypeError,
): TypeError {
  return new Kind(`${name} must be ${what} (received ${describeValue(value)})`);
}

/** Describes a value for an error message: shortened, and without the userinfo of a URL. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') {
    const safe = value.replace(/\/\/[^/?#]*@/, '//***@');
    return JSON.stringify(safe.length > 80 ? `${safe.slice(0, 77)}...` : safe);
  }
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? 'an array' : 'an object';
}
