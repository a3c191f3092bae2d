import { map, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Exchange, Reading } from './exchange.ts';

/** Reads a body whole, as text. Emits once, when the last byte is there. */
export function readText(body: Observable<Uint8Array>): Observable<string> {
  return readBytes(body).pipe(map((bytes) => new TextDecoder().decode(bytes)));
}

/** Reads an answer whole. Emits once, when the last byte is there. */
export function readExchange(exchange: Exchange): Observable<Reading> {
  return readText(exchange.body).pipe(map((text) => ({ text, exchange })));
}

/** Reads a body whole, as bytes. Emits once, when the last byte is there. */
export function readBytes(body: Observable<Uint8Array>): Observable<Uint8Array> {
  // A body is read once, so the seed may be grown in place.
  return body.pipe(
    reduce((parts: Uint8Array[], chunk) => (parts.push(chunk), parts), []),
    map(concatenate),
  );
}

/** Joins chunks; a single one is not copied. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
