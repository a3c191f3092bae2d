/**
 * The operators layer: RxJS operators without HTTP. It imports only the model and the errors.
 */
import { Observable } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import { guarded } from './to-observable.ts';

/** Concatenates chunks of bytes. Returns a single chunk as it is. */
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

const NEWLINE = 10;

/**
 * Splits chunks of bytes into lines. Each chunk that ends at least one line emits one array of lines,
 * without line ends. Chunks may split UTF-8 characters and CR LF anywhere.
 *
 * @param rest - The treatment of text after the last newline. `'drop'` is for a feed, where the last
 * line may be truncated; `'keep'` is for a body, which may end without a newline.
 * @param limit - The longest line in bytes, and its error.
 */
export function lines(
  rest: 'drop' | 'keep' = 'drop',
  limit: { readonly max: number; readonly tooLong: () => Error } | null = null,
): OperatorFunction<Uint8Array, readonly string[]> {
  return (source) =>
    new Observable((subscriber) => {
      // Without `stream: true`, because lines are whole, and Node then decodes seven times as fast.
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      // The start of an open line, in pieces, so that a line of 20 MB is joined only once.
      let pieces: Uint8Array[] = [];
      let length = 0;
      const next = (chunk: Uint8Array): void => {
        const end = chunk.lastIndexOf(NEWLINE);
        if (limit !== null && (length > 0 || chunk.length > limit.max)) {
          const first = end === -1 ? chunk.length : chunk.indexOf(NEWLINE);
          if (length + first > limit.max) throw limit.tooLong();
        }
        length = end === -1 ? length + chunk.length : chunk.length - end - 1;
        if (end === -1) {
          pieces.push(chunk);
          return;
        }
        let begin = 0;
        let first: string | undefined;
        if (pieces.length > 0) {
          begin = chunk.indexOf(NEWLINE) + 1;
          pieces.push(chunk.subarray(0, begin - 1));
          first = withoutReturn(decoder.decode(concatenate(pieces)));
          pieces = [];
        }
        // In UTF-8 a newline byte is never part of another character.
        const split = begin <= end ? splitLines(decoder.decode(chunk.subarray(begin, end))) : [];
        if (first !== undefined) split.unshift(first);
        if (end + 1 < chunk.length) pieces.push(chunk.subarray(end + 1));
        subscriber.next(split);
      };
      return source.subscribe(
        guarded(subscriber, {
          next,
          complete: () => {
            if (rest === 'keep' && pieces.length > 0) {
              subscriber.next([withoutReturn(decoder.decode(concatenate(pieces)))]);
            }
            subscriber.complete();
          },
        }),
      );
    });
}

function splitLines(text: string): string[] {
  const split = text.split('\n');
  if (!text.includes('\r')) return split;
  for (let i = 0; i < split.length; i++) split[i] = withoutReturn(split[i] ?? '');
  return split;
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
