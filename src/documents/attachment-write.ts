import { defer, isObservable } from 'rxjs';
import type { Observable, Observer } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';
import { stringField } from '../http/decode.ts';
import { assertHeader } from '../http/auth.ts';
import { duration } from '../operators/time.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { RequestBody } from '../http/transport.ts';
import { requireId } from '../http/url.ts';
import type { Attachments, Draft } from '../model/document.ts';
import { recordRevision } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { attachmentPath } from './attachment-read.ts';
import type { AttachmentProgress } from './attachment-read.ts';

/** Options for writing an attachment. */
export interface PutAttachmentOptions {
  /** The media type. Default: the type of the Blob or File, or the type that the file name stands for. */
  readonly contentType?: string;
  /** Observes the upload: receives the progress for each chunk, completes after the last, never errors. */
  readonly progress?: Partial<Observer<AttachmentProgress>>;
  /**
   * The longest time without data, in milliseconds; 0 disables it. A chunk of a Blob, a stream or an
   * Observable is data. Text and bytes are sent as a whole, so that they must be sent in this time.
   * @defaultValue the `timeout` of the `Couch`
   */
  readonly timeout?: number;
}

/** The result of writing or deleting an attachment: the id and the new revision of its document. */
export interface AttachmentWritten {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

type OwnerDocument = Draft<object> & { _id: string };

/** Writes an attachment, and records the new revision and the stub on the document. */
export function putAttachment(
  db: DatabaseScope,
  doc: Draft<object> & { readonly _id: string },
  content: AttachmentContent,
  filename: string | undefined,
  options: PutAttachmentOptions,
): Operation<AttachmentWritten> {
  const { progress, timeout } = options;
  if (timeout !== undefined) duration(timeout, 'putAttachment: timeout');
  const owner: OwnerDocument = doc;
  const id = requireOwner(owner, 'putAttachment');
  const upload = toUpload(content);
  const name = filename ?? upload.name;
  if (name === undefined)
    throw new TypeError('putAttachment: the content has no name; give a filename');
  // Validate now: throws at the call.
  attachmentPath(db, id, name, undefined);
  const type =
    options.contentType ?? (upload.type || mediaTypeOf(name)) ?? 'application/octet-stream';
  assertHeader('content-type', type, 'putAttachment: contentType');
  return writeAndRecord(
    db,
    owner,
    () => {
      const { body, length } = upload.open(progress);
      return {
        method: 'PUT',
        path: attachmentPath(db, owner._id, name, owner._rev),
        headers: {
          'content-type': type,
          ...(length !== undefined && { 'content-length': String(length) }),
        },
        body,
        ...(timeout !== undefined && { timeout }),
      };
    },
    () => ({ ...owner._attachments, [name]: { content_type: type, stub: true } }),
  );
}

/** Deletes an attachment, and records the new revision on the document. */
export function deleteAttachment(
  db: DatabaseScope,
  doc: Draft<object> & { readonly _id: string; readonly _rev: string },
  filename: string,
): Operation<AttachmentWritten> {
  const owner = doc as OwnerDocument;
  const id = requireOwner(owner, 'deleteAttachment');
  attachmentPath(db, id, filename, undefined);
  return writeAndRecord(
    db,
    owner,
    () => ({ method: 'DELETE', path: attachmentPath(db, owner._id, filename, owner._rev) }),
    () => {
      const { [filename]: _deleted, ...rest } = owner._attachments ?? {};
      return rest;
    },
  );
}

/**
 * Sends a write, and records its result on the document: the next save then works, and keeps the
 * attachments.
 */
function writeAndRecord(
  db: DatabaseScope,
  owner: OwnerDocument,
  describe: Parameters<DatabaseScope['connection']['json']>[0],
  attachments: () => Attachments,
): Operation<AttachmentWritten> {
  return new Operation(
    defer(() =>
      db.connection.json(describe, (body): AttachmentWritten => {
        const rev = stringField(body, 'rev');
        recordRevision(owner, owner._id, rev);
        const stubs = attachments();
        if (Object.keys(stubs).length === 0) Reflect.deleteProperty(owner, '_attachments');
        else Reflect.set(owner, '_attachments', stubs);
        return { ok: true, id: owner._id, rev };
      }),
    ),
  );
}

function requireOwner(doc: unknown, what: string): string {
  if (typeof doc !== 'object' || doc === null)
    throw invalidArgument(`${what}: doc`, 'a document with _id', doc);
  const { _id: id } = doc as { _id?: unknown };
  requireId(id, `${what}: the document's _id`);
  return id;
}

/**
 * The content of an attachment: text, bytes, a Blob or File, an async iterable such as a stream of
 * Node, or an Observable of bytes.
 */
export type AttachmentContent =
  string | Uint8Array | ArrayBuffer | Blob | AsyncIterable<Uint8Array> | Observable<Uint8Array>;

/** Content that is ready to send. */
interface Upload {
  /** The name of the File, or of the file that the stream reads. */
  readonly name: string | undefined;
  /** The media type of the content, or `''` if it is unknown. */
  readonly type: string;
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
function toUpload(content: AttachmentContent): Upload {
  if (typeof content === 'string')
    return uploadBytes(new TextEncoder().encode(content), 'text/plain;charset=utf-8');
  if (content instanceof Uint8Array) return uploadBytes(content, '');
  if (content instanceof ArrayBuffer) return uploadBytes(new Uint8Array(content), '');
  if (typeof Blob !== 'undefined' && content instanceof Blob) {
    const { size, type } = content;
    const name = 'name' in content && typeof content.name === 'string' ? content.name : undefined;
    return {
      name,
      type,
      open: (progress) => ({
        body: withProgress(blobChunks(content), size, progress),
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

function uploadBytes(bytes: Uint8Array, type: string): Upload {
  return {
    name: undefined,
    type,
    open: (progress) => ({
      body:
        progress === undefined ? bytes : withProgress(byteChunks(bytes), bytes.length, progress),
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
    open: (progress) => ({ body: withProgress(openStream(), null, progress), length: undefined }),
  };
}

async function* byteChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += CHUNK_SIZE) yield bytes.subarray(i, i + CHUNK_SIZE);
}

async function* blobChunks(blob: Blob): AsyncGenerator<Uint8Array> {
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

let mediaTypeOf: MediaTypeLookup = () => null;

/**
 * Sets the function that finds the media type of a file name. The entry point for Node passes one from a
 * library. Browsers need none: a File has its type, and the table would be most of a page's bundle.
 */
export function setTypeOfName(lookup: MediaTypeLookup): void {
  mediaTypeOf = lookup;
}
