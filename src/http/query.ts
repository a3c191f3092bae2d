import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** How the value of an option is written in a query string; `name` is for what is said of it. */
export type Parameter = (value: unknown, name: string) => string;

/** The options that an operation takes, by name. */
export type Parameters = Readonly<Record<string, Parameter>>;

/** A number that is whole and not negative. */
export const count: Parameter = (value, name) => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return String(value);
  throw invalidArgument(name, 'a whole number from 0', value, RangeError);
};

/** `true` or `false`. */
export const flag: Parameter = (value, name) => {
  if (typeof value === 'boolean') return String(value);
  throw invalidArgument(name, 'true or false', value);
};

/** A string, sent as it is. */
export const text: Parameter = (value, name) => {
  if (typeof value === 'string' && value !== '') return value;
  throw invalidArgument(name, 'a string that is not empty', value);
};

/** Any JSON value, sent as JSON. */
export const json: Parameter = (value, name) => {
  assertJson(value, name);
  return JSON.stringify(value);
};

/** One of the given strings. */
export const oneOf =
  (...allowed: readonly string[]): Parameter =>
  (value, name) => {
    if (typeof value === 'string' && allowed.includes(value)) return value;
    throw invalidArgument(name, `one of '${allowed.join("', '")}'`, value);
  };

/** Options whose name on the wire is not their own with underscores. */
const WIRE: Readonly<Record<string, string>> = {
  startKey: 'startkey',
  endKey: 'endkey',
  startKeyDocId: 'startkey_docid',
  endKeyDocId: 'endkey_docid',
};

/** Returns what an option is called on the wire: `include_docs` for `includeDocs`. */
export function wireName(name: string): string {
  return WIRE[name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

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
    const encoded = encodeURIComponent(encoder(parameters, name, what)(value, `${what}: ${name}`));
    query += `${query === '' ? '?' : '&'}${wireName(name)}=${encoded}`;
  }
  return query;
}

/**
 * Writes options as the fields of a JSON body, by their names on the wire, after the same checks.
 *
 * @throws TypeError for an option that is not in the table, with the one that may have been meant.
 */
export function toBody(
  parameters: Parameters,
  options: object,
  what: string,
): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    encoder(parameters, name, what)(value, `${what}: ${name}`);
    body[wireName(name)] = value;
  }
  return body;
}

function encoder(parameters: Parameters, name: string, what: string): Parameter {
  const encode = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
  if (encode === undefined) throw unknownOption(parameters, name, what);
  return encode;
}

function unknownOption(parameters: Parameters, name: string, what: string): TypeError {
  const meant = Object.keys(parameters).find((known) => plain(known) === plain(name));
  return new TypeError(
    `${what}: unknown option '${name}'${meant ? `; did you mean '${meant}'?` : ''}`,
  );
}

const plain = (word: string): string => word.replaceAll('_', '').toLowerCase();
