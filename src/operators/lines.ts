/**
 * The operators room: pure Rx, without HTTP. It sees only the model and the errors.
 */
import { Observable } from 'rxjs';
import type { OperatorFunction } from 'rxjs';

const NEWLINE = 10;

/**
 * Splits chunks of bytes into lines: each chunk that ends one or more lines gives one array of
 * them, without their line ends. UTF-8 characters and CR LF may be split across chunks anywhere.
 * What stands after the last newline is dropped: a line that was cut must never be parsed.
 */
export function lines(): OperatorFunction<Uint8Array, readonly string[]> {
  return (source) =>
    new Observable((subscriber) => {
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      // The beginning of a line that has not ended yet, in pieces: a line of 20 MB is joined once.
      let pieces: Uint8Array[] = [];
      return source.subscribe({
        next: (chunk) => {
          const end = chunk.lastIndexOf(NEWLINE);
          if (end === -1) {
            pieces.push(chunk);
            return;
          }
          // A newline is never part of a longer character, so the text before it is whole.
          let text = '';
          for (const piece of pieces) text += decoder.decode(piece, { stream: true });
          text += decoder.decode(chunk.subarray(0, end));
          pieces = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : [];
          const split = text.split('\n');
          for (let i = 0; i < split.length; i++) {
            const line = split[i] ?? '';
            if (line.endsWith('\r')) split[i] = line.slice(0, -1);
          }
          subscriber.next(split);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
}
