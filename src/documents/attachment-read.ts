import { Observable, map, mergeMap, scan, tap, toArray } from 'rxjs';
import type { Observer } from 'rxjs';
import type { Answer } from '../http/exchange.ts';
import type { Exchange } from '../http/link.ts';
import { readBytes, sizeError } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { count } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt, endpoint, requireId, revQuery, segment } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';

/** The progress of an upload or a download. */
export interface AttachmentProgress {
  /** The bytes that were sent or received. */
  readonly done: number;
  /** The length in bytes, or null if it is unknown. */
  readonly total: number | null;
}

/** Options for reading an attachment. */
export interface GetAttachmentOptions {
  /** The revision of the document. Default: the winner. */
  readonly rev?: string;
  /**
   * The bytes to read, counted from 0. `end` is included; without it, the range goes to the last byte.
   *
   * CouchDB sends the whole attachment if it stores it compressed, as it does with text: `status()` then
   * emits the code 200 instead of 206.
   */
  readonly range?: { readonly start: number; readonly end?: number };
}

/** A chunk of an attachment, with the progress of the download. */
export interface AttachmentChunk extends AttachmentProgress {
  readonly bytes: Uint8Array;
}

/** The document that an attachment belongs to, or its id. */
export type AttachmentOwner = string | { readonly _id: string; readonly _rev?: string };

/**
 * Reads an attachment: emits all its bytes as one `Uint8Array`, whatever its type.
 *
 * Cold, as every {@link Operation}: it sends nothing until you subscribe. `chunks()` streams the bytes
 * as they arrive; `info()` reads only the type, length and digest.
 *
 * Errors with `NotFound`. Unsubscribing cancels the download.
 *
 * @see https://docs.couchdb.org/en/stable/api/document/attachments.html#get--db-docid-attname
 */
export class AttachmentRead extends Operation<Uint8Array> {
  readonly #db: DatabaseScope;
  readonly #address: Endpoint;
  readonly #range: RangeHeader;

  /** @internal */
  constructor(
    db: DatabaseScope,
    owner: AttachmentOwner,
    filename: string,
    options: GetAttachmentOptions,
  ) {
    requireOptions(options, 'getAttachment', ['rev', 'range']);
    const address = attachmentAt(db, ownerId(owner), filename, options.rev);
    const range = rangeHeader(options, 'getAttachment');
    super(
      requestAttachment(db, address, range).pipe(
        mergeMap((exchange) => {
          const { status: code, headers } = exchange;
          return readBytes(exchange).pipe(
            map((value): Answer<Uint8Array> => ({ value, code, headers })),
          );
        }),
      ),
    );
    this.#db = db;
    this.#address = address;
    this.#range = range;
  }

  /**
   * Streams the attachment in chunks, as they arrive: `{ bytes, done, total }`.
   *
   * Cold. Completes after the last chunk. Errors with a `ProtocolError` if the transfer ends early.
   * Unsubscribing cancels the download.
   */
  chunks(): Observable<AttachmentChunk> {
    return openAttachment(this.#db, this.#address, this.#range).pipe(
      mergeMap(({ chunks }) => chunks),
    );
  }

  /**
   * Reads the type, length and digest of the attachment, without its bytes.
   *
   * Cold. Emits once. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/api/document/attachments.html#head--db-docid-attname
   */
  info(): Operation<AttachmentInfo> {
    return attachmentInfo(this.#db, this.#address);
  }
}

/** An attachment whose response headers have arrived. */
interface OpenAttachment {
  /** The media type. */
  readonly type: string;
  readonly chunks: Observable<AttachmentChunk>;
  readonly exchange: Exchange;
}

/** Emits an attachment when its response headers have arrived. */
function openAttachment(
  db: DatabaseScope,
  address: Endpoint,
  range: RangeHeader,
): Observable<OpenAttachment> {
  return requestAttachment(db, address, range).pipe(
    map((exchange) => {
      const { body, headers } = exchange;
      const length =
        headers['content-encoding'] === undefined ? headers['content-length'] : undefined;
      const total = length === undefined ? null : Number(length);
      const initial: AttachmentChunk = { bytes: new Uint8Array(), done: 0, total };
      const chunks = body.pipe(
        scan(({ done }, bytes) => ({ bytes, done: done + bytes.length, total }), initial),
      );
      return { type: headers['content-type'] ?? '', chunks, exchange };
    }),
  );
}

type RangeHeader = Readonly<Record<string, string>>;

function requestAttachment(
  db: DatabaseScope,
  address: Endpoint,
  range: RangeHeader,
): ReturnType<DatabaseScope['connection']['send']> {
  return db.connection.send(() => ({ ...address, headers: { accept: '*/*', ...range } }));
}

function rangeHeader({ range }: GetAttachmentOptions, what: string): RangeHeader {
  if (range === undefined) return {};
  if (typeof range !== 'object' || range === null)
    throw invalidArgument(`${what}: range`, '{ start, end }', range);
  const start = count(range.start, `${what}: range.start`);
  const end = range.end === undefined ? '' : count(range.end, `${what}: range.end`);
  if (range.end !== undefined && range.end < range.start)
    throw invalidArgument(`${what}: range.end`, `from ${start}`, range.end, RangeError);
  return { range: `bytes=${start}-${end}` };
}

/** The type, length and digest of an attachment. */
export interface AttachmentInfo {
  /** The media type; `'application/octet-stream'` if the server sends none. */
  readonly contentType: string;
  /** The length in bytes, or null if the server does not send it, as for a compressed attachment. */
  readonly length: number | null;
  /** The digest, as in the stub of the document: `'md5-…'`. Null if the server does not send it. */
  readonly digest: string | null;
  /** Whether `range` can read a part of it. */
  readonly acceptsRanges: boolean;
}

function attachmentInfo(db: DatabaseScope, address: Endpoint): Operation<AttachmentInfo> {
  return operation(
    db.connection,
    () => ({ ...address, method: 'HEAD', headers: { accept: '*/*' } }),
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

/** Options for reading an attachment as an object URL. */
export interface AttachmentUrlOptions extends GetAttachmentOptions {
  /** Observes the download: receives the progress for each chunk, completes after the last, never errors. */
  readonly progress?: Partial<Observer<AttachmentProgress>>;
}

/** Downloads an attachment and emits an object URL, which is revoked on unsubscribe. */
export function attachmentUrl(
  db: DatabaseScope,
  owner: AttachmentOwner,
  filename: string,
  attachmentOptions: AttachmentUrlOptions,
): Observable<string> {
  requireOptions(attachmentOptions, 'attachmentUrl', ['rev', 'range', 'progress']);
  const { progress, ...options } = attachmentOptions;
  if (typeof URL.createObjectURL !== 'function') {
    throw new TypeError(
      'attachmentUrl: object URLs are not available here, as in a service worker; use getAttachment',
    );
  }
  const address = attachmentAt(db, ownerId(owner), filename, options.rev);
  return openAttachment(db, address, rangeHeader(options, 'attachmentUrl')).pipe(
    mergeMap(({ chunks, type, exchange }) =>
      chunks.pipe(
        tap(({ done }) => {
          if (done > exchange.maxBodySize) throw sizeError(exchange, 'the answer');
        }),
        tap({
          next: ({ done, total }) => progress?.next?.({ done, total }),
          complete: () => progress?.complete?.(),
        }),
        toArray(),
        mergeMap((received) => {
          const parts = received.map(({ bytes }) => bytes as Uint8Array<ArrayBuffer>);
          return objectUrl(new Blob(parts, { type }));
        }),
      ),
    ),
  );
}

/** Emits an object URL, and revokes it on unsubscribe. */
function objectUrl(blob: Blob): Observable<string> {
  return new Observable((subscriber) => {
    const url = URL.createObjectURL(blob);
    subscriber.add(() => URL.revokeObjectURL(url));
    subscriber.next(url);
  });
}

/**
 * Returns the address of an attachment.
 *
 * @throws TypeError for a name that is empty or that a URL cannot hold.
 */
export function attachmentAt(
  db: DatabaseScope,
  id: string,
  filename: unknown,
  rev: unknown,
  w?: number,
): Endpoint {
  // A name may contain slashes: CouchDB accepts them encoded.
  const name = segment(filename, 'The name of an attachment');
  const query = revQuery(rev);
  const quorum = w === undefined ? '' : `${query === '' ? '?' : '&'}w=${w}`;
  return endpoint(documentAt(db, id), '/{attname}', query + quorum, name);
}

/** Returns the id of the document that an attachment belongs to. */
function ownerId(owner: AttachmentOwner): string {
  const id: unknown = typeof owner === 'object' && owner !== null ? owner._id : owner;
  requireId(id);
  return id;
}
