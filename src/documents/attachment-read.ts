import { Observable, map, mergeMap, scan, tap, toArray } from 'rxjs';
import type { Observer } from 'rxjs';
import type { Answer } from '../http/exchange.ts';
import { readBytes } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { count } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId, segment } from '../http/url.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** How much of an attachment has been sent or received. */
export interface AttachmentProgress {
  /** In bytes. */
  readonly done: number;
  /** In bytes; null where it is not known. */
  readonly total: number | null;
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

/** The owner of an attachment: its id, or the document. */
export type AttachmentOwner = string | { readonly _id: string; readonly _rev?: string };

/**
 * An attachment to be read: emits its bytes, whole, whatever its type.
 *
 * Cold, as every {@link Operation}: nothing is sent until it is subscribed to. `chunks()` streams the
 * same bytes in pieces, and `info()` reads the type, length and digest alone.
 */
export class AttachmentRead extends Operation<Uint8Array> {
  readonly #db: DatabaseScope;
  readonly #path: string;
  readonly #range: Headers;

  /** @internal */
  constructor(
    db: DatabaseScope,
    owner: AttachmentOwner,
    filename: string,
    options: GetAttachmentOptions,
  ) {
    const path = attachmentPath(db, idOf(owner), filename, options.rev);
    const range = rangeOf(options, 'getAttachment');
    super(
      open(db, path, range).pipe(
        mergeMap(({ body, status: code, headers }) =>
          readBytes(body).pipe(map((value): Answer<Uint8Array> => ({ value, code, headers }))),
        ),
      ),
    );
    this.#db = db;
    this.#path = path;
    this.#range = range;
  }

  /**
   * Streams the attachment in pieces, as they arrive: `{ bytes, done, total }`, in bytes.
   *
   * Cold. Completes with the last piece. Errors with a `ProtocolError` if the transfer ends early.
   * Unsubscribing cancels the download.
   */
  chunks(): Observable<AttachmentChunk> {
    return openAttachment(this.#db, this.#path, this.#range).pipe(mergeMap(({ chunks }) => chunks));
  }

  /**
   * Reads the type, length and digest of the attachment, without its bytes.
   *
   * Cold. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/api/document/attachments.html#head--db-docid-attname
   */
  info(): Operation<AttachmentInfo> {
    return attachmentInfo(this.#db, this.#path);
  }
}

/** An attachment that is being read. */
interface OpenAttachment {
  /** Its media type. */
  readonly type: string;
  readonly chunks: Observable<AttachmentChunk>;
}

/** Emits an attachment when its first byte can be read. */
function openAttachment(
  db: DatabaseScope,
  path: string,
  range: Headers,
): Observable<OpenAttachment> {
  return open(db, path, range).pipe(
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
    throw invalidArgument(`${what}: range`, '{ start, end }', range);
  const start = count(range.start, `${what}: range.start`);
  const end = range.end === undefined ? '' : count(range.end, `${what}: range.end`);
  if (range.end !== undefined && range.end < range.start)
    throw invalidArgument(`${what}: range.end`, `from ${start}`, range.end, RangeError);
  return { range: `bytes=${start}-${end}` };
}

/** What an attachment is, without its bytes. */
export interface AttachmentInfo {
  readonly contentType: string;
  /** In bytes; null where the server does not say, as of what it keeps compressed. */
  readonly length: number | null;
  /** As the stub in the document has it: `'md5-…'`. Null where the server does not say. */
  readonly digest: string | null;
  /** Whether a part of it can be read by `range`. */
  readonly acceptsRanges: boolean;
}

function attachmentInfo(db: DatabaseScope, path: string): Operation<AttachmentInfo> {
  return operation(
    db.connection,
    () => ({ method: 'HEAD', path, headers: { accept: '*/*' } }),
    (_, { headers }) => {
      const { etag, 'content-length': length, 'content-encoding': encoding } = headers;
      const digest = headers['content-md5'] ?? etag?.replace(/^(?:W\/)?"(.*)"$/, '$1');
      return {
        contentType: headers['content-type'] ?? 'application/octet-stream',
        length: length === undefined || encoding !== undefined ? null : Number(length),
        digest: digest === undefined ? null : `md5-${digest}`,
        acceptsRanges: headers['accept-ranges'] === 'bytes',
      };
    },
  );
}

/** How an attachment is read for a page to show. */
export interface AttachmentUrlOptions extends GetAttachmentOptions {
  /** Is told as the bytes arrive; never errors, completes with the last. */
  readonly progress?: Partial<Observer<AttachmentProgress>>;
}

export function attachmentUrl(
  db: DatabaseScope,
  owner: AttachmentOwner,
  filename: string,
  { progress, ...options }: AttachmentUrlOptions,
): Observable<string> {
  if (typeof URL.createObjectURL !== 'function') {
    throw new TypeError('attachmentUrl: a service worker has no object URLs');
  }
  const path = attachmentPath(db, idOf(owner), filename, options.rev);
  return openAttachment(db, path, rangeOf(options, 'attachmentUrl')).pipe(
    mergeMap(({ chunks, type }) =>
      chunks.pipe(
        tap({
          next: ({ done, total }) => progress?.next?.({ done, total }),
          complete: () => progress?.complete?.(),
        }),
        toArray(),
        mergeMap((pieces) => {
          const parts = pieces.map(({ bytes }) => bytes as Uint8Array<ArrayBuffer>);
          return objectUrl(new Blob(parts, { type }));
        }),
      ),
    ),
  );
}

/** A URL that lasts until it is unsubscribed from. */
function objectUrl(blob: Blob): Observable<string> {
  return new Observable((subscriber) => {
    const url = URL.createObjectURL(blob);
    subscriber.add(() => URL.revokeObjectURL(url));
    subscriber.next(url);
  });
}

/** Makes the path of an attachment. */
export function attachmentPath(
  db: DatabaseScope,
  id: string,
  filename: unknown,
  rev: unknown,
): string {
  if (typeof filename !== 'string' || filename === '') {
    throw invalidArgument('The name of an attachment', 'a string that is not empty', filename);
  }
  if (isDotSegment(id) || isDotSegment(filename)) {
    throw new TypeError(
      `No URL can hold the attachment ${describeValue(filename)} of ${describeValue(id)}`,
    );
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
