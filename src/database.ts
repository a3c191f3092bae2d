import type { Observable } from 'rxjs';
import { CoreDatabase, coalesceOf, scopeOf } from './core-database.ts';
import { WITH_DEFAULTS } from './with-defaults.ts';
import type { ChangesOptions } from './changes/changes-request.ts';
import { Consumer } from './changes/consume.ts';
import type { ChangeHandler, ConsumeOptions } from './changes/consume.ts';
import { streamChanges } from './changes/changes-request.ts';
import type { ChangesSummary } from './changes/changes-request.ts';
import type { ConflictResolution, ResolveOptions } from './conflicts/resolution.ts';
import type { CoalesceOptions } from './http/connection-options.ts';
import type { DocumentSource } from './conflicts/batch-reader.ts';
import { saveAll } from './conflicts/save-all.ts';
import type { SaveAllOptions, SaveItemsOptions, SaveProgress } from './conflicts/save-all.ts';
import { upsertMany, upsertOne } from './conflicts/upsert.ts';
import type { DocumentChange } from './conflicts/upsert.ts';
import { copyDocument, purge, revisions } from './documents/revisions.ts';
import type { CopyRef, PurgeResult, WriteResult } from './documents/revisions.ts';
import { Designs } from './groups/designs.ts';
import { Indexes } from './groups/indexes.ts';
import { LocalDocuments } from './groups/local.ts';
import { Partition } from './partition.ts';
import { Revs } from './groups/revs.ts';
import { searchOf } from './groups/search.ts';
import type { Search } from './groups/search.ts';
import { callUpdate, designInfo, renderList, renderShow } from './queries/design-functions.ts';
import type {
  DesignInfo,
  FunctionParameters,
  RenderOptions,
  RenderResult,
  UpdateResult,
} from './queries/design-functions.ts';
import { cleanup, commit, compact } from './server/upkeep.ts';
import type { CompactOptions } from './server/upkeep.ts';
import { Connection } from './http/connection.ts';
import type { RequestDefaults } from './http/prepare-request.ts';
import type { ConnectionOptions } from './http/connection-options.ts';
import type { Operation } from './http/operation.ts';
import type { RowStream } from './http/row-stream.ts';
import type { DatabaseScope, DocumentRules } from './http/scope.ts';
import type { Change } from './model/change.ts';
import type {
  AnyFields,
  Document,
  DocumentRef,
  JsonFields,
  LiveDocument,
  ReadonlyDeep,
  Saved,
} from './model/document.ts';
import type { Row, RowWithDoc, View, ViewHead } from './model/view.ts';
import { liveAllDocs } from './live/live-rows.ts';
import type { LiveAllDocsOptions } from './live/live-rows.ts';
import { liveConflicts } from './live/live-documents.ts';
import type { DocumentConflict } from './live/live-documents.ts';
import { decodeLive } from './live/decode-live.ts';
import { liveDatabase, readLiveOptions } from './live/live-database.ts';
import type { LiveDatabase, LiveOptions } from './live/live-database.ts';
import { liveDocument, liveDocuments } from './live/live-documents.ts';
import { LiveEdit } from './live/live-edit.ts';
import type { EditOptions } from './live/live-edit.ts';
import { liveFind } from './live/live-find.ts';
import type { LiveFindQuery } from './live/live-find.ts';
import type { LiveQuery } from './live/live-query.ts';
import { liveView } from './live/live-rows.ts';
import type { LiveViewOptions } from './live/live-rows.ts';
import { streamFound } from './queries/find.ts';
import type { FindSummary } from './queries/find.ts';
import type { FindQuery, FoundDocument } from './queries/find.ts';
import type { Matching, TagValue } from './queries/selector.ts';
import type { FieldPath } from './queries/field-path.ts';
import { temporaryView } from './queries/temporary-view.ts';
import type {
  AnyViewName,
  GroupLevel,
  TypedOptions,
  TypedRow,
  ViewName,
} from './queries/typed-view.ts';
import type { ViewOptions } from './queries/view.ts';
import { queryViews } from './queries/view.ts';
import { Pages } from './queries/pages.ts';
import type { PagesOptions } from './queries/pages.ts';
import { streamView } from './queries/view.ts';
import { Upkeep } from './server/upkeep.ts';
import { replicate } from './server/replication.ts';
import type { ReplicateOptions, ReplicationResult, ReplicationSide } from './server/replication.ts';
import type { DatabaseInfo } from './server/databases.ts';

/** The options of a `Database`: its connection, and its live queries. */
export interface DatabaseOptions extends ConnectionOptions {
  /** How live queries of the database follow changes. */
  readonly live?: LiveOptions | undefined;
}

/**
 * A CouchDB database whose documents have the fields of `T`.
 *
 * The constructor sends nothing. Conventions of the methods, unless their documentation says
 * otherwise:
 *
 * - A method returns a cold {@link Operation}: each subscription sends a request with the current
 *   arguments, emits once and completes. Unsubscribing aborts the request.
 * - Operations error with a `CorduroyError`: an `HTTPError` such as `NotFound`, or a
 *   `ConnectionError`, `TimeoutError` or `ProtocolError`.
 * - Invalid arguments (an empty id, a document with NaN, an unknown option) throw a `TypeError` or
 *   a `RangeError` at the call.
 * - Methods whose name ends in `$` return streams that stay open: the changes feed, and live
 *   queries.
 *
 * @example
 * const orders = new Database<Order>('orders');
 * orders.get('2024-17').subscribe((order) => console.log(order.total));
 */
export class Database<
  T extends object = AnyFields,
  Out extends object = JsonFields<T>,
> extends CoreDatabase<T, Out> {
  readonly #live: LiveOptions;
  #revs: Revs<T, Out> | undefined;
  #local: LocalDocuments | undefined;
  #designs: Designs | undefined;
  #indexes: Indexes<T> | undefined;
  #search: Search<Out> | undefined;
  #upkeep: Upkeep | undefined;

  /**
   * @param nameOrUrl - A name on the default server (http://127.0.0.1:5984), or a full URL. The
   * last segment of the URL is the name; write `/` in it as `%2F`.
   * @param options - Credentials, transport, timeouts and retries. `couch.use(name)` shares those
   * of a `Couch`.
   * @throws TypeError if the argument is neither a URL nor a valid database name, and for unknown
   * `live` options.
   */
  constructor(nameOrUrl: string, options?: DatabaseOptions);
  /** @internal */
  constructor(
    nameOrUrl: string,
    connection: Connection,
    live: LiveOptions | undefined,
    coalesce?: boolean | CoalesceOptions,
    rules?: DocumentRules | null,
  );
  constructor(
    nameOrUrl: string,
    options: DatabaseOptions | Connection = {},
    live: LiveOptions | undefined = options instanceof Connection
      ? undefined
      : Object(options).live,
    coalesce?: boolean | CoalesceOptions,
    rules: DocumentRules | null = null,
  ) {
    super(nameOrUrl, options, coalesce, rules);
    this.#live = live ?? {};
    if (!(options instanceof Connection)) readLiveOptions(this.#live);
  }

  get #scope(): DatabaseScope {
    return scopeOf(this);
  }

  /** @internal */
  override [WITH_DEFAULTS](defaults: RequestDefaults): Database<T, Out> {
    const { connection, name, rules } = this.#scope;
    const own = connection.with(defaults);
    return new Database<T, Out>(name, own, this.#live, coalesceOf(this), rules);
  }

  /**
   * Reads the information of the database, or of a design document's index.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * database or the design document does not exist.
   *
   * @param ddoc - The name of a design document, with or without `_design/`.
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#get--db
   * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html#get--db-_design-ddoc-_info
   */
  override info(): Operation<DatabaseInfo>;
  override info(ddoc: string): Operation<DesignInfo>;
  override info(...args: [] | [string]): Operation<DatabaseInfo> | Operation<DesignInfo> {
    const [ddoc] = args;
    return args.length === 0 ? super.info() : designInfo(this.#scope, ddoc as string);
  }

  /**
   * Reads a document, applies `change`, and saves it. Retries on conflict. Emits the saved
   * document. If `change` returns null, emits the document as it was read.
   *
   * With a list of ids, each round sends one request to read and one to write. It emits the outcome
   * of each document; `pending` includes those for which `change` returned null.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request and stops the retries. Errors
   * with what `change` throws, and, for a single id, with `Conflict` if the attempts run out.
   *
   * @param change - Receives the document, or null if it does not exist. Returns the document to
   * save (Corduroy sets `_id` and `_rev`), null to skip it, or a Promise or Observable of either.
   * @param options - `attempts` (default 100 for a single id, 5 for a list), and `backoff`.
   * @example
   * counters.upsert('visits', (doc) => ({ count: (doc?.count ?? 0) + 1 })).subscribe();
   */
  upsert(
    id: string,
    change: DocumentChange<T, Out>,
    options?: ResolveOptions,
  ): Observable<Document<T | Out> | null>;
  upsert(
    ids: readonly string[],
    change: DocumentChange<T, Out>,
    options?: ResolveOptions,
  ): Observable<ConflictResolution<T, Out>>;
  upsert(
    which: string | readonly string[],
    change: DocumentChange<T, Out>,
    options: ResolveOptions = {},
  ): Observable<Document<T | Out> | null> | Observable<ConflictResolution<T, Out>> {
    return Array.isArray(which)
      ? upsertMany(this.#scope, which, change, options)
      : upsertOne(this.#scope, which as string, change, options);
  }

  /**
   * Saves any number of documents, in batches: an import, a copy of a database. Reads the source only as
   * fast as CouchDB writes (back-pressure).
   *
   * ```ts
   * // A copy of a database, deletions and conflicts aside.
   * const pages = pets.viewPages('_all_docs', { includeDocs: true, attachments: true, pageSize: 500 });
   * copy.saveAll(pages, { documents: (page) => page.rows.map(({ doc }) => doc), newEdits: false })
   *   .subscribe(({ written, perSecond }) => console.log(written, Math.round(perSecond)));
   * ```
   *
   * - **Temperature:** cold. Each subscription reads the source from its beginning.
   * - **Emits** the progress after each request: `written`, `refused`, `bytes`, `perSecond`, and the
   *   `outcome` of each document of that request. A document that CouchDB refuses, as in a conflict, is in
   *   `outcome.pending`; the others are written. A document that the database holds already, with the same
   *   content, counts as written.
   * - **Completes** when all documents are written or refused.
   * - **Errors** with the error of a request or of the source, and with a TypeError for a value that is no
   *   document. Requests in flight end first and are emitted. `resumeAfter` of the last progress tells
   *   where to continue: pass it as an option, with the same source.
   * - **On unsubscribe** it aborts the requests in flight and closes the source.
   *
   * An array, a generator, a Node stream of objects, `db.viewPages()` and other iterables are read when a
   * request is free. An Observable cannot wait: what it emits faster than CouchDB writes waits in memory.
   * Documents without `_id` receive one, but cannot be resumed by it.
   *
   * @param source - An Iterable, an AsyncIterable or an Observable of documents; with `documents`, of any
   * values.
   * @param options - `batchSize` (500), `concurrency` (2), `resumeAfter`, `documents`, and those of `save`:
   * `merge`, `force`, `newEdits: false`.
   * @throws TypeError or RangeError for an invalid source or option.
   * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-docs
   */
  saveAll<Item>(
    source: DocumentSource<Item>,
    options: SaveItemsOptions<Item, T, Saved<T, Out>, Out>,
  ): Observable<SaveProgress<T, Out>>;
  saveAll(
    source: DocumentSource<Saved<T, Out>>,
    options?: SaveAllOptions<T, Out>,
  ): Observable<SaveProgress<T, Out>>;
  saveAll(
    source: DocumentSource<unknown>,
    options: SaveAllOptions<T, Out> = {},
  ): Observable<SaveProgress<T, Out>> {
    return saveAll<T, Out>(this.#scope, source, options);
  }

  /**
   * The local documents, which CouchDB does not replicate: `get`, `save`, `delete`, `copy`, `list`.
   * @see https://docs.couchdb.org/en/stable/api/local.html
   */
  get local(): LocalDocuments {
    return (this.#local ??= new LocalDocuments(this.#scope));
  }

  /**
   * Sends several queries to a view in one request. Emits a list of views, in the order of the
   * queries.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * view does not exist.
   *
   * @param name - As for {@link Database.view}, or `'_design_docs'` or `'_local_docs'`.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html#sending-multiple-queries-to-a-view
   */
  viewQueries<Key = unknown, Value = unknown>(
    name: string,
    queries: readonly ViewOptions[],
  ): Operation<View<RowWithDoc<Key, Value, Out>, ViewOptions>[]> {
    return queryViews(this.#scope, name, queries);
  }

  /**
   * The revision trees: `current`, `leaves`, `resolveLeaves`, `open`, `bulkGet`, `diff`, `missing`.
   */
  get revs(): Revs<T, Out> {
    return (this.#revs ??= new Revs<T, Out>(this.#scope));
  }

  /** The design documents: `get`, `save`, `delete`, `copy`, `info`, `list`, `deploy`. */
  get designs(): Designs {
    return (this.#designs ??= new Designs(this.#scope));
  }

  /**
   * Returns a partition of a partitioned database. Its queries, live ones too, read only one shard range.
   *
   * @param key - The part of the document ids before the colon.
   * @throws TypeError for an invalid partition key.
   * @see https://docs.couchdb.org/en/stable/partitioned-dbs/index.html
   */
  partition(key: string): Partition<T, Out> {
    return new Partition<T, Out>(this.#scope, key, () => this.#liveDatabase());
  }

  /**
   * Streams the rows of a view as they arrive. Use it for results that do not fit in memory.
   *
   * Cold; {@link RowStream} documents when it completes and errors. Unsubscribing aborts the
   * download. Errors with `NotFound` if the view does not exist.
   *
   * @param name - `'design-document/view'`, or `'_all_docs'`.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
   * @example
   * db.viewRows('orders/byDay', { startKey: '2024' }).pipe(take(10)).subscribe((row) => …);
   */
  viewRows<
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
  ): RowStream<TypedRow<Key, Value, Reduced, Out, Reduce, Docs, Group, Level>, ViewHead>;
  viewRows<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: ViewOptions & { readonly includeDocs: true },
  ): RowStream<RowWithDoc<Key, Value, Out>, ViewHead>;
  viewRows<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: ViewOptions,
  ): RowStream<Row<Key, Value>, ViewHead>;
  viewRows(name: string, options: ViewOptions = {}): RowStream<never, ViewHead> {
    return streamView(this.#scope, name, options) as never;
  }

  /**
   * Reads a view page by page. Requests the next page only when the consumer is ready
   * (back-pressure).
   *
   * Cold; {@link Pages} documents when it completes and errors. `for await` can read it too.
   * Unsubscribing aborts the request.
   *
   * @param name - `'design-document/view'`, or `'_all_docs'`.
   * @param options - `pageSize` is 100 rows by default.
   * @throws TypeError for options that cannot be paginated: `keys`, and `sorted: false`.
   * @see https://docs.couchdb.org/en/stable/ddocs/views/pagination.html
   */
  viewPages<
    Key,
    Value,
    Reduced,
    Reduce extends boolean = true,
    Docs extends boolean = false,
    Group extends boolean = false,
    Level extends GroupLevel = never,
  >(
    name: ViewName<Key, Value, Reduced>,
    options?: TypedOptions<Key, PagesOptions, Reduce, Docs, Group, Level>,
  ): Pages<TypedRow<Key, Value, Reduced, Out, Reduce, Docs, Group, Level>>;
  viewPages<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: PagesOptions<RowWithDoc<Key, Value, Out>> & { readonly includeDocs: true },
  ): Pages<RowWithDoc<Key, Value, Out>>;
  viewPages<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: PagesOptions<Row<Key, Value>>,
  ): Pages<Row<Key, Value>>;
  viewPages(name: string, options: PagesOptions = {}): Pages<never> {
    return new Pages(this.#scope, name, options) as never;
  }

  /**
   * Queries a temporary view, given as source text.
   *
   * Creates a design document, queries it, and deletes it again, also after an error or an
   * unsubscribe. Each call indexes the whole database, so use it only to explore data. For repeated
   * queries, save a design document and use {@link Database.view}, or use {@link Database.find}.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `Unauthorized` or
   * `Forbidden` if the user may not write design documents.
   *
   * @param map - The text of a map function, for example
   * `'function (doc) { emit(doc.name, null); }'`.
   * @param reduce - The text of a reduce function, or `'_sum'`, `'_count'` or `'_stats'`.
   * @see https://docs.couchdb.org/en/stable/ddocs/views/intro.html
   */
  query<Key = unknown, Value = unknown>(
    map: string,
    reduce: string | undefined,
    options: ViewOptions & { readonly includeDocs: true },
  ): Operation<View<RowWithDoc<Key, Value, Out>, ViewOptions>>;
  query<Key = unknown, Value = unknown>(
    map: string,
    reduce?: string,
    options?: ViewOptions,
  ): Operation<View<Row<Key, Value>, ViewOptions>>;
  query(
    map: string,
    reduce?: string,
    options: ViewOptions = {},
  ): Operation<View<Row, ViewOptions>> {
    return temporaryView(this.#scope, map, reduce, options);
  }

  /**
   * Streams the documents that match a Mango query, as they arrive.
   *
   * **CouchDB returns at most 25 documents unless the query has a `limit`.**
   *
   * Cold; {@link RowStream} documents when it completes and errors. Unsubscribing aborts the
   * download. Takes the queries of {@link Database.find}. On completion its `info` contains the
   * `bookmark`, the `warning` and the statistics.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html
   */
  findRows<const Field extends FieldPath<T> = never, const Tag extends TagValue<T> = TagValue<T>>(
    query: FindQuery<T, Field, Tag>,
  ): RowStream<FoundDocument<Matching<Out, Tag>, Field>, FindSummary> {
    return streamFound<Matching<Out, Tag>, never>(this.#scope, query as never) as never;
  }

  /**
   * Full-text search: `db.search(name, query)` with Clouseau, `db.search.nouveau(name, query)` with
   * Nouveau.
   */
  get search(): Search<Out> {
    return (this.#search ??= searchOf<Out>(this.#scope));
  }

  /** The Mango indexes: `list`, `create`, `delete`, `deleteMany`, `explain`. */
  get indexes(): Indexes<T> {
    return (this.#indexes ??= new Indexes<T>(this.#scope));
  }

  /**
   * Calls a show function. Emits the rendered response.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * function does not exist. A redirect is not followed: its `location` is in `headers`.
   *
   * @param name - `'design-document/function'`, separated at the last slash.
   * @param id - The document to render. Without an id the function receives null.
   * @param parameters - The function's `req.query`.
   * @param options - `headers`, such as `accept`, for the function's `req.headers`.
   * @deprecated CouchDB 4 removes show functions.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/render.html
   */
  show(
    name: string,
    id?: string,
    parameters: FunctionParameters = {},
    options: RenderOptions = {},
  ): Operation<RenderResult> {
    return renderShow(this.#scope, name, id, parameters, options);
  }

  /**
   * Calls a list function with the rows of a view. Emits the rendered response.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * function does not exist. A redirect is not followed: its `location` is in `headers`.
   *
   * @param name - `'design-document/function'`, separated at the last slash.
   * @param view - A view of the same design document, or `'other-design-document/view'`.
   * @param parameters - Added to the function's `req.query`, which also contains the view options.
   * @param renderOptions - `headers`, such as `accept`, for the function's `req.headers`.
   * @deprecated CouchDB 4 removes list functions.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/render.html
   */
  list(
    name: string,
    view: string,
    options: ViewOptions = {},
    parameters: FunctionParameters = {},
    renderOptions: RenderOptions = {},
  ): Operation<RenderResult> {
    return renderList(this.#scope, name, view, options, parameters, renderOptions);
  }

  /**
   * Calls an update function. Emits its response, and the `id` and `rev` of the document that it
   * wrote.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * function does not exist.
   *
   * The function can choose the status. Corduroy emits redirects without following them, and emits any
   * status if the function wrote a document. Other statuses from 400 are errors. Browsers hide the
   * headers and the body of a redirect, so `id` and `rev` are null there.
   *
   * @param name - `'design-document/function'`, separated at the last slash.
   * @param id - With an id, sends a PUT request; without one, a POST request.
   * @param body - Text becomes the function's `req.body`. An object is form-encoded, and becomes
   * `req.form`.
   * @param parameters - The function's `req.query`.
   * @deprecated CouchDB 4 removes update functions.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/render.html
   */
  update(
    name: string,
    id?: string,
    body?: string | Readonly<Record<string, string | number | boolean>>,
    parameters: FunctionParameters = {},
  ): Operation<UpdateResult> {
    return callUpdate(this.#scope, name, id, body, parameters);
  }

  /**
   * Copies a document on the server, with its attachments. Emits the id and revision of the copy.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * source does not exist, and with `Conflict` if the destination exists and `dest` has no current
   * `_rev`.
   *
   * @param source - An id, or a document; with a document, the revision in `_rev` is copied.
   * @param dest - An id, or the document to overwrite, with its `_rev`.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#copy--db-docid
   */
  copy(source: CopyRef, dest: CopyRef): Operation<WriteResult> {
    return copyDocument(this.#scope, source, dest);
  }

  /**
   * Lists the revisions of a document, the newest first. The bodies of old revisions may no longer
   * exist.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#get--db-docid
   */
  revisions(id: string): Operation<string[]> {
    return revisions(this.#scope, id);
  }

  /**
   * Purges leaf revisions. **This cannot be undone, and does not replicate**: other replicas keep
   * the revisions, and can bring them back. Use {@link Database.delete} unless you need this.
   *
   * CouchDB reports no purge in its changes feed. The live queries of this `Couch` follow its own purges;
   * those of other clients keep the documents until they read again.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `Unauthorized`
   * for all but administrators.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-purge
   */
  purge(docs: readonly DocumentRef[]): Operation<PurgeResult> {
    return purge(this.#scope, docs, (ids) => this.#liveDatabase().refetch(ids));
  }

  /** Replicates another database to this one. Otherwise as {@link Couch.replicate}. */
  pull(source: ReplicationSide, options: ReplicateOptions = {}): Operation<ReplicationResult> {
    return replicate(this.#scope.connection, source, this, options);
  }

  /** Replicates this database to another one. Otherwise as {@link Couch.replicate}. */
  push(target: ReplicationSide, options: ReplicateOptions = {}): Operation<ReplicationResult> {
    return replicate(this.#scope.connection, this, target, options);
  }

  /**
   * Compacts the database, or the index of a design document.
   *
   * Cold. Emits once and completes when the compaction has started; with `wait: true`, when it has
   * ended. Unsubscribing does not stop the compaction. Errors with `Unauthorized` for all but
   * administrators.
   *
   * @param ddoc - The name of a design document.
   * @param options - `wait` is false by default; with it, Corduroy polls every `interval`
   * milliseconds (default 500).
   * @see https://docs.couchdb.org/en/stable/api/database/compact.html
   */
  compact(ddoc?: string, options: CompactOptions = {}): Operation<{ readonly ok: true }> {
    return compact(this.#scope, ddoc, options);
  }

  /**
   * Deletes index files that no design document uses.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `Unauthorized`
   * for all but administrators.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/compact.html#db-view-cleanup
   */
  cleanup(): Operation<{ readonly ok: true }> {
    return cleanup(this.#scope);
  }

  /** The administrator's methods: rights, limits, purges, shards. */
  get upkeep(): Upkeep {
    return (this.#upkeep ??= new Upkeep(this.#scope));
  }

  /**
   * Requests that the server writes all changes to disk. CouchDB does so after each write since
   * version 3.0.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request.
   *
   * @deprecated It has no effect on CouchDB 3.
   * @see https://docs.couchdb.org/en/stable/api/database/compact.html#db-ensure-full-commit
   */
  commit(): Operation<{ readonly ok: true }> {
    return commit(this.#scope);
  }

  /**
   * Streams the existing changes after `since` as they arrive, and completes.
   *
   * Cold; {@link RowStream} documents when it completes and errors. Unsubscribing aborts the
   * download. On completion its `info` contains the last sequence: pass it as `since` to continue.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html
   */
  changeRows(options: ChangesOptions = {}): RowStream<Change<Out>, ChangesSummary> {
    return streamChanges<Out>(this.#scope, options);
  }

  /**
   * Calls a handler for each change, and stores a checkpoint. Use it in workers that must not miss a
   * change, even if the worker or the server restarts.
   *
   * - **Temperature:** cold. It pulls, so a slow handler slows the reading (back-pressure).
   * - **Emits** `{ seq, handled, failed, pending }` after each write of the checkpoint, at most once in
   *   `checkpointInterval`.
   * - **Completes** after `stop()`.
   * - **Errors** with the handler's error after `attempts` failures (default 5), unless `deadLetter`
   *   takes the change. Errors with permanent errors, as a feed does; transient errors are retried, and
   *   `state$` shows them.
   * - **On unsubscribe** it stops, and cancels the handler's Observables. The checkpoint stays before
   *   the first change that is not handled, so a new subscription continues there (at least once).
   *
   * With `slice: { index, of }`, several workers divide the changes by the id of the document.
   *
   * @param handler - Receives one change at a time, or up to `concurrency` changes in parallel.
   * Corduroy waits for the Promise or Observable that it returns.
   * @throws TypeError for an invalid option; RangeError for a number out of range, as of a slice.
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html
   */
  consume(handler: ChangeHandler<Out>, options: ConsumeOptions<Out>): Consumer<Out> {
    return new Consumer<Out>(this.#scope, handler, options);
  }

  /**
   * Returns a live query of a document. Emits the document now and after each change; null while it
   * is missing or deleted.
   *
   * A live query: {@link LiveQuery} documents what it emits, and when it errors. Documents that you
   * subscribe to in the same turn are read in one request.
   *
   * @example
   * orders.doc$('2024-17').subscribe((order) => console.log(order?.total));
   * @throws TypeError for an invalid id.
   */
  doc$(id: string): LiveQuery<LiveDocument<Out> | null> {
    return decodeLive(this.#scope.rules, liveDocument<Out>(this.#liveDatabase(), id));
  }

  /**
   * Returns a live query of several documents. Emits a list in the order of the ids, now and after
   * each change, with null for each missing or deleted document.
   *
   * A live query: {@link LiveQuery} documents what it emits, and when it errors.
   *
   * @throws TypeError for an invalid id.
   */
  docs$(ids: readonly string[]): LiveQuery<readonly (LiveDocument<Out> | null)[]> {
    return decodeLive(this.#scope.rules, liveDocuments<Out>(this.#liveDatabase(), ids), true);
  }

  /**
   * Returns a live query of the documents, or of a range of ids: the rows of `_all_docs`.
   *
   * A live query: {@link LiveQuery} documents what it emits, and when it errors. Changes update the
   * rows without another request, unless a row moves up below a `limit`, or there is a `skip`.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-all-docs
   */
  allDocs$(
    options: LiveAllDocsOptions & { readonly includeDocs: true },
  ): LiveQuery<readonly Row<string, { readonly rev: string }, LiveDocument<Out> | null>[]>;
  allDocs$(
    options?: LiveAllDocsOptions,
  ): LiveQuery<readonly Row<string, { readonly rev: string }>[]>;
  allDocs$(options: LiveAllDocsOptions = {}): LiveQuery<readonly Row<string, never, never>[]> {
    const rows$ = liveAllDocs(this.#liveDatabase(), options);
    return decodeLive(this.#scope.rules, rows$) as LiveQuery<readonly Row<string, never, never>[]>;
  }

  /**
   * Returns a live query of the documents that match a Mango query: all of them, unless there is a
   * `limit`.
   *
   * A live query: {@link LiveQuery} documents what it emits, and when it errors.
   *
   * Corduroy evaluates changed documents itself. It repeats the request only in these cases:
   *
   * - operators that it cannot evaluate: `$text`, most `$regex`, and newer ones;
   * - a `sort` by strings beyond ASCII;
   * - a `limit` below which a document moves up, and a `skip`;
   * - `useIndex`.
   *
   * @example
   * orders.find$({ selector: { open: true }, sort: ['date'] }).subscribe(show);
   * @throws TypeError or RangeError for an invalid query.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html
   */
  find$<const Tag extends TagValue<T> = TagValue<T>>(
    query: LiveFindQuery<T, Tag>,
  ): LiveQuery<readonly LiveDocument<Matching<Out, Tag>>[]> {
    const found$ = liveFind<Matching<Out, Tag>>(this.#liveDatabase(), query);
    return decodeLive(this.#scope.rules, found$);
  }

  /**
   * Returns a live query of the rows of a view.
   *
   * A live query: {@link LiveQuery} documents what it emits, and when it errors. Only the server
   * can compute the rows, so Corduroy repeats the request after changes: at most once every
   * `latency` milliseconds (default 1000; `live.latency` of the `Couch` sets another).
   *
   * @param name - `'design-document/view'`, separated at the last slash.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
   */
  view$<
    Key,
    Value,
    Reduced,
    Reduce extends boolean = true,
    Docs extends boolean = false,
    Group extends boolean = false,
    Level extends GroupLevel = never,
  >(
    name: ViewName<Key, Value, Reduced>,
    options?: TypedOptions<Key, LiveViewOptions, Reduce, Docs, Group, Level>,
  ): LiveQuery<
    readonly TypedRow<
      Key,
      ReadonlyDeep<Value>,
      ReadonlyDeep<Reduced>,
      LiveDocument<Out>,
      Reduce,
      Docs,
      Group,
      Level
    >[]
  >;
  view$<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: LiveViewOptions & { readonly includeDocs: true },
  ): LiveQuery<readonly Row<Key, ReadonlyDeep<Value>, LiveDocument<Out> | null>[]>;
  view$<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: LiveViewOptions,
  ): LiveQuery<readonly Row<Key, ReadonlyDeep<Value>>[]>;
  view$(name: string, options: LiveViewOptions = {}): LiveQuery<readonly never[]> {
    return decodeLive(this.#scope.rules, liveView(this.#liveDatabase(), name, options));
  }

  /**
   * Returns an editable live document. It shows edits at once, and saves them when no edit has come
   * for `debounce` milliseconds (default 500). It merges them with the changes of other clients. It keeps
   * edits that the server refuses, with the error.
   *
   * Each call returns an independent editor. {@link LiveEdit} documents what it emits, and when it
   * errors.
   *
   * @example
   * const order = orders.edit$('2024-17');
   * order.subscribe(({ value, pending }) => show(value, pending ? 'unsaved' : 'saved'));
   * order.patch({ total: 12 });
   * @throws TypeError for an invalid id.
   */
  edit$(id: string, options: EditOptions<Out> = {}): LiveEdit<Out> {
    return new LiveEdit<Out>(this.#liveDatabase(), id, options, this.#scope.rules);
  }

  /**
   * Returns a live query of the documents with conflicts: several live leaf revisions, after a
   * replication. The list is ordered by id.
   *
   * A live query: {@link LiveQuery} documents what it emits, and when it errors. It first reads the
   * whole change history without documents, 1000 changes per request.
   *
   * @example
   * db.conflicts$().pipe(resolveAllLeaves(db, fields())).subscribe();
   * @see https://docs.couchdb.org/en/stable/replication/conflicts.html
   */
  conflicts$(): LiveQuery<readonly DocumentConflict<Out>[]> {
    return decodeLive(this.#scope.rules, liveConflicts<Out>(this.#liveDatabase()));
  }

  #liveDatabase(): LiveDatabase {
    // All databases of this name share them, whatever their schema.
    return liveDatabase({ ...this.#scope, rules: null }, this.#live);
  }
}
