import { defer, from, isObservable, map, of } from 'rxjs';
import type { Observable, Observer } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';
import { announceBlob, repeatableBody } from '../http/transport.ts';
import type { RequestBody } from '../http/transport.ts';
import { requireWellFormed } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { AttachmentProgress } from './attachment-read.ts';

/**
 * The content of an attachment: text, bytes, a Blob or File, an async iterable such as a stream of
 * Node, or an Observable of bytes.
 */
export type AttachmentContent =
  string | Uint8Array | ArrayBuffer | Blob | AsyncIterable<Uint8Array> | Observable<Uint8Array>;

/** Content that is ready to send. */
export interface Upload {
  /** The name of the File, or of the file that the stream reads. */
  readonly name: string | undefined;
  /** The media type of a Blob or File, or `''`. */
  readonly type: string;
  /** The bytes, if they are kept: a stream is gone when it has been sent. */
  readonly bytes: Uint8Array | Blob | undefined;
  /** Whether the content is text, which is sent as UTF-8. */
  readonly isText: boolean;
  /** Opens the content for a request. Retries work if it can be read more than once. */
  open(progress: Partial<Observer<AttachmentProgress>> | undefined): {
    readonly body: RequestBody;
    readonly length: number | undefined;
  };
}

/** The size of a chunk in bytes, if there is a `progress` observer. */
const CHUNK_SIZE = 64 * 1024;

/**
 * Makes content ready to send.
 *
 * @throws TypeError for content that cannot be attached.
 */
export function toUpload(content: AttachmentContent): Upload {
  if (typeof content === 'string') {
    requireWellFormed(content, 'The content of an attachment');
    return uploadBytes(new TextEncoder().encode(content), true);
  }
  if (content instanceof Uint8Array) return uploadBytes(content, false);
  if (content instanceof ArrayBuffer) return uploadBytes(new Uint8Array(content), false);
  if (typeof Blob !== 'undefined' && content instanceof Blob) {
    const { size, type } = content;
    const name = 'name' in content && typeof content.name === 'string' ? content.name : undefined;
    return {
      name,
      type,
      bytes: content,
      isText: false,
      open: (progress) => ({
        body: repeatableBody(() => blobChunks(content, progress)),
        length: size,
      }),
    };
  }
  if (isObservable(content)) return uploadStream(() => eachValueFrom(content), undefined);
  if (typeof content === 'object' && content !== null && Symbol.asyncIterator in content) {
    const { path } = content as { readonly path?: unknown };
    // A file stream of Node has the path of its file.
    const name = typeof path === 'string' ? path.replace(/^.*[/\\]/, '') : undefined;
    return uploadStream(() => content, name);
  }
  throw invalidArgument(
    'The content of an attachment',
    'text, bytes, a Blob, a stream or an Observable',
    content,
  );
}

function uploadBytes(bytes: Uint8Array, isText: boolean): Upload {
  return {
    name: undefined,
    type: '',
    isText,
    bytes,
    open: (progress) => ({
      body:
        progress === undefined
          ? bytes
          : repeatableBody(() => withProgress(byteChunks(bytes), bytes.length, progress)),
      length: bytes.length,
    }),
  };
}

function uploadStream(
  openStream: () => AsyncIterable<Uint8Array>,
  name: string | undefined,
): Upload {
  return {
    name,
    type: '',
    bytes: undefined,
    isText: false,
    open: (progress) => ({ body: withProgress(openStream(), null, progress), length: undefined }),
  };
}

async function* byteChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += CHUNK_SIZE) yield bytes.subarray(i, i + CHUNK_SIZE);
}

/** Lets the transport take the Blob as it is: a copy of a large one would block a page for seconds. */
async function* blobChunks(
  blob: Blob,
  progress: Partial<Observer<AttachmentProgress>> | undefined,
): AsyncGenerator<Uint8Array> {
  let isTaken = false;
  yield announceBlob(() => {
    isTaken = true;
    return blob;
  });
  if (isTaken) {
    progress?.next?.({ done: blob.size, total: blob.size });
    progress?.complete?.();
    yield new Uint8Array(0);
  }
  // After the Blob was taken, the first chunk tells whether it can be read.
  yield* withProgress(slices(blob), blob.size, isTaken ? undefined : progress);
}

async function* slices(blob: Blob): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < blob.size; i += CHUNK_SIZE) {
    yield new Uint8Array(await blob.slice(i, i + CHUNK_SIZE).arrayBuffer());
  }
}

async function* withProgress(
  source: AsyncIterable<Uint8Array>,
  total: number | null,
  progress: Partial<Observer<AttachmentProgress>> | undefined,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const chunk of source) {
    yield chunk;
    // A chunk counts when the transport requests the next: it has taken this one.
    done += chunk.length;
    progress?.next?.({ done, total });
  }
  progress?.complete?.();
}

type MediaTypeLookup = (filename: string) => string | null;

/** The types that pages use most, each with its extensions. Node knows many more. */
const COMMON_TYPES =
  'image/png png,image/jpeg jpg jpeg,image/gif gif,image/webp webp,image/svg+xml svg,' +
  'text/html html htm,text/css css,text/javascript js mjs,text/plain txt,text/csv csv,text/markdown md,' +
  'application/json json,application/pdf pdf,application/xml xml,application/zip zip,' +
  'audio/mpeg mp3,video/mp4 mp4,video/webm webm';

function commonType(filename: string): string | null {
  const extension = filename.split('.').slice(1).pop()?.toLowerCase() ?? '';
  const types = COMMON_TYPES.split(',').map((entry) => entry.split(' '));
  return types.find((words) => words.indexOf(extension) > 0)?.[0] ?? null;
}

let lookup: MediaTypeLookup | null = null;
let loadLookup: (() => Promise<MediaTypeLookup>) | null = null;

/**
 * Sets the function that loads the lookup of media types by file name. The entry point for Node passes
 * one from a library, which knows hundreds of extensions. Browsers know only the common ones, because a
 * page's bundle must stay small.
 */
export function setTypeOfName(load: () => Promise<MediaTypeLookup>): void {
  loadLookup = load;
}

/**
 * Emits the type for a name, or for the kind of the content if the name has no known type. The first
 * name without a common type loads the lookup.
 */
export function typeOfNamed(name: string, isText: boolean): Observable<string> {
  return defer(() => {
    const common = commonType(name);
    if (common !== null || lookup !== null || loadLookup === null)
      return of(knownType(common ?? lookup?.(name), isText));
    return from(loadLookup()).pipe(
      map((loaded) => {
        lookup = loaded;
        return knownType(loaded(name), isText);
      }),
    );
  });
}

function knownType(known: string | null | undefined, isText: boolean): string {
  const binary = 'application/octet-stream';
  const type = known ?? binary;
  if (!isText) return type;
  if (type === binary) return 'text/plain;charset=utf-8';
  // Browsers read HTML and text without a charset in an encoding that they guess.
  return type.startsWith('text/') ? `${type};charset=utf-8` : type;
}
