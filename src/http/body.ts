import { map, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { concatenate } from '../operators/concatenate.ts';
import type { Exchange, Reading } from './exchange.ts';

// Decodes whole texts alone, so it keeps nothing from one to the next.
const decoder = new TextDecoder();

/** Reads a body whole, as text. Emits once, when the last byte is there. */
export function readText(body: Observable<Uint8Array>): Observable<string> {
  return readBytes(body).pipe(map((bytes) => decoder.decode(bytes)));
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
