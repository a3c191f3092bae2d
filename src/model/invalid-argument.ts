/**
 * Makes the error for an invalid argument: `name must be expectation (received value)`.
 *
 * @param expectation - A noun phrase, as in `a whole number from 1`.
 * @param ErrorClass - `TypeError`, or `RangeError` for a number out of range.
 */
export function invalidArgument(
  name: string,
  expectation: string,
  value: unknown,
  ErrorClass: new (message: string) => TypeError = TypeError,
): TypeError {
  return new ErrorClass(`${name} must be ${expectation} (received ${describeValue(value)})`);
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
