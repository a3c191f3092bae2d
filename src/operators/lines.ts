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

/** Chunks below this size are joined, because each object takes more memory than its bytes. */
const SMALL = 512;
const MAX_SMALL = 1024;

/** The chunks of a body or a line, until it is complete. */
export class Chunks {
  #parts: Uint8Array[] = [];
  /** The number of small chunks at the end of `#parts`. */
  #small = 0;
  /** The number of bytes. */
  length = 0;

  add(chunk: Uint8Array): void {
    this.length += chunk.length;
    this.#small = chunk.length < SMALL ? this.#small + 1 : 0;
    this.#parts.push(chunk);
    if (this.#small < MAX_SMALL) return;
    this.#small = 0;
    this.#parts.push(concatenate(this.#parts.splice(-MAX_SMALL)));
  }

  /** Returns all bytes, and forgets them. */
  take(): Uint8Array {
    const whole = concatenate(this.#parts);
    this.#parts = [];
    this.#small = this.length = 0;
    return whole;
  }
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
      const open = new Chunks();
      const next = (chunk: Uint8Array): void => {
        const end = chunk.lastIndexOf(NEWLINE);
        if (limit !== null && open.length + chunk.length > limit.max) {
          const first = end === -1 ? chunk.length : chunk.indexOf(NEWLINE);
          if (open.length + first > limit.max) throw limit.tooLong();
        }
        if (end === -1) {
          open.add(chunk);
          return;
        }
        let begin = 0;
        let first: string | undefined;
        if (open.length > 0) {
          begin = chunk.indexOf(NEWLINE) + 1;
          open.add(chunk.subarray(0, begin - 1));
          first = withoutReturn(decoder.decode(open.take()));
        }
        // In UTF-8 a newline byte is never part of another character.
        const split = begin <= end ? splitLines(decoder.decode(chunk.subarray(begin, end))) : [];
        if (first !== undefined) split.unshift(first);
        if (end + 1 < chunk.length) open.add(chunk.subarray(end + 1));
        subscriber.next(split);
      };
      return source.subscribe(
        guarded(subscriber, {
          next,
          complete: () => {
            if (rest === 'keep' && open.length > 0) {
              subscriber.next([withoutReturn(decoder.decode(open.take()))]);
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
