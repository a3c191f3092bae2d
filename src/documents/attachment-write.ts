import { defer, isObservable } from 'rxjs';
import type { Observable, Observer } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';
import { stringField } from '../http/decode.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { RequestBody } from '../http/transport.ts';
import { requireId } from '../http/url.ts';
import type { Attachments, Draft } from '../model/document.ts';
import { recordRevision } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { attachmentPath } from './attachment-read.ts';
import type { AttachmentProgress } from './attachment-read.ts';

/** How an attachment is written. */
export interface PutAttachmentOptions {
  /** The media type. Default: that of a Blob or File, or the one that the name tells. */
  readonly contentType?: string;
  /** Is told as the bytes are handed to the transport; never errors, completes with the last. */
  readonly progress?: Partial<Observer<AttachmentProgress>>;
}

/** What a write of an attachment answers. */
export interface AttachmentWritten {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

type Owned = Draft<object> & { _id: string };

export function putAttachment(
  db: DatabaseScope,
  doc: Draft<object> & { readonly _id: string },
  content: AttachmentContent,
  filename: string | undefined,
  options: PutAttachmentOptions,
): Operation<AttachmentWritten> {
  const { progress } = options;
  const owner: Owned = doc;
  const id = requireOwner(owner, 'putAttachment');
  const upload = toUpload(content);
  const name = filename ?? upload.name;
  if (name === undefined)
    throw new TypeError('putAttachment: the content has no name; give a filename');
  // Misuse is told now.
  attachmentPath(db, id, name, undefined);
  const type =
    options.contentType ?? (upload.type || typeOfName(name)) ?? 'application/octet-stream';
  return written(
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
      };
    },
    () => ({ ...owner._attachments, [name]: { content_type: type, stub: true } }),
  );
}

export function deleteAttachment(
  db: DatabaseScope,
  doc: Draft<object> & { readonly _id: string; readonly _rev: string },
  filename: string,
): Operation<AttachmentWritten> {
  const owner = doc as Owned;
  const id = requireOwner(owner, 'deleteAttachment');
  attachmentPath(db, id, filename, undefined);
  return written(
    db,
    owner,
    () => ({ method: 'DELETE', path: attachmentPath(db, owner._id, filename, owner._rev) }),
    () => {
      const { [filename]: _gone, ...rest } = owner._attachments ?? {};
      return rest;
    },
  );
}

/** Sends a write, and notes on the document what it did, so that the next save works and keeps it. */
function written(
  db: DatabaseScope,
  owner: Owned,
  describe: Parameters<DatabaseScope['connection']['json']>[0],
  attachments: () => Attachments,
): Operation<AttachmentWritten> {
  return new Operation(
    defer(() =>
      db.connection.json(describe, (body): AttachmentWritten => {
        const rev = stringField(body, 'rev');
        recordRevision(owner, owner._id, rev);
        const left = attachments();
        if (Object.keys(left).length === 0) Reflect.deleteProperty(owner, '_attachments');
        else Reflect.set(owner, '_attachments', left);
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
  throw invalidArgument(
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

type Guess = (name: string) => string | null;

let guess: Guess = () => null;

/** Tells the media type that the name of a file stands for, or null. */
export function typeOfName(name: string): string | null {
  return guess(name);
}

/**
 * Chooses who knows media types. Node's door brings a library for it; in browsers a File knows its
 * own type, and a table of a thousand names would be the larger part of a page's bundle.
 */
export function setTypeOfName(by: Guess): void {
  guess = by;
}
