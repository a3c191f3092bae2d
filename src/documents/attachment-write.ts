import {
  catchError,
  concatMap,
  defer,
  first,
  forkJoin,
  from,
  map,
  mergeMap,
  of,
  throwError,
} from 'rxjs';
import type { Observable, Observer } from 'rxjs';
import { asObject, requireSameId, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { nextRevisions, readRevision } from '../http/verify-writes.ts';
import { mayBeWritten } from '../errors/connection-error.ts';
import { assertHeader } from '../http/auth.ts';
import { count, toBody } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { duration } from '../operators/time.ts';
import type { RequestSpec } from '../http/link.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireId } from '../http/url.ts';
import type { Attachments, Draft } from '../model/document.ts';
import { recordRevision } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { AttachmentRead, attachmentAt } from './attachment-read.ts';
import type { AttachmentProgress } from './attachment-read.ts';
import { toUpload, typeOfNamed } from './attachment-upload.ts';
import type { AttachmentContent } from './attachment-upload.ts';

/** Options for writing an attachment. */
export interface PutAttachmentOptions {
  /**
   * The media type. Default: the type of the Blob or File; else the type for the extension of the name;
   * else `text/plain` for text, and `application/octet-stream` for bytes.
   */
  readonly contentType?: string;
  /** Observes the upload: receives the progress for each chunk, completes after the last, never errors. */
  readonly progress?: Partial<Observer<AttachmentProgress>>;
  /**
   * The longest time without data, in milliseconds; 0 disables it. A chunk of a Blob, a stream or an
   * Observable is data. Text and bytes are sent as a whole, so that they must be sent in this time.
   * @defaultValue the `timeout` of the `Couch`
   */
  readonly timeout?: number;
  /** The write quorum: how many copies must be written before the server answers, on a cluster. */
  readonly w?: number;
}

/** The result of writing or deleting an attachment: the id and the new revision of its document. */
export interface AttachmentWritten {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

const any: Parameter = () => '';
const PUT_OPTIONS: Parameters = { contentType: any, progress: any, timeout: any, w: count };

type OwnerDocument = Draft<object> & { _id: string };

/** Writes an attachment, and records the new revision and the stub on the document. */
export function putAttachment(
  db: DatabaseScope,
  doc: Draft<object> & { readonly _id: string },
  content: AttachmentContent,
  filename: string | undefined,
  options: PutAttachmentOptions,
): Operation<AttachmentWritten> {
  toBody(PUT_OPTIONS, options, 'putAttachment');
  const { progress, timeout, w } = options;
  if (timeout !== undefined) duration(timeout, 'putAttachment: timeout');
  const owner: OwnerDocument = doc;
  const id = requireOwner(owner, 'putAttachment');
  const upload = toUpload(content);
  const name = filename ?? upload.name;
  if (name === undefined)
    throw new TypeError('putAttachment: the content has no name; give a filename');
  // Validate now: throws at the call.
  attachmentAt(db, id, name, undefined);
  const write = (type: string): Operation<AttachmentWritten> =>
    writeAndRecord(
      db,
      owner,
      () => {
        const { body, length } = upload.open(progress);
        return {
          ...attachmentAt(db, owner._id, name, owner._rev, w),
          method: 'PUT',
          headers: {
            'content-type': type,
            ...(length !== undefined && { 'content-length': String(length) }),
          },
          body,
          ...(timeout !== undefined && { timeout }),
        };
      },
      () => ({ ...owner._attachments, [name]: { content_type: type, stub: true } }),
      { name, bytes: upload.bytes },
    );
  const given = options.contentType ?? (upload.type || null);
  if (given === null) {
    const type$ = typeOfNamed(name, upload.isText);
    return new Operation(type$.pipe(mergeMap((type) => write(type).answers())));
  }
  assertHeader('content-type', given, 'putAttachment: contentType');
  return write(given);
}

/** Deletes an attachment, and records the new revision on the document. */
export function deleteAttachment(
  db: DatabaseScope,
  doc: Draft<object> & { readonly _id: string; readonly _rev: string },
  filename: string,
  options: Pick<PutAttachmentOptions, 'w'>,
): Operation<AttachmentWritten> {
  toBody({ w: count }, options, 'deleteAttachment');
  const owner = doc as OwnerDocument;
  const id = requireOwner(owner, 'deleteAttachment');
  attachmentAt(db, id, filename, undefined);
  return writeAndRecord(
    db,
    owner,
    () => ({ ...attachmentAt(db, owner._id, filename, owner._rev, options.w), method: 'DELETE' }),
    () => {
      const { [filename]: _deleted, ...rest } = owner._attachments ?? {};
      return rest;
    },
    { name: filename, bytes: null },
  );
}

/**
 * Sends a write, and records its result on the document: the next save then works, and keeps the
 * attachments.
 */
function writeAndRecord(
  db: DatabaseScope,
  owner: OwnerDocument,
  describe: () => RequestSpec,
  attachments: () => Attachments,
  sent: SentAttachment,
): Operation<AttachmentWritten> {
  return new Operation(
    defer(() => {
      const { _id: id, _rev: base } = owner;
      return db.connection
        .json(describe, (body) => {
          const { id: answered = id } = asObject(body);
          requireSameId(id, String(answered));
          return stringField(body, 'rev');
        })
        .pipe(
          catchError((error: unknown) =>
            attachmentDespite(error, db, { id, base }, sent).pipe(
              map((value): Answer<string> => ({ value, code: 201, headers: {} })),
            ),
          ),
          map(({ value: rev, code, headers }): Answer<AttachmentWritten> => {
            recordRevision(owner, id, rev);
            const stubs = attachments();
            if (Object.keys(stubs).length === 0) Reflect.deleteProperty(owner, '_attachments');
            else Reflect.set(owner, '_attachments', stubs);
            return { value: { ok: true, id, rev }, code, headers };
          }),
        );
    }),
  );
}

/** An attachment that was sent: its bytes, null if it was deleted, undefined if they are not kept. */
interface SentAttachment {
  readonly name: string;
  readonly bytes: Uint8Array | Blob | null | undefined;
}

/**
 * Finds out whether the write of an attachment has been carried out although it failed: whether the
 * next revision has its bytes, or lacks it. Emits that revision; otherwise errors with `error`.
 */
function attachmentDespite(
  error: unknown,
  db: DatabaseScope,
  { id, base }: { readonly id: string; readonly base: string | undefined },
  { name, bytes }: SentAttachment,
): Observable<string> {
  const failed = throwError(() => error);
  if (!mayBeWritten(error) || bytes === undefined) return failed;
  const carriedOut = (rev: string): Observable<boolean> => {
    const owner$ = readRevision(db, id, rev);
    return owner$.pipe(
      mergeMap((owner) => {
        // Another client has deleted the document.
        if (owner === null) return of(false);
        const isThere = Object.hasOwn(owner._attachments ?? {}, name);
        if (bytes === null || !isThere) return of(bytes === null && !isThere);
        const sent = bytes instanceof Uint8Array ? of(bytes) : from(bytes.arrayBuffer());
        return forkJoin([sent, new AttachmentRead(db, id, name, { rev })]).pipe(
          map(([mine, theirs]) => isSameBytes(new Uint8Array(mine), theirs)),
        );
      }),
    );
  };
  return nextRevisions(db, id, base).pipe(
    mergeMap((revs) => from(revs)),
    concatMap((rev) => carriedOut(rev).pipe(map((is) => (is ? rev : null)))),
    first((rev) => rev !== null, null),
    catchError(() => failed),
    mergeMap((rev) => (rev === null ? failed : of(rev))),
  );
}

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function requireOwner(doc: unknown, what: string): string {
  if (typeof doc !== 'object' || doc === null)
    throw invalidArgument(`${what}: doc`, 'a document with _id', doc);
  const { _id: id } = doc as { _id?: unknown };
  requireId(id, `${what}: the document's _id`);
  return id;
}
