import { assertJson, assertQuery } from '../model/json.ts';
import type { JsonCodec } from '../model/json.ts';
import { invalidArgument, unknownOption, requireOptions } from '../model/invalid-argument.ts';
import { encodeText } from './url.ts';

/** Validates the value of an option and encodes it for a query string. `name` is for its errors. */
export type Parameter = (value: unknown, name: string, codec?: JsonCodec) => string;

/** The options of an operation, by name. */
export type Parameters = Readonly<Record<string, Parameter>>;

/** Encodes a whole number from 0. */
export const count: Parameter = (value, name) => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return String(value);
  throw invalidArgument(name, 'a whole number from 0', value, RangeError);
};

/** Encodes a boolean. */
export const flag: Parameter = (value, name) => {
  if (typeof value === 'boolean') return String(value);
  throw invalidArgument(name, 'true or false', value);
};

/** Encodes a string that is not empty, unchanged. */
export const text: Parameter = (value, name) => {
  if (typeof value === 'string' && value !== '') return value;
  throw invalidArgument(name, 'a string that is not empty', value);
};

/** Encodes any JSON value as JSON. */
export const json: Parameter = (value, name, codec = JSON) => {
  assertJson(value, name, codec);
  return codec.stringify(value);
};

/** Encodes a JSON value that restricts what is found: without `undefined`, also in nested fields. */
export const restriction: Parameter = (value, name, codec = JSON) => {
  assertQuery(value, name, codec);
  return codec.stringify(value);
};

/** Encodes one of the given strings. */
export const oneOf =
  (...allowed: readonly string[]): Parameter =>
  (value, name) => {
    if (typeof value === 'string' && allowed.includes(value)) return value;
    throw invalidArgument(name, `one of '${allowed.join("', '")}'`, value);
  };

/** The options whose wire names are not their snake_case forms. */
const WIRE_NAMES: Readonly<Record<string, string>> = {
  startKey: 'startkey',
  endKey: 'endkey',
  startKeyDocId: 'startkey_docid',
  endKeyDocId: 'endkey_docid',
};

/** Returns the wire name of an option: `include_docs` for `includeDocs`. */
export function wireName(name: string): string {
  const known = Object.hasOwn(WIRE_NAMES, name) ? WIRE_NAMES[name] : undefined;
  return known ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The options that restrict what is found. Without one of them, a query finds more. */
const RESTRICTIONS: ReadonlySet<string> = new Set([
  'key',
  'keys',
  'startKey',
  'endKey',
  'startKeyDocId',
  'endKeyDocId',
  'selector',
  'partialFilterSelector',
  'docIds',
  'filter',
  'view',
  'queryParams',
  'q',
  'drilldown',
  'states',
]);

/** Tells whether an option restricts what is found. */
export function isRestriction(name: string): boolean {
  return RESTRICTIONS.has(name);
}

/**
 * Validates that no option that restricts a query is `undefined`. The query would find more than the
 * caller asked for, for example the documents of all owners.
 *
 * @throws TypeError that names the option.
 */
export function requireRestrictions(options: object, what: string): void {
  requireOptions(options, what);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined && isRestriction(name))
      throw new TypeError(
        `${what}: ${name} must not be undefined: the request would find more; omit the option to find all`,
      );
  }
}

/**
 * Encodes options as a query string with its `?`, or as `''` if there are none. Omits undefined options.
 *
 * @param parameters - The known options.
 * @param what - The name of the method, for errors.
 * @param codec - Encodes values as JSON.
 * @throws TypeError for an unknown option, with the most similar name; also for an invalid value, and for
 * an undefined option that restricts the query.
 */
export function toQuery(
  parameters: Parameters,
  options: object,
  what: string,
  codec?: JsonCodec,
): string {
  requireRestrictions(options, what);
  let query = '';
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const label = `${what}: ${name}`;
    const encoded = encodeText(encoder(parameters, name, what)(value, label, codec), label);
    query += `${query === '' ? '?' : '&'}${wireName(name)}=${encoded}`;
  }
  return query;
}

/**
 * Encodes the parameters of a function on the server: of a filter, a show, a list or an update function.
 *
 * @returns the query string without its `?`; `''` if there are no parameters.
 * @throws TypeError for a value other than a string, a number or a boolean, which the function would
 * receive as a text such as "undefined".
 */
export function functionQuery(parameters: object, what: string): string {
  if (typeof parameters !== 'object' || parameters === null)
    throw invalidArgument(what, 'an object', parameters);
  return Object.entries(parameters)
    .map(([name, value]: [string, unknown]) => {
      const label = `${what}: ${name}`;
      if (typeof value !== 'string' && typeof value !== 'boolean' && !Number.isFinite(value))
        throw invalidArgument(label, 'a string, a number or a boolean', value);
      return `${encodeText(name, what)}=${encodeText(String(value), label)}`;
    })
    .join('&');
}

/**
 * Validates options as {@link toQuery} does, and returns them as a JSON body with wire names.
 *
 * @throws TypeError for an unknown option, with the most similar name; also for an invalid value.
 */
export function toBody(
  parameters: Parameters,
  options: object,
  what: string,
  codec?: JsonCodec,
  separator = ': ',
): Record<string, unknown> {
  requireRestrictions(options, what);
  const body: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    encoder(parameters, name, what)(value, what + separator + name, codec);
    body[wireName(name)] = value;
  }
  return body;
}

function encoder(parameters: Parameters, name: string, what: string): Parameter {
  const encode = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
  if (encode === undefined) throw unknownOption(what, name, Object.keys(parameters));
  return encode;
}

const delay: Parameter = (value, name) => {
  if (typeof value === 'number' && value >= 0) return '';
  throw invalidArgument(name, 'milliseconds from 0', value, RangeError);
};
const BACKOFF: Parameters = {
  initialDelay: delay,
  maxDelay: delay,
  random: (value, name) => {
    if (typeof value === 'function') return '';
    throw invalidArgument(name, 'a function', value);
  },
};

/**
 * Validates the delays between retries. `name` is for errors.
 *
 * @throws TypeError or RangeError for unknown options, and for delays that are no milliseconds.
 */
export function requireBackoff(options: unknown, name: string): void {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument(name, 'an object', options);
  toBody(BACKOFF, options, name, undefined, '.');
}
