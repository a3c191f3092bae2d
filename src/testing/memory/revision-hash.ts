import { backwards } from './parameters.ts';
import type { Content } from './revision-tree.ts';
import { generationOf, hashOf } from './revision-tree.ts';

/**
 * Computes the revision of an edit as CouchDB does: the MD5 of its content and its parent in Erlang's
 * external term format. So a test sees the revisions that CouchDB 3.5 on Erlang 25 makes, and the same
 * winners.
 *
 * @param afterDeletion - Whether the edit gives a deleted document a new beginning.
 */
export function revisionOf(
  parent: string | undefined,
  content: Content,
  afterDeletion = false,
): string {
  const start = parent === undefined ? 0 : generationOf(parent);
  const attachments = backwards([...content.attachments]).map(
    ([name, { content_type: type, digest }]) =>
      // CouchDB computes this revision late, when it can no longer read the attachments.
      afterDeletion
        ? tuple([UNDEFINED, UNDEFINED, UNDEFINED])
        : tuple([text(name), text(type), binary(fromBase64(digest.slice('md5-'.length)))]),
  );
  const term = list([
    atom(String(content.deleted)),
    integer(start),
    parent === undefined ? integer(0) : binary(hashBytes(hashOf(parent))),
    toTerm(content.fields),
    list(attachments),
  ]);
  return `${start + 1}-${hex(md5(Uint8Array.from([131, ...term])))}`;
}

/** Returns the bytes of base64. */
export function fromBase64(encoded: string): Uint8Array {
  return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
}

/** Returns bytes as base64. */
export function toBase64(bytes: Uint8Array): string {
  let characters = '';
  for (const byte of bytes) characters += String.fromCharCode(byte);
  return btoa(characters);
}

/** Returns bytes as hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function hashBytes(hash: string): Uint8Array {
  if (!/^[\da-f]{32}$/.test(hash)) return new TextEncoder().encode(hash);
  return Uint8Array.from(hash.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

// Erlang's external term format: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html

type Bytes = readonly number[];

const UNDEFINED = atom('undefined');

function toTerm(value: unknown): Bytes {
  if (value === null || typeof value === 'boolean') return atom(String(value));
  if (typeof value === 'string') return text(value);
  if (typeof value === 'number')
    // JSON.stringify writes an exponent from 1e21 on, which CouchDB reads as a float.
    return Number.isInteger(value) && Math.abs(value) < 1e21 ? integer(value) : float(value);
  if (typeof value === 'bigint') return integer(value);
  if (Array.isArray(value)) return value.every(isByte) ? charList(value) : list(value.map(toTerm));
  const entries = Object.entries(value as object);
  return tuple([list(entries.map(([name, field]) => tuple([text(name), toTerm(field)])))]);
}

function isByte(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 256;
}

function atom(name: string): Bytes {
  return [100, 0, name.length, ...Array.from(name, (character) => character.charCodeAt(0))];
}

function text(value: string): Bytes {
  return binary(new TextEncoder().encode(value));
}

function binary(bytes: Uint8Array): Bytes {
  return [109, ...uint32(bytes.length), ...bytes];
}

function list(items: readonly Bytes[]): Bytes {
  return items.length === 0 ? [106] : [108, ...uint32(items.length), ...items.flat(), 106];
}

/** Erlang writes a list of small integers like a string. */
function charList(bytes: readonly number[]): Bytes {
  if (bytes.length === 0) return [106];
  if (bytes.length > 65_535) return list(bytes.map(integer));
  return [107, bytes.length >> 8, bytes.length & 255, ...bytes];
}

function tuple(items: readonly Bytes[]): Bytes {
  return [104, items.length, ...items.flat()];
}

function float(value: number): Bytes {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return [70, ...new Uint8Array(view.buffer)];
}

function integer(value: number | bigint): Bytes {
  const exact = BigInt(value);
  if (exact >= 0n && exact < 256n) return [97, Number(exact)];
  if (exact >= -(2n ** 31n) && exact < 2n ** 31n) return [98, ...uint32(Number(exact))];
  const digits: number[] = [];
  for (let rest = exact < 0n ? -exact : exact; rest > 0n; rest >>= 8n)
    digits.push(Number(rest & 255n));
  return [110, digits.length, Number(exact < 0n), ...digits];
}

function uint32(value: number): Bytes {
  return [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** Computes the MD5 of bytes (RFC 1321). It identifies content, and protects nothing. */
export function md5(bytes: Uint8Array): Uint8Array {
  const length = (((bytes.length + 8) >> 6) + 1) * 64;
  const padded = new Uint8Array(length);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(length - 8, (bytes.length * 8) >>> 0, true);
  view.setUint32(length - 4, Math.floor(bytes.length / 2 ** 29), true);
  let [a0, b0, c0, d0] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (let offset = 0; offset < length; offset += 64) {
    let [a, b, c, d] = [a0, b0, c0, d0];
    for (let i = 0; i < 64; i++) {
      const round = i >> 4;
      const [mix, word] =
        round === 0
          ? [(b & c) | (~b & d), i]
          : round === 1
            ? [(d & b) | (~d & c), (5 * i + 1) & 15]
            : round === 2
              ? [b ^ c ^ d, (3 * i + 5) & 15]
              : [c ^ (b | ~d), (7 * i) & 15];
      const sum = a + mix + (SINES[i] as number) + view.getUint32(offset + word * 4, true);
      const shift = (SHIFTS[round] as readonly number[])[i & 3] as number;
      [a, d, c] = [d, c, b];
      b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0;
    }
    [a0, b0, c0, d0] = [(a0 + a) | 0, (b0 + b) | 0, (c0 + c) | 0, (d0 + d) | 0];
  }
  const result = new DataView(new ArrayBuffer(16));
  [a0, b0, c0, d0].forEach((word, i) => result.setUint32(i * 4, word, true));
  return new Uint8Array(result.buffer);
}

const SINES = Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));
const SHIFTS = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
];
