import type { JsonCodec } from './model/json.ts';

export type { JsonCodec } from './model/json.ts';

/** The parts of ECMAScript's "JSON.parse source text access" proposal, which not every platform has. */
interface SourceTextJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}

/**
 * Returns a codec that keeps integers beyond ±(2⁵³ − 1): it reads and writes them as `bigint`. Pass it as
 * the option `codec` of a `Couch` or a `Database`.
 *
 * The default codec rounds such integers, also in documents that your program only changes in other
 * fields. Programs in Java, Go or Python write them, for example as ids or as times in nanoseconds.
 *
 * - **Reading:** an integer beyond the safe range is a `bigint`. All other numbers stay numbers: safe
 *   integers, fractions, and numbers with an exponent.
 * - **Writing:** a `bigint` of any size is written as an integer. Read again, a small one is a number.
 * - **Cost:** texts without a run of 16 digits take the path of `JSON`.
 *
 * Needs the package `lossless-json` on platforms without `JSON.rawJSON`: Node 20, and browsers before
 * 2025.
 *
 * @throws Error if the platform lacks `JSON.rawJSON`, and `lossless-json` is not installed.
 * @example
 * import { exactIntegers } from 'corduroy/exact-integers';
 *
 * const couch = new Couch(url, { codec: exactIntegers() });
 */
export function exactIntegers(): JsonCodec {
  if (slowCodec === null)
    throw new Error(
      'exactIntegers: this platform lacks JSON.rawJSON; install the package lossless-json',
    );
  const { parse, stringify } = slowCodec;
  return {
    parse: (text) => (LONG_DIGITS.test(text) ? parse(text) : (JSON.parse(text) as unknown)),
    stringify: (value) => {
      // A polyfill would write each bigint as a string.
      if ('toJSON' in BigInt.prototype) return stringify(value);
      try {
        return JSON.stringify(value);
      } catch {
        // The value holds a bigint, or a cycle.
        return stringify(value);
      }
    },
  };
}

/** 2⁵³ has 16 digits. */
const LONG_DIGITS = /\d{16}/;
const INTEGER = /^-?\d+$/;

/** The codec for texts with long integers, and for values with a bigint. */
const slowCodec: JsonCodec | null =
  'rawJSON' in JSON ? sourceTextCodec(JSON as unknown as SourceTextJson) : await losslessCodec();

function sourceTextCodec(json: SourceTextJson): JsonCodec {
  return {
    parse: (text) =>
      json.parse(text, (_, value, { source }) =>
        typeof value === 'number' && source !== undefined ? readNumber(source) : value,
      ),
    stringify: (value) =>
      JSON.stringify(value, function replace(this: Readonly<Record<string, unknown>>, key, field) {
        // `field` is what a `toJSON` of BigInt has made of the bigint.
        const original = this[key];
        return typeof original === 'bigint' ? json.rawJSON(String(original)) : (field as unknown);
      }),
  };
}

async function losslessCodec(): Promise<JsonCodec | null> {
  try {
    const { parse, stringify } = await import('lossless-json');
    return {
      parse: (text) =>
        parse(text, undefined, {
          parseNumber: readNumber,
          // As `JSON.parse` does: the last value counts.
          onDuplicateKey: ({ newValue }) => newValue,
        }),
      stringify: (value) => stringify(value) as string,
    };
  } catch {
    return null;
  }
}

function readNumber(source: string): number | bigint {
  const number = Number(source);
  return Number.isSafeInteger(number) || !INTEGER.test(source) ? number : BigInt(source);
}
