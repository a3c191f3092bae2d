import { defer, map, mergeMap, scan } from 'rxjs';
import type { Observable, Observer } from 'rxjs';
import type { Answer } from '../http/exchange.ts';
import { readBytes } from '../http/body.ts';
import { stringField } from '../http/decode.ts';
import { Operation } from '../http/operation.ts';
import { count } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId, segment } from '../http/url.ts';
import type { Attachments, Draft } from '../model/document.ts';
import { noteRevision } from '../model/document.ts';
import { mustBe, show } from '../model/must-be.ts';
import { typeOfName } from './content-type.ts';
import { toUpload } from './upload.ts';
import type { AttachmentContent } from './upload.ts';

/** How much of an attachment has been sent or received. */
export interface AttachmentProgress {
  /** In bytes. */
  readonly done: number;
  /** In bytes; null where it is not known. */
  readonly total: number | null;
}

/** How an attachment is written. */
export interface PutAttachmentOptions {
  /** The media type. Default: that of a Blob or File, or the one that the name tells. */
  readonly contentType?: string;
  /** Is told as the bytes are handed to the transport; never errors, completes with the last. */
  readonly progress?: Partial<Observer<AttachmentProgress>>;
}

/** What is read of an attachment. */
export interface GetAttachmentOptions {
  /** The document's revision. Default: the winner. */
  readonly rev?: string;
  /**
   * Only these bytes, counted from 0, the last among them; without `end`, to the end. CouchDB sends all
   * of an attachment that it keeps compressed, as it does text; `status()` then says 200 and not 206.
   */
  readonly range?: { readonly start: number; readonly end?: number };
}

/** A piece of an attachment, with how much of it has come so far. */
export interface AttachmentChunk extends AttachmentProgress {
  readonly bytes: Uint8Array;
}

/** What a write of an attachment answers. */
export interface AttachmentWritten {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

/** The owner of an attachment: its id, or the document. */
export type AttachmentOwner = string | { readonly _id: string; readonly _rev?: string };

type Owned = Draft<object> & { _id: string };

export function getAttachment(
  db: DatabaseScope,
  owner: AttachmentOwner,
  filename: string,
  options: GetAttachmentOptions,
): Operation<Uint8Array> {
  const path = attachmentPath(db, idOf(owner), filename, options.rev);
  return new Operation(
    open(db, path, rangeOf(options, 'getAttachment')).pipe(
      mergeMap(({ body, status: code, headers }) =>
        readBytes(body).pipe(map((value): Answer<Uint8Array> => ({ value, code, headers }))),
      ),
    ),
  );
}

export function attachmentChunks(
  db: DatabaseScope,
  owner: AttachmentOwner,
  filename: string,
  options: GetAttachmentOptions,
): Observable<AttachmentChunk> {
  return openAttachment(db, owner, filename, options, 'attachmentChunks').pipe(
    mergeMap(({ chunks }) => chunks),
  );
}

/** An attachment that is being read. */
export interface OpenAttachment {
  /** Its media type. */
  readonly type: string;
  readonly chunks: Observable<AttachmentChunk>;
}

/** Emits an attachment when its first byte can be read. */
export function openAttachment(
  db: DatabaseScope,
  owner: AttachmentOwner,
  filename: string,
  options: GetAttachmentOptions,
  what: string,
): Observable<OpenAttachment> {
  const path = attachmentPath(db, idOf(owner), filename, options.rev);
  return open(db, path, rangeOf(options, what)).pipe(
    map(({ body, headers }) => {
      const length =
        headers['content-encoding'] === undefined ? headers['content-length'] : undefined;
      const total = length === undefined ? null : Number(length);
      const begin: AttachmentChunk = { bytes: new Uint8Array(), done: 0, total };
      const chunks = body.pipe(
        scan(({ done }, bytes) => ({ bytes, done: done + bytes.length, total }), begin),
      );
      return { type: headers['content-type'] ?? '', chunks };
    }),
  );
}

type Headers = Readonly<Record<string, string>>;

function open(
  db: DatabaseScope,
  path: string,
  range: Headers,
): ReturnType<DatabaseScope['connection']['send']> {
  return db.connection.send(() => ({ path, headers: { accept: '*/*', ...range } }));
}

function rangeOf({ range }: GetAttachmentOptions, what: string): Headers {
  if (range === undefined) return {};
  if (typeof range !== 'object' || range === null)
    throw mustBe(`${what}: range`, '{ start, end }', range);
  const start = count(range.start, `${what}: range.start`);
  const end = range.end === undefined ? '' : count(range.end, `${what}: range.end`);
  if (range.end !== undefined && range.end < range.start)
    throw mustBe(`${what}: range.end`, `from ${start}`, range.end, RangeError);
  return { range: `bytes=${start}-${end}` };
}

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
        noteRevision(owner, owner._id, rev);
        const left = attachments();
        if (Object.keys(left).length === 0) Reflect.deleteProperty(owner, '_attachments');
        else Reflect.set(owner, '_attachments', left);
        return { ok: true, id: owner._id, rev };
      }),
    ),
  );
}

/** Makes the path of an attachment. */
export function attachmentPath(
  db: DatabaseScope,
  id: string,
  filename: unknown,
  rev: unknown,
): string {
  if (typeof filename !== 'string' || filename === '') {
    throw mustBe('The name of an attachment', 'a string that is not empty', filename);
  }
  if (isDotSegment(id) || isDotSegment(filename)) {
    throw new TypeError(`No URL can hold the attachment ${show(filename)} of ${show(id)}`);
  }
  const query = typeof rev === 'string' ? `?rev=${segment(rev)}` : '';
  // Slashes are part of the name, and CouchDB takes them encoded.
  return `${db.path}${documentPath(id)}/${segment(filename)}${query}`;
}

/** Returns the id of an attachment's document. */
export function idOf(owner: AttachmentOwner): string {
  const id: unknown = typeof owner === 'object' && owner !== null ? owner._id : owner;
  requireId(id);
  return id;
}

function requireOwner(doc: unknown, what: string): string {
  if (typeof doc !== 'object' || doc === null)
    throw mustBe(`${what}: doc`, 'a document with _id', doc);
  const { _id: id } = doc as { _id?: unknown };
  requireId(id, `${what}: the document's _id`);
  return id;
}
