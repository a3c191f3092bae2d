import { invalidArgument } from './model/invalid-argument.ts';
import type { Observable } from 'rxjs';
import { readChanges } from './changes/changes-request.ts';
import type { ChangesOptions } from './changes/changes-request.ts';
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
import type { AttachmentContent } from './documents/attachment-upload.ts';
import type { AttachmentWritten, PutAttachmentOptions } from './documents/attachment-write.ts';
import { deleteDocument } from './documents/revisions.ts';
import type { DeleteResult } from './documents/revisions.ts';
import { getDocument, getDocuments, getFirstDocuments } from './documents/read.ts';
import type { GetManyOptions, GetOptions } from './documents/read.ts';
import type { CoalesceOptions } from './http/connection-options.ts';
import { DEFAULT_URL } from './http/connection-options.ts';
import { Connection } from './http/connection.ts';
import { WITH_DEFAULTS } from './with-defaults.ts';
import type { RequestDefaults } from './http/prepare-request.ts';
import type { ConnectionOptions } from './http/connection-options.ts';
import type { ReplicationEndpoint } from './http/exchange.ts';
import type { Operation } from './http/operation.ts';
import { request } from './http/request.ts';
import type { RequestOptions } from './http/request.ts';
import { databaseScope } from './http/scope.ts';
import type { DatabaseScope, DocumentRules } from './http/scope.ts';
import { isUrl, parseDatabaseUrl, requireDatabaseName } from './http/url.ts';
import type { ChangesResult } from './model/change.ts';
import type {
  AnyFields,
  Document,
  DocumentRef,
  Draft,
  JsonFields,
  Saved,
} from './model/document.ts';
import type { Row, RowWithDoc, View } from './model/view.ts';
import { listDocuments } from './queries/all-docs.ts';
import type { AllDocsOptions, AllDocsRow, RevisionValue } from './queries/all-docs.ts';
import { find } from './queries/find.ts';
import type { FindQuery, FindResult, FoundDocument } from './queries/find.ts';
import type { Matching, TagValue } from './queries/selector.ts';
import type { FieldPath } from './queries/field-path.ts';
import { queryView } from './queries/view.ts';
import type {
  AnyViewName,
  GroupLevel,
  TypedOptions,
  TypedRow,
  ViewName,
} from './queries/typed-view.ts';
import type { ViewOptions } from './queries/view.ts';
import { REPLICATION_ENDPOINT } from './server/replication.ts';
import { databaseExists, databaseInfo } from './server/databases.ts';
import type { DatabaseInfo } from './server/databases.ts';

/**
 * Returns the scope of a database to the other modules of Corduroy. It is not a public member.
 * @internal
 */
export let scopeOf: <T extends object, Out extends object>(
  db: CoreDatabase<T, Out>,
) => DatabaseScope;

/**
 * Returns the `coalesce` option of a database, to derive others.
 * @internal
 */
export let coalesceOf: <T extends object, Out extends object>(
  db: CoreDatabase<T, Out>,
) => boolean | CoalesceOptions | undefined;

/**
 * A database with the methods that most pages use: documents, views, Mango queries, attachments and
 * changes.
 *
 * `corduroy/core` exports it as `Database`. The `Database` of `corduroy` extends it, and documents
 * the conventions of all methods.
 */
export class CoreDatabase<T extends object = AnyFields, Out extends object = JsonFields<T>> {
  readonly #scope: DatabaseScope;
  readonly #coalesce: boolean | CoalesceOptions | undefined;

  /**
   * @param nameOrUrl - A name on the default server (http://127.0.0.1:5984), or a full URL. The
   * last segment of the URL is the name; write `/` in it as `%2F`.
   * @param options - Credentials, transport, timeouts and retries. `couch.use(name)` shares those
   * of a `Couch`.
   * @throws TypeError if the argument is neither a URL nor a valid database name.
   */
  constructor(nameOrUrl: string, options?: ConnectionOptions);
  /** @internal */
  constructor(
    nameOrUrl: string,
    options?: ConnectionOptions | Connection,
    coalesce?: boolean | CoalesceOptions,
    rules?: DocumentRules | null,
  );
  constructor(
    nameOrUrl: string,
    options: ConnectionOptions | Connection = {},
    coalesce?: boolean | CoalesceOptions,
    rules: DocumentRules | null = null,
  ) {
    if (options instanceof Connection) requireDatabaseName(nameOrUrl);
    const { server, name } = isUrl(nameOrUrl)
      ? parseDatabaseUrl(nameOrUrl)
      : { server: DEFAULT_URL, name: nameOrUrl };
    const connection = options instanceof Connection ? options : Connection.open(server, options);
    this.#scope = databaseScope(connection, name, coalesce, rules);
    this.#coalesce = coalesce;
  }

  static {
    scopeOf = (db) => db.#scope;
    coalesceOf = (db) => db.#coalesce;
  }

  /** The database's name, decoded. */
  get name(): string {
    return this.#scope.name;
  }

  /** The database's URL, without credentials. */
  get url(): string {
    return this.#scope.connection.url + this.#scope.path;
  }

  /** @internal */
  [WITH_DEFAULTS](defaults: RequestDefaults): CoreDatabase<T, Out> {
    const { connection, name } = this.#scope;
    return new CoreDatabase<T, Out>(name, connection.with(defaults), this.#coalesce);
  }

  /**
   * Emits whether the database exists.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `Unauthorized`,
   * `Forbidden` or `ServerError` if the server does not say.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#head--db
   */
  exists(): Operation<boolean> {
    return databaseExists(this.#scope);
  }

  /**
   * Reads the database's information: document counts, update sequence, sizes.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * database does not exist.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#get--db
   */
  info(): Operation<DatabaseInfo> {
    return databaseInfo(this.#scope);
  }

  /**
   * Reads a document, several documents, or the first 50 documents.
   *
   * - `get(id)` emits the document. It errors with `NotFound` if the document is missing; the
   *   error's `deleted` tells whether it existed before.
   * - `get(id, { ifNoneMatch: rev })` emits null if that is still the current revision: CouchDB then
   *   sends no document.
   * - `get(ids)` emits a list in the order of the ids, with null for each missing or deleted
   *   document.
   * - `get()` emits the first 50 documents by id.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request.
   *
   * @throws TypeError for an id that is not a string, is empty, or begins with an underscore.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#get--db-docid
   */
  get(): Operation<Document<Out>[]>;
  get(
    id: string,
    options: GetOptions & { readonly ifNoneMatch: string },
  ): Operation<Document<Out> | null>;
  get(id: string, options?: GetOptions): Operation<Document<Out>>;
  get(ids: readonly string[], options?: GetManyOptions): Operation<(Document<Out> | null)[]>;
  get(
    ...args:
      [] | [string, (GetOptions | undefined)?] | [readonly string[], (GetManyOptions | undefined)?]
  ):
    | Operation<Document<Out> | null>
    | Operation<Document<Out>[]>
    | Operation<(Document<Out> | null)[]> {
    // `get(undefined)` is a mistake and must throw, so the number of arguments decides.
    if (args.length === 0) return getFirstDocuments<Out>(this.#scope);
    const [which, options = {}] = args;
    return Array.isArray(which)
      ? getDocuments<Out>(this.#scope, which, options)
      : getDocument<Out>(this.#scope, which as string, options);
  }

  /**
   * Writes a document, or several in one request. Emits the outcome of each document.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request.
   *
   * - **IDs:** the server generates the `_id` of a document without one.
   * - **Revisions:** a successful write sets `_id` and `_rev` on the object that you passed, so
   *   that you can save it again. A frozen object stays unchanged; read the new revision from the
   *   result. With `batch: 'ok'` there is no revision yet.
   * - **Conflicts:** a single document errors with `Conflict`; resolve it with the error's
   *   `resolution`. Of a list, `pending` contains the documents that were not written, each with
   *   its error. `merge` and `force` resolve conflicts; see {@link ConflictResolution.resolve}.
   *
   * @throws TypeError for a value that is not an object, or that JSON cannot represent. The message
   * contains its path.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#put--db-docid
   */
  save(
    docs: readonly Saved<T, Out>[],
    options?: Omit<SaveOptions<T, Out>, 'batch'>,
  ): Operation<ConflictResolution<T, Out>>;
  save(doc: Saved<T, Out>, options?: SaveOptions<T, Out>): Operation<ConflictResolution<T, Out>>;
  save(
    docs: Saved<T, Out> | readonly Saved<T, Out>[],
    options: SaveOptions<T, Out> = {},
  ): Operation<ConflictResolution<T, Out>> {
    return Array.isArray(docs)
      ? saveMany<T, Out>(this.#scope, docs as readonly Draft<T>[], options)
      : saveOne<T, Out>(this.#scope, docs as Draft<T>, options);
  }

  /**
   * Deletes a document: the revision that `_id` and `_rev` name.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * document does not exist, and with `Conflict` if `_rev` is not a current revision.
   *
   * @throws TypeError for a document without `_id` or `_rev`.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#delete--db-docid
   */
  delete(doc: DocumentRef): Operation<DeleteResult> {
    return deleteDocument(this.#scope, doc);
  }

  /**
   * Queries a view. Emits its rows as one list.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * view does not exist.
   *
   * @param name - `'design-document/view'`, or `'_all_docs'`. The last slash separates the two names,
   * because the name of a design document may contain slashes.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
   */
  view<
    Key,
    Value,
    Reduced,
    Reduce extends boolean = true,
    Docs extends boolean = false,
    Group extends boolean = false,
    Level extends GroupLevel = never,
  >(
    name: ViewName<Key, Value, Reduced>,
    options?: TypedOptions<Key, ViewOptions, Reduce, Docs, Group, Level>,
  ): Operation<View<TypedRow<Key, Value, Reduced, Out, Reduce, Docs, Group, Level>, ViewOptions>>;
  view<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: ViewOptions & { readonly includeDocs: true },
  ): Operation<View<RowWithDoc<Key, Value, Out>, ViewOptions>>;
  view<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: ViewOptions,
  ): Operation<View<Row<Key, Value>, ViewOptions>>;
  view(name: string, options: ViewOptions = {}): Operation<View<never, ViewOptions>> {
    return queryView(this.#scope, name, options) as never;
  }

  /**
   * Lists the documents by id. Emits one row per document, with its revision.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Without a `limit` it lists
   * all documents. With `keys` there is one row per key: if the document does not exist, the row's
   * value is null and its `error` contains the reason.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-all-docs
   */
  allDocs(
    options: AllDocsOptions & { readonly keys: readonly string[]; readonly includeDocs: true },
  ): Operation<View<AllDocsRow<Document<Out> | null, RevisionValue | null>, AllDocsOptions>>;
  allDocs(
    options: AllDocsOptions & { readonly keys: readonly string[] },
  ): Operation<View<AllDocsRow<null, RevisionValue | null>, AllDocsOptions>>;
  allDocs(
    options: AllDocsOptions & { readonly includeDocs: true },
  ): Operation<View<AllDocsRow<Document<Out>>, AllDocsOptions>>;
  allDocs(options?: AllDocsOptions): Operation<View<AllDocsRow, AllDocsOptions>>;
  allDocs(options: AllDocsOptions = {}): Operation<View<AllDocsRow<never, never>>> {
    return listDocuments(this.#scope, '_all_docs', options, 'allDocs');
  }

  /**
   * Finds documents with a Mango selector. Emits one page of documents.
   *
   * **CouchDB returns at most 25 documents unless the query has a `limit`.** Pass the `bookmark` of
   * a page to read the next one.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Each subscription reads the
   * query object again. Without a matching index CouchDB scans all documents and sets `warning`;
   * create one with {@link Database.indexes}. Errors with `BadRequest` for an operator that the
   * server does not know, and for a `sort` without an index.
   *
   * @throws TypeError or RangeError for a query without a selector, an unknown option or a bad
   * limit.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html
   * @example
   * db.find({ selector: { total: { $gt: 100 } }, fields: ['_id', 'total'], limit: 1000 })
   */
  find<const Field extends FieldPath<T> = never, const Tag extends TagValue<T> = TagValue<T>>(
    query: FindQuery<T, Field, Tag>,
  ): Operation<FindResult<FoundDocument<Matching<Out, Tag>, Field>>> {
    return find<Matching<Out, Tag>, never>(this.#scope, query as never) as never;
  }

  /**
   * Reads an attachment. Emits its bytes as one `Uint8Array`, whatever its content type.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound`. Call
   * `.chunks()` on the returned object to stream the bytes with progress, or `.info()` to read only
   * the type and length.
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
   * Downloads an attachment and emits an object URL for it, to use in `<img>`, `<video>` or a link.
   *
   * Cold. Emits once and does not complete: the URL is valid as long as the subscription.
   * Unsubscribing revokes the URL and aborts a download in progress. Errors with `NotFound`.
   *
   * @example
   * pets.attachmentUrl('ada', 'portrait.png').subscribe((url) => (image.src = url));
   * @throws TypeError in a service worker, because service workers have no object URLs.
   * @see https://docs.couchdb.org/en/stable/api/document/attachments.html
   */
  attachmentUrl(
    owner: AttachmentOwner,
    filename: string,
    options: AttachmentUrlOptions = {},
  ): Observable<string> {
    return attachmentUrl(this.#scope, owner, filename, options);
  }

  /**
   * Creates or replaces an attachment. Emits the document's new revision.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Sets `_rev` and a stub in
   * `_attachments` on the document that you passed, so that the next save keeps the attachment.
   * Creates the document if it has no `_rev`. Errors with `Conflict`. A stream can be sent only
   * once.
   *
   * @param content - Text, bytes, a Blob or File, a stream, or an Observable of bytes.
   * @param filename - Optional for a File, and for a stream that reads a file.
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
   * Deletes an attachment. Emits the document's new revision, and sets it on the document that you
   * passed.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` and
   * `Conflict`.
   *
   * @see https://docs.couchdb.org/en/stable/api/document/attachments.html
   */
  deleteAttachment(
    doc: Draft<object> & { readonly _id: string; readonly _rev: string },
    filename: string,
    options: Pick<PutAttachmentOptions, 'w'> = {},
  ): Operation<AttachmentWritten> {
    return deleteAttachment(this.#scope, doc, filename, options);
  }

  /**
   * Returns the URL and credentials with which a CouchDB server reaches this database as a
   * replicator.
   * @internal
   */
  [REPLICATION_ENDPOINT](): ReplicationEndpoint {
    return this.#scope.connection.replicationEndpoint(this.name);
  }

  /**
   * Reads the changes after `since` in one response.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. For changes as they happen,
   * use {@link Database.changes$}.
   *
   * @param options - `since` is the beginning by default.
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html
   */
  changes(options: ChangesOptions = {}): Operation<ChangesResult<Out>> {
    return readChanges<Out>(this.#scope, options);
  }

  /**
   * Returns the changes feed: emits changes in batches as they happen.
   *
   * Hot and shared: feeds with the same server-side options share one connection.
   * {@link ChangesFeed} documents what it emits, when it ends, and how it resumes.
   *
   * @param options - `since` is `'now'` by default, `latency` 1000 milliseconds.
   * @throws TypeError or RangeError for invalid options, and for options that exclude each other.
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html#continuous
   */
  changes$(options: ChangesFeedOptions = {}): ChangesFeed<Out> {
    return new ChangesFeed<Out>(this.#scope, options);
  }

  /**
   * Sends any request to this database, for endpoints without a method. Otherwise as
   * {@link Couch.request}.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request.
   *
   * @param options - `path` is appended to the database's path.
   * @throws TypeError for a path that leads outside the database, and for credentials in `headers`.
   * @example
   * db.request({ path: '/_shards' }).subscribe((shards) => console.log(shards));
   */
  request<R = unknown>(options: RequestOptions): Operation<R> {
    return request<R>(this.#scope.connection, options, this.#scope);
  }

  toString(): string {
    return `<Database: ${this.url}>`;
  }
}

/**
 * Returns a checkpoint that is stored in a `_local/` document of a database. A consumer can resume
 * from it on another machine. CouchDB does not replicate `_local/` documents.
 *
 * @param name - The consumer's name.
 * @see https://docs.couchdb.org/en/stable/api/local.html
 */
export function localCheckpoint<T extends object, Out extends object>(
  db: CoreDatabase<T, Out>,
  name: string,
): CheckpointStore {
  if (!(db instanceof CoreDatabase)) throw invalidArgument('localCheckpoint: db', 'a Database', db);
  return documentCheckpoint(scopeOf(db), name);
}
