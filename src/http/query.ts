import { assertJson } from '../model/json.ts';

/** How an option is written in a query string: its name on the wire, and its value. */
interface Parameter {
  readonly wire: string;
  readonly encode: (value: unknown, name: string) => string;
}

/** The options an operation takes, by name. */
export type Parameters = Readonly<Record<string, Parameter>>;

/** A number that is whole and not negative. */
export const count = (wire: string): Parameter => ({
  wire,
  encode: (value, name) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)
      return String(value);
    throw new RangeError(`${name} must be a whole number from 0, not ${show(value)}`);
  },
});

/** `true` or `false`. */
export const flag = (wire: string): Parameter => ({
  wire,
  encode: (value, name) => {
    if (typeof value === 'boolean') return String(value);
    throw new TypeError(`${name} must be true or false, not ${show(value)}`);
  },
});

/** A string, sent as it is. */
export const text = (wire: string): Parameter => ({
  wire,
  encode: (value, name) => {
    if (typeof value === 'string' && value !== '') return value;
    throw new TypeError(`${name} must be a string that is not empty, not ${show(value)}`);
  },
});

/** Any JSON value, sent as JSON. */
export const json = (wire: string): Parameter => ({
  wire,
  encode: (value, name) => {
    assertJson(value, name);
    return JSON.stringify(value);
  },
});

/** One of the given strings. */
export const oneOf = (wire: string, ...allowed: readonly string[]): Parameter => ({
  wire,
  encode: (value, name) => {
    if (typeof value === 'string' && allowed.includes(value)) return value;
    const list = allowed.map((one) => `'${one}'`).join(', ');
    throw new TypeError(`${name} must be one of ${list}, not ${show(value)}`);
  },
});

/** Whatever `encode` makes of the value. */
export const custom = (wire: string, encode: Parameter['encode']): Parameter => ({ wire, encode });

/**
 * Writes options as a query string, with its `?`, or `''` where there are none. Options that are
 * undefined are left out.
 *
 * @throws TypeError for an option that is not in the table, with the one that may have been meant.
 */
export function toQuery(parameters: Parameters, options: object, what: string): string {
  let query = '';
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    if (parameter === undefined) throw unknownOption(parameters, name, what);
    const encoded = encodeURIComponent(parameter.encode(value, `${what}: ${name}`));
    query += `${query === '' ? '?' : '&'}${parameter.wire}=${encoded}`;
  }
  return query;
}

function unknownOption(parameters: Parameters, name: string, what: string): TypeError {
  const meant = Object.keys(parameters).find(
    (known) => plain(known) === plain(name) || parameters[known]?.wire === name,
  );
  return new TypeError(
    `${what}: unknown option '${name}'${meant ? `; did you mean '${meant}'?` : ''}`,
  );
}

const plain = (word: string): string => word.replaceAll('_', '').toLowerCase();

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
