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
  // A credential in the wrong place is a secret all the same.
  const isSecret = typeof value === 'string' && name.startsWith('auth.');
  const received = isSecret ? 'string' : describeValue(value);
  return new ErrorClass(`${name} must be ${expectation} (received ${received})`);
}

/** Describes a value for an error message: shortened, and without the userinfo of a URL. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') {
    const safe = withoutUserinfo(value);
    return JSON.stringify(safe.length > 80 ? `${safe.slice(0, 77)}...` : safe);
  }
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? 'an array' : 'an object';
}

/**
 * Removes all that may be userinfo, up to the last `@`. Any character may be in a password that breaks
 * the URL, so this does not parse the text.
 */
function withoutUserinfo(text: string): string {
  const at = text.lastIndexOf('@');
  if (at === -1) return text;
  // Later slashes may be a part of the password.
  const [start = ''] = /^(?:[a-z][a-z0-9+.-]*:)?\/\//i.exec(text) ?? [];
  if (start !== '') return `${start}***${text.slice(at)}`;
  return /:|\/\//.test(text.slice(0, at)) ? `***${text.slice(at)}` : text;
}
