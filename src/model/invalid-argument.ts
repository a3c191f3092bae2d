/** Makes the error of an argument that is not what it must be. */
export function invalidArgument(
  name: string,
  what: string,
  value: unknown,
  Kind: new (message: string) => TypeError = TypeError,
): TypeError {
  return new Kind(`${name} must be ${what}, not ${describeValue(value)}`);
}

/** Shows a value in a message, shortened; a URL loses its userinfo. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') {
    const safe = value.replace(/\/\/[^/?#]*@/, '//***@');
    return JSON.stringify(safe.length > 80 ? `${safe.slice(0, 77)}...` : safe);
  }
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? 'an array' : 'an object';
}
