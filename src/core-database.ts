import type { Observable } from 'rxjs';
import { readChanges } from './changes/one-shot.ts';
import type { ChangesOptions } from './changes/one-shot.ts';
import { documentCheckpoint } from './changes/checkpoint.ts';
import type { CheckpointStore } from './changes/checkpoint.ts';
import { ChangesFeed } from './changes/changes-feed.ts';
import type { ChangesFeedOptions } from './changes/changes-feed.ts';
import type { ConflictResolution } from './conflicts/resolution.ts';
import { saveMany, saveOne } from './conflicts/save.ts';
import type { SaveOptions } from './conflicts/save.ts';
import { AttachmentRead, attachmentUrl } from './documents/attachment-read.ts';
import type {
  AttachmentOwner,
  AttachmentUrlOptions,
  GetAttachmentOptions,
} from './documents/attachment-read.ts';
import { deleteAttachment, putAttachment } from './documents/attachment-write.ts';
import type {
  AttachmentContent,
  AttachmentWritten,
  PutAttachmentOptions,
} from './documents/attachment-write.ts';
import { deleteDocument } from './documents/revisions.ts';
import type { DeleteResult } from './documents/revisions.ts';
import { getDocument, getDocuments, getFirstDocuments } from './documents/read.ts';
import type { GetManyOptions, GetOptions } from './documents/read.ts';
import type { CoalesceOptions } from './http/coalescing.ts';
import { DEFAULT_URL } from './http/connection-options.ts';
import { Connection } from './http/connection.ts';
import type { ConnectionOptions } from './http/connection-options.ts';
import type { ReplicationEndpoint } from './http/exchange.ts';
import type { Operation } from './http/operation.ts';
import { request } from './http/request.ts';
import type { RequestOptions } from './http/request.ts';
import { databaseScope } from './http/scope.ts';
import type { DatabaseScope } from './http/scope.ts';
import { isUrl, parseDatabaseUrl } from './http/url.ts';
import type { ChangesResult } from './model/change.ts';
import type { AnyFields, Document, DocumentRef, Draft } from './model/document.ts';
import type { Row, RowWithDoc, View } from './model/view.ts';
import { listDocuments } from './queries/all-docs.ts';
import type { AllDocsOptions, AllDocsRow, RevisionValue } from './queries/all-docs.ts';
import { find } from './queries/find.ts';
import type { FindQuery, FindResult, FoundDocument } from './queries/find.ts';
import type { FieldPath } from './queries/field-path.ts';
import { queryView } from './queries/view.ts';
import type { ViewOptions } from './queries/view.ts';
import { REPLICATION_ENDPOINT } from './server/replication.ts';
import { databaseExists, databaseInfo } from './server/database-info.ts';
import type { DatabaseInfo } from './server/database-info.ts';

/**
 * Hands the scope of a database to what is built on it, and to nobody else.
 * @internal
 */
export let scopeOf: <T extends object>(db: CoreDatabase<T>) => DatabaseScope;

/**
 * A database as most pages use it: documents, views, Mango queries, attachments and changes.
 *
 * It is the `Database` of `corduroy/core`, and what the `Database` of `corduroy` is built on, which
 * tells what holds for every method.
 */
export class CoreDatabase<T extends object = AnyFields> {
  readonly #scope: DatabaseScope;

  /**
   * @param nameOrUrl - A name, on the default server (http://127.0.0.1:5984); or a full URL, whose
   * last segment is the name, with `/` in it as `%2F`.
   * @param options - Who asks, and how. `couch.use(name)` shares those of a `Couch`.
   * @throws TypeError for what is neither a URL nor a name that CouchDB would take.
   */
  constructor(nameOrUrl: string, options?: ConnectionOptions);
  /** @internal */
  constructor(
    nameOrUrl: string,
    options?: ConnectionOptions | Connection,
    coalesce?: boolean | CoalesceOptions,
  );
  constructor(
    nameOrUrl: string,
    options: ConnectionOptions | Connection = {},
    coalesce?: boolean | CoalesceOptions,
  ) {
    const { server, name } = isUrl(nameOrUrl)
      ? parseDatabaseUrl(nameOrUrl)
      : { server: DEFAULT_URL, name: nameOrUrl };
    const connection = options instanceof Connection ? options : new Connection(server, options);
    this.#scope = databaseScope(connection, name, coalesce);
  }

  static {
    scopeOf = (db) => db.#scope;
  }

  get name(): string {
    return this.#scope.name;
  }

  /** The database's URL, without credentials. */
  get url(): string {
    return this.#scope.connection.url + this.#scope.path;
  }

  /**
   * Emits whether there is such a database on the server.
   *
   * Cold. Errors where the server does not say: `Unauthorized`, `Forbidden`, `ServerError`.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#head--db
   */
  exists(): Operation<boolean> {
    return databaseExists(this.#scope);
  }

  /**
   * Emits what the server knows of the database.
   *
   * Cold. Errors with `NotFound` where there is none.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#get--db
   */
  info(): Operation<DatabaseInfo> {
    return databaseInfo(this.#scope);
  }

  /**
   * Emits a document; or, for a list of ids, a list in the same order, with null for each that is
   * missing or deleted; or, without an argument, the first 50 documents.
   *
   * Cold. A single id that is missing errors with `NotFound`, whose `deleted` tells whether there
   * was one.
   *
   * @throws TypeError for an id that is no string, is empty, or begins with an underscore.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#get--db-docid
   */
  get(): Operation<Document<T>[]>;
  get(id: string, options?: GetOptions): Operation<Document<T>>;
  get(ids: readonly string[], options?: GetManyOptions): Operation<(Document<T> | null)[]>;
  get(
    ...args:
      [] | [string, (GetOptions | undefined)?] | [readonly string[], (GetManyOptions | undefined)?]
  ): Operation<Document<T>> | Operation<Document<T>[]> | Operation<(Document<T> | null)[]> {
    // By their number: `get(undefined)` is a mistake, and does not mean "the first documents".
    if (args.length === 0) return getFirstDocuments<T>(this.#scope);
    const [which, options = {}] = args;
    return Array.isArray(which)
      ? getDocuments<T>(this.#scope, which, options)
      : getDocument<T>(this.#scope, which as string, options);
  }

  /**
   * Writes one document, or several in one request, and emits what became of each.
   *
   * Cold. Documents without an `_id` are given one by the server. A document that was written has
   * its `_id` and `_rev` set in place, so that it can be changed and saved again; a frozen one is
   * left alone, and the new revision is in the result.
   *
   * One document that was changed meanwhile errors with `Conflict`, whose `resolution` is the way
   * out. Of several, those that could not be written are in `pending`, each with its reason.
   * `merge` and `force` resolve conflicts once, with two more requests; see
   * {@link ConflictResolution.resolve}. With `batch: 'ok'` there is no revision yet.
   *
   * @throws TypeError for what is not an object, and for what JSON cannot hold, with its path.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#put--db-docid
   */
  save(doc: Draft<T>, options?: SaveOptions<T>): Operation<ConflictResolution<T>>;
  save(
    docs: readonly Draft<T>[],
    options?: Omit<SaveOptions<T>, 'batch'>,
  ): Operation<ConflictResolution<T>>;
  save(
    docs: Draft<T> | readonly Draft<T>[],
    options: SaveOptions<T> = {},
  ): Operation<ConflictResolution<T>> {
    return Array.isArray(docs)
      ? saveMany<T>(this.#scope, docs, options)
      : saveOne<T>(this.#scope, docs as Draft<T>, options);
  }

  /**
   * Deletes the revision of a document that `_id` and `_rev` name.
   *
   * Cold. Errors with `NotFound` where there is no such document, with `Conflict` where it was
   * changed meanwhile.
   *
   * @throws TypeError for a document without `_id` or `_rev`.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#delete--db-docid
   */
  delete(doc: DocumentRef): Operation<DeleteResult> {
    return deleteDocument(this.#scope, doc);
  }

  /**
   * Queries a view, and emits its rows.
   *
   * Cold. Errors with `NotFound` where there is no such view.
   *
   * @param name - `'design-document/view'`, or `'_all_docs'`.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
   */
  view<Key = unknown, Value = unknown>(
    name: string,
    options: ViewOptions & { readonly includeDocs: true },
  ): Operation<View<RowWithDoc<Key, Value, T>, ViewOptions>>;
  view<Key = unknown, Value = unknown>(
    name: string,
    options?: ViewOptions,
  ): Operation<View<Row<Key, Value>, ViewOptions>>;
  view(name: string, options: ViewOptions = {}): Operation<View<Row, ViewOptions>> {
    return queryView(this.#scope, name, options);
  }

  /**
   * Lists the documents by id: emits a row of each, with its revision.
   *
   * Cold. Everything, unless there is a `limit`. With `keys` a row's value is null, and its `error` says
   * why, where there is no such document.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-all-docs
   */
  allDocs(
    options: AllDocsOptions & { readonly keys: readonly string[]; readonly includeDocs: true },
  ): Operation<View<AllDocsRow<Document<T> | null, RevisionValue | null>, AllDocsOptions>>;
  allDocs(
    options: AllDocsOptions & { readonly keys: readonly string[] },
  ): Operation<View<AllDocsRow<null, RevisionValue | null>, AllDocsOptions>>;
  allDocs(
    options: AllDocsOptions & { readonly includeDocs: true },
  ): Operation<View<AllDocsRow<Document<T>>, AllDocsOptions>>;
  allDocs(options?: AllDocsOptions): Operation<View<AllDocsRow, AllDocsOptions>>;
  allDocs(options: AllDocsOptions = {}): Operation<View<AllDocsRow<never, never>>> {
    return listDocuments(this.#scope, '_all_docs', options, 'allDocs');
  }

  /**
   * Finds documents by what is in them (Mango), and emits a page of them.
   *
   * **CouchDB stops after 25 documents unless the query has a `limit`**; the next page is had with the
   * `bookmark` of this one.
   *
   * Cold. The query is read at each subscription. Without an index for it every document is looked
   * at, and `warning` says so; see {@link Database.indexes}. Errors with `BadRequest` for an operator
   * that the server does not know, and for a `sort` that has no index.
   *
   * @throws TypeError or RangeError for a query without a selector, for an unknown option, a bad limit.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html
   * @example
   * db.find({ selector: { total: { $gt: 100 } }, fields: ['_id', 'total'], limit: 1000 })
   */
  find<const Field extends FieldPath<T> = never>(
    query: FindQuery<T, Field>,
  ): Operation<FindResult<FoundDocument<T, Field>>> {
    return find<T, Field>(this.#scope, query);
  }

  /**
   * Reads an attachment. Emits its bytes, whole, whatever its type.
   *
   * Cold. Errors with `NotFound`. To stream the bytes with progress, use `.chunks()` of what it
   * returns; to read the type and length alone, `.info()`.
   *
   * @param owner - The document, or its id.
   * @see https://docs.couchdb.org/en/stable/api/document/attachments.html
   */
  getAttachment(
    owner: AttachmentOwner,
    filename: string,
    options: GetAttachmentOptions = {},
  ): AttachmentRead {
    return new AttachmentRead(this.#scope, owner, filename, options);
  }

  /**
   * Emits a URL by which a page shows or offers an attachment: for `<img>`, `<video>` or a download.
   *
   * Cold. The URL lasts as long as the subscription: it does not complete, and unsubscribing revokes
   * the URL and ends a transfer that is under way. Errors with `NotFound`.
   *
   * @example
   * pets.attachmentUrl('ada', 'portrait.png').subscribe((url) => (image.src = url));
   * @throws TypeError in a service worker, which has no such URLs.
   */
  attachmentUrl(
    owner: AttachmentOwner,
    filename: string,
    options: AttachmentUrlOptions = {},
  ): Observable<string> {
    return attachmentUrl(this.#scope, owner, filename, options);
  }

  /**
   * Creates or replaces an attachment; emits the new revision, and notes it in the document, with a
   * stub in `_attachments`, so that the next save keeps it.
   *
   * Cold. A document without `_rev` is created. Errors with `Conflict`. A stream can be sent once.
   *
   * @param content - Text, bytes, a Blob or File, a stream, or an Observable of bytes.
   * @param filename - May be left out for a File, and for a stream that reads a file.
   * @see https://docs.couchdb.org/en/stable/api/document/attachments.html
   */
  putAttachment(
    doc: Draft<object> & { readonly _id: string },
    content: AttachmentContent,
    filename?: string,
    options: PutAttachmentOptions = {},
  ): Operation<AttachmentWritten> {
    return putAttachment(this.#scope, doc, content, filename, options);
  }

  /**
   * Removes an attachment; emits the new revision, and notes it in the document.
   *
   * Cold. Errors with `NotFound` and `Conflict`.
   *
   * @see https://docs.couchdb.org/en/stable/api/document/attachments.html
   */
  deleteAttachment(
    doc: Draft<object> & { readonly _id: string; readonly _rev: string },
    filename: string,
  ): Operation<AttachmentWritten> {
    return deleteAttachment(this.#scope, doc, filename);
  }

  /**
   * Describes this database to a server that replicates.
   * @internal
   */
  [REPLICATION_ENDPOINT](): ReplicationEndpoint {
    return this.#scope.connection.replicationEndpoint(this.name);
  }

  /**
   * Emits the changes after `since` (the beginning, by default), once.
   *
   * Cold. For changes as they happen see {@link Database.changes$}.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html
   */
  changes(options: ChangesOptions = {}): Operation<ChangesResult<T>> {
    return readChanges<T>(this.#scope, options);
  }

  /**
   * Returns the feed of changes as they happen: from now on, unless `since` says otherwise.
   *
   * Hot and shared; see {@link ChangesFeed} for what it emits and when it ends.
   *
   * @throws TypeError or RangeError for options that exclude each other or make no sense.
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html#continuous
   */
  changes$(options: ChangesFeedOptions = {}): ChangesFeed<T> {
    return new ChangesFeed<T>(this.#scope, options);
  }

  /**
   * Sends any request to this database, as {@link Couch.request} does to the server; its `path` comes
   * after the database's name.
   *
   * @throws TypeError for a path that would lead elsewhere, and for credentials among the headers.
   * @example
   * db.request({ path: '/_shards' }).subscribe((shards) => console.log(shards));
   */
  request<R = unknown>(options: RequestOptions): Operation<R> {
    return request<R>(this.#scope.connection, options, this.#scope.path);
  }

  toString(): string {
    return `<Database: ${this.url}>`;
  }
}

/**
 * Returns a checkpoint in a `_local/` document of a database, which is not replicated. A consumer can
 * resume from it on another machine.
 *
 * @param name - The consumer's name.
 */
export function localCheckpoint<T extends object>(
  db: CoreDatabase<T>,
  name: string,
): CheckpointStore {
  return documentCheckpoint(scopeOf(db), name);
}
