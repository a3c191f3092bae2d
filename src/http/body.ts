import { Observable } from 'rxjs';
import { concatenate } from '../operators/concatenate.ts';
import type { Exchange, Reading } from './exchange.ts';

// Decodes whole texts alone, so it keeps nothing from one to the next.
const decoder = new TextDecoder();

/** Reads a body whole, as text. Emits once, when the last byte is there. */
export function readText(body: Observable<Uint8Array>): Observable<string> {
  return read(body, asText);
}

/** Reads an answer whole. Emits once, when the last byte is there. */
export function readExchange(exchange: Exchange): Observable<Reading> {
  return read(exchange.body, (parts) => ({ text: asText(parts), exchange }));
}

/** Reads a body whole, as bytes. Emits once, when the last byte is there. */
export function readBytes(body: Observable<Uint8Array>): Observable<Uint8Array> {
  return read(body, concatenate);
}

/** One layer, for every answer passes through it. */
function read<T>(
  body: Observable<Uint8Array>,
  finish: (parts: readonly Uint8Array[]) => T,
): Observable<T> {
  return new Observable((subscriber) => {
    const parts: Uint8Array[] = [];
    return body.subscribe({
      next: (part) => {
        parts.push(part);
      },
      error: (error: unknown) => subscriber.error(error),
      complete: () => {
        let whole: T;
        try {
          whole = finish(parts);
        } catch (error) {
          // There are answers that are longer than a string can be.
          subscriber.error(error);
          return;
        }
        subscriber.next(whole);
        subscriber.complete();
      },
    });
  });
}

function asText(parts: readonly Uint8Array[]): string {
  return decoder.decode(concatenate(parts));
}
