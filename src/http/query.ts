import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** Validates the value of an option and encodes it for a query string. `name` is for its errors. */
export type Parameter = (value: unknown, name: string) => string;

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
export const json: Parameter = (value, name) => {
  assertJson(value, name);
  return JSON.stringify(value);
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
  return WIRE_NAMES[name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Encodes options as a query string with its `?`, or as `''` if there are none. Omits undefined options.
 *
 * @param parameters - The known options.
 * @param what - The name of the method, for errors.
 * @throws TypeError for an unknown option, with the most similar name; also for an invalid value.
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
 * Validates options as {@link toQuery} does, and returns them as a JSON body with wire names.
 *
 * @throws TypeError for an unknown option, with the most similar name; also for an invalid value.
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
  const similar = Object.keys(parameters).find((known) => normalize(known) === normalize(name));
  return new TypeError(
    `${what}: unknown option '${name}'${similar ? `; did you mean '${similar}'?` : ''}`,
  );
}

const normalize = (name: string): string => name.replaceAll('_', '').toLowerCase();

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
  toBody(BACKOFF, options, name);
}
