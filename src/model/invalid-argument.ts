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

/** Makes the error for an option that does not exist: it names the one that was meant, if one is similar. */
export function unknownOption(what: string, name: string, known: Iterable<string>): TypeError {
  const similar = mostSimilar(name, known);
  const question = similar === undefined ? '' : `; did you mean '${similar}'?`;
  return new TypeError(`${what}: unknown option '${name}'${question}`);
}

/**
 * Checks the options of a method.
 *
 * @param known - The names of all options. Default: the method checks the names itself.
 * @throws TypeError for a value that is no object, and for an unknown option.
 */
export function requireOptions(
  options: unknown,
  what: string,
  known?: readonly string[],
): asserts options is object {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidArgument(`${what}: options`, 'an object', options);
  const unknown = known && Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw unknownOption(what, unknown, known ?? []);
}

/** Returns the name that another shortens, or from which it differs in one letter of four at most. */
function mostSimilar(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 4)) + 1;
  for (const candidate of known) {
    const isShortened = name.length > 2 && plain(candidate).startsWith(plain(name));
    const difference = isShortened ? 1 : distance(plain(name), plain(candidate));
    // A name of two letters is similar to every other.
    if (difference >= least || (difference > 0 && candidate.length < 3)) continue;
    [best, least] = [candidate, difference];
  }
  return best;
}

const plain = (name: string): string => name.replace(/[_-]/g, '').toLowerCase();

/** Counts the letters to insert, remove, replace or swap with the next one (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: readonly number[] = [];
  let row: readonly number[] = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const replaced = (row[j - 1] as number) + (isSame ? 0 : 1);
      let least = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, replaced);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] ?? Infinity) + 1);
      next.push(least);
    }
    [before, row] = [row, next];
  }
  return row[b.length] as number;
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
