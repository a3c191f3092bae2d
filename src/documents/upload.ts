import { isObservable } from 'rxjs';
import type { Observable, Observer } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';
import type { RequestBody } from '../http/transport.ts';
import { mustBe } from '../model/must-be.ts';
import type { AttachmentProgress } from './attachments.ts';

/**
 * What can be attached: text, bytes, a Blob or File, a stream (Node's or any other that can be read
 * with `for await`), or an Observable of bytes.
 */
export type AttachmentContent =
  string | Uint8Array | ArrayBuffer | Blob | AsyncIterable<Uint8Array> | Observable<Uint8Array>;

/** Content made ready to be sent. */
export interface Upload {
  /** The name that the content has by itself: a File's, or that of the file a stream reads. */
  readonly name: string | undefined;
  /** The media type that the content knows of itself; `''` for none. */
  readonly type: string;
  /** Opens it anew for each request, if it can be read more than once. */
  open(progress: Partial<Observer<AttachmentProgress>> | undefined): {
    readonly body: RequestBody;
    readonly length: number | undefined;
  };
}

/** How much is handed over at once where progress is asked for. */
const PIECE = 64 * 1024;

/**
 * Looks at content.
 *
 * @throws TypeError for what cannot be attached.
 */
export function toUpload(content: AttachmentContent): Upload {
  if (typeof content === 'string')
    return ofBytes(new TextEncoder().encode(content), undefined, 'text/plain;charset=utf-8');
  if (content instanceof Uint8Array) return ofBytes(content, undefined, '');
  if (content instanceof ArrayBuffer) return ofBytes(new Uint8Array(content), undefined, '');
  if (typeof Blob !== 'undefined' && content instanceof Blob) {
    const { size, type } = content;
    const name = 'name' in content && typeof content.name === 'string' ? content.name : undefined;
    return {
      name,
      type,
      open: (progress) => ({ body: counted(piecesOfBlob(content), size, progress), length: size }),
    };
  }
  if (isObservable(content)) return ofStream(() => eachValueFrom(content), undefined);
  if (typeof content === 'object' && content !== null && Symbol.asyncIterator in content) {
    const { path } = content as { readonly path?: unknown };
    // A file that is being read by Node knows where it lies.
    const name = typeof path === 'string' ? path.replace(/^.*[/\\]/, '') : undefined;
    return ofStream(() => content, name);
  }
  throw mustBe(
    'The content of an attachment',
    'text, bytes, a Blob, a stream or an Observable',
    content,
  );
}

function ofBytes(bytes: Uint8Array, name: string | undefined, type: string): Upload {
  return {
    name,
    type,
    open: (progress) => ({
      body: progress === undefined ? bytes : counted(piecesOf(bytes), bytes.length, progress),
      length: bytes.length,
    }),
  };
}

function ofStream(begin: () => AsyncIterable<Uint8Array>, name: string | undefined): Upload {
  return {
    name,
    type: '',
    open: (progress) => ({ body: counted(begin(), null, progress), length: undefined }),
  };
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += PIECE) yield bytes.subarray(i, i + PIECE);
}

async function* piecesOfBlob(blob: Blob): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < blob.size; i += PIECE) {
    yield new Uint8Array(await blob.slice(i, i + PIECE).arrayBuffer());
  }
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  total: number | null,
  progress: Partial<Observer<AttachmentProgress>> | undefined,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const piece of source) {
    yield piece;
    done += piece.length;
    progress?.next?.({ done, total });
  }
  progress?.complete?.();
}
