import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';

/** The part of a database's documents that one of several consumers handles. */
export interface ConsumerSlice {
  /** The number of this slice: a whole number from 0 up to `of`, without `of`. */
  readonly index: number;
  /** The number of all slices: a whole number from 1. */
  readonly of: number;
}

/**
 * Validates the `slice` option of a method.
 *
 * @throws TypeError for a value that is no object, and for an unknown option; RangeError for numbers that
 * name no slice.
 */
export function requireSlice(slice: unknown, what: string): asserts slice is ConsumerSlice {
  if (typeof slice !== 'object' || slice === null || Array.isArray(slice))
    throw invalidArgument(what, 'an object { index, of }', slice);
  requireOptions(slice, what, ['index', 'of']);
  const { index, of } = slice as Partial<ConsumerSlice>;
  if (!Number.isSafeInteger(of) || Number(of) < 1)
    throw invalidArgument(`${what}.of`, 'a whole number from 1', of, RangeError);
  if (!Number.isSafeInteger(index) || Number(index) < 0 || Number(index) >= Number(of)) {
    const wanted = `a whole number from 0 to ${Number(of) - 1}, because there are ${of} slices`;
    throw invalidArgument(`${what}.index`, wanted, index, RangeError);
  }
}

const encoder = new TextEncoder();

/**
 * Returns the number of the slice that a document belongs to. It must never change: a checkpoint of a
 * slice is valid only for the same documents.
 *
 * The number is `(hash ^ (hash >>> 16)) % of`, where `hash` is the FNV-1a hash (32 bits, unsigned) of the
 * id in UTF-8. Without the upper half, the number of a power of two would depend on few bits of the id.
 */
export function sliceOf(id: string, of: number): number {
  let hash = 0x81_1c_9d_c5;
  for (const byte of encoder.encode(id)) hash = Math.imul(hash ^ byte, 0x01_00_01_93);
  hash >>>= 0;
  return ((hash ^ (hash >>> 16)) >>> 0) % of;
}
