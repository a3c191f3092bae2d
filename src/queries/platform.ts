import { compareJson } from '../model/collation.ts';
import { isAscii } from '../model/json.ts';
import type { Verdict } from './verdict.ts';

/** The rules that depend on the libraries of the server: the collation (ICU), and regular expressions (PCRE). */
export interface Platform {
  readonly compare: (a: unknown, b: unknown, byBytes: boolean) => number | undefined;
  readonly beginsWith: (value: string, prefix: string) => Verdict;
  readonly expression: (source: string) => RegExp | undefined;
  /** Whether a selector that is nothing but an empty combination matches nothing, as in `_find`. */
  readonly refusesEmpty: boolean;
}

/** Leaves to CouchDB what its libraries may decide in another way. */
export const CAREFUL: Platform = {
  compare: compareJson,
  // Beyond ASCII, the prefix may end within a character that is composed of several code points.
  beginsWith: (value, prefix) => value.startsWith(prefix) && (isAscii(value) ? true : undefined),
  // Only syntax with the same meaning in JavaScript and in PCRE.
  expression: (source) =>
    /^\^?[\w \-,:;@#/=~%&'"!<>]*$/.test(source) ? new RegExp(source) : undefined,
  refusesEmpty: true,
};

/** Tells whether CouchDB reads a number as an integer. JSON writes an exponent from 1e21 on. */
export function isWhole(value: unknown): value is number {
  return Number.isInteger(value) && Math.abs(value as number) < 1e21;
}
