import type { Observable } from 'rxjs';
import { CoreDatabase, scopeOf } from './core-database.ts';
import type { ChangesOptions } from './changes/one-shot.ts';
import { consume } from './changes/consume.ts';
import type { ChangeHandler, ConsumeProgress, ConsumeOptions } from './changes/consume.ts';
import { streamChanges } from './changes/one-shot.ts';
import type { ChangesSummary } from './changes/one-shot.ts';
import type { ConflictResolution, ResolveOptions } from './conflicts/resolution.ts';
import type { CoalesceOptions } from './http/coalescing.ts';
import { upsertMany, upsertOne } from './conflicts/upsert.ts';
import type { DocumentChange } from './conflicts/upsert.ts';
import { copyDocument, purge, revisions } from './documents/revisions.ts';
import type { CopyRef, PurgeResult, WriteResult } from './documents/revisions.ts';
import { Designs } from './groups/designs.ts';
import { Indexes } from './groups/indexes.ts';
import { LocalDocuments } from './groups/local.ts';
import { Partition } from './groups/partition.ts';
import { Revs } from './groups/revs.ts';
import { searchOf } from './groups/search.ts';
import type { Search } from './groups/search.ts';
import { callUpdate, designInfo, renderList, renderShow } from './queries/design-functions.ts';
import type {
  DesignInfo,
  FunctionParameters,
  RenderResult,
  UpdateResult,
} from './queries/design-functions.ts';
import { cleanup, commit, compact } from './server/maintenance.ts';
import type { CompactOptions } from './server/maintenance.ts';
import { Connection } from './http/connection.ts';
import type { ConnectionOptions } from './http/connection-options.ts';
import type { Operation } from './http/operation.ts';
import type { RowStream } from './http/row-stream.ts';
import type { DatabaseScope } from './http/scope.ts';
import type { Change } from './model/change.ts';
import type { AnyFields, Document, DocumentRef } from './model/document.ts';
import type { Row, RowWithDoc, View, ViewHead } from './model/view.ts';
import { liveAllDocs } from './live/live-rows.ts';
import type { LiveAllDocsOptions } from './live/live-rows.ts';
import { liveConflicts } from './live/live-conflicts.ts';
import type { DocumentConflict } from './live/live-conflicts.ts';
import { liveDatabase } from './live/live-database.ts';
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
import type { FieldPath } from './queries/field-path.ts';
import { temporaryView } from './queries/temporary-view.ts';
import type { ViewOptions } from './queries/view.ts';
import { queryViews } from './queries/view.ts';
import { Pages } from './queries/pages.ts';
import type { PagesOptions } from './queries/pages.ts';
import { streamView } from './queries/view.ts';
import { Upkeep } from './server/upkeep.ts';
import { replicate } from './server/replication.ts';
import type { ReplicateOptions, ReplicationResult, ReplicationSide } from './server/replication.ts';
import type { DatabaseInfo } from './server/database-info.ts';

/** How a `Database` reaches its server, and listens to it. */
export interface DatabaseOptions extends ConnectionOptions {
  /** How what is live on the database listens for changes. */
  readonly live?: LiveOptions | undefined;
}

/**
 * A database on a CouchDB server, whose documents have the fields of `T`.
 *
 * Making one sends nothing. Every method but `changes$` returns a cold `Operation`: it sends its
 * request at each subscription with the arguments as they are then, emits once, completes, errors
 * with a `CorduroyError`, and aborts the exchange on unsubscribe. What is known to be wrong at the
 * call (an empty id, a document with NaN in it, an unknown option) is thrown there, as a
 * `TypeError` or a `RangeError`.
 *
 * @example
 * const orders = new Database<Order>('orders');
 * orders.get('2024-17').subscribe((order) => console.log(order.total));
 */
export class Database<T extends object = AnyFields> extends CoreDatabase<T> {
  readonly #live: LiveOptions;
  #revs: Revs<T> | undefined;
  #local: LocalDocuments | undefined;
  #designs: Designs | undefined;
  #indexes: Indexes<T> | undefined;
  #search: Search<T> | undefined;
  #upkeep: Upkeep | undefined;

  /**
   * @param nameOrUrl - A name, on the default server (http://127.0.0.1:5984); or a full URL, whose
   * last segment is the name, with `/` in it as `%2F`.
   * @param options - Who asks, and how. `couch.use(name)` shares those of a `Couch`.
   * @throws TypeError for what is neither a URL nor a name that CouchDB would take.
   */
  constructor(nameOrUrl: string, options?: DatabaseOptions);
  /** @internal */
  constructor(
    nameOrUrl: string,
    connection: Connection,
    live: LiveOptions | undefined,
    coalesce?: boolean | CoalesceOptions,
  );
  constructor(
    nameOrUrl: string,
    options: DatabaseOptions | Connection = {},
    live: LiveOptions | undefined = options instanceof Connection ? undefined : options.live,
    coalesce?: boolean | CoalesceOptions,
  ) {
    super(nameOrUrl, options, coalesce);
    this.#live = live ?? {};
  }

  get #scope(): DatabaseScope {
    return scopeOf(this);
  }

  /**
   * Emits what the server knows of the database, or of a design document's index.
   *
   * Cold. Errors with `NotFound` where there is none.
   *
   * @param ddoc - The name of a design document, with or without `_design/`.
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#get--db
   */
  override info(): Operation<DatabaseInfo>;
  override info(ddoc: string): Operation<DesignInfo>;
  override info(...args: [] | [string]): Operation<DatabaseInfo> | Operation<DesignInfo> {
    const [ddoc] = args;
    return args.length === 0 ? super.info() : designInfo(this.#scope, ddoc as string);
  }

  /**
   * Reads a document, applies `change`, and saves it. Retries on conflict. Emits the saved document.
   *
   * Given a list of ids, it does so with one request to read and one to write in each round, and emits
   * the outcome of each document; those that `change` returned null for are in `pending`.
   *
   * Cold. Errors with a `Conflict` if the attempts run out (one id), and with what `change` throws.
   *
   * @param change - Receives the document, or null if there is none. Returns the document to save
   * (Corduroy sets `_id` and `_rev`), or null to leave it; or a Promise or Observable of either.
   * @param options - `attempts` (one id: 100 by default; a list: 5), and the backoff between them.
   */
  upsert(
    id: string,
    change: DocumentChange<T>,
    options?: ResolveOptions,
  ): Observable<Document<T> | null>;
  upsert(
    ids: readonly string[],
    change: DocumentChange<T>,
    options?: ResolveOptions,
  ): Observable<ConflictResolution<T>>;
  upsert(
    which: string | readonly string[],
    change: DocumentChange<T>,
    options: ResolveOptions = {},
  ): Observable<Document<T> | null> | Observable<ConflictResolution<T>> {
    return Array.isArray(which)
      ? upsertMany(this.#scope, which, change, options)
      : upsertOne(this.#scope, which as string, change, options);
  }

  /** Returns the local documents, which are not replicated: `get`, `save`, `delete`, `copy`, `list`. */
  get local(): LocalDocuments {
    return (this.#local ??= new LocalDocuments(this.#scope));
  }

  /**
   * Asks a view several questions in one request, and emits the answers in their order.
   *
   * Cold. Errors with `NotFound` where there is no such view.
   *
   * @param name - `'design-document/view'`, `'_all_docs'`, `'_design_docs'` or `'_local_docs'`.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html#sending-multiple-queries-to-a-view
   */
  viewQueries<Key = unknown, Value = unknown>(
    name: string,
    queries: readonly ViewOptions[],
  ): Operation<View<RowWithDoc<Key, Value, T>, ViewOptions>[]> {
    return queryViews(this.#scope, name, queries);
  }

  /** Returns the revision trees: `current`, `leaves`, `resolveLeaves`, `open`, `bulkGet`, `diff`, `missing`. */
  get revs(): Revs<T> {
    return (this.#revs ??= new Revs<T>(this.#scope));
  }

  /** Returns the design documents: `get`, `save`, `delete`, `copy`, `info`, `list`, `deploy`. */
  get designs(): Designs {
    return (this.#designs ??= new Designs(this.#scope));
  }

  /**
   * Returns a partition of a partitioned database: what is asked of it touches one shard alone.
   *
   * @param key - What the ids of its documents begin with, before the colon.
   * @throws TypeError for what cannot be one.
   * @see https://docs.couchdb.org/en/stable/partitioned-dbs/index.html
   */
  partition(key: string): Partition<T> {
    return new Partition<T>(this.#scope, key);
  }

  /**
   * Streams the rows of a view, one by one, as they arrive: for more rows than one would hold in
   * memory.
   *
   * Cold; see {@link RowStream} for when it completes and errors. Errors with `NotFound` where there
   * is no such view.
   *
   * @param name - `'design-document/view'`, or `'_all_docs'`.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
   * @example
   * db.viewRows('orders/byDay', { startKey: '2024' }).pipe(take(10)).subscribe((row) => …);
   */
  viewRows<Key = unknown, Value = unknown>(
    name: string,
    options: ViewOptions & { readonly includeDocs: true },
  ): RowStream<RowWithDoc<Key, Value, T>, ViewHead>;
  viewRows<Key = unknown, Value = unknown>(
    name: string,
    options?: ViewOptions,
  ): RowStream<Row<Key, Value>, ViewHead>;
  viewRows(name: string, options: ViewOptions = {}): RowStream<Row, ViewHead> {
    return streamView(this.#scope, name, options);
  }

  /**
   * Reads a view page by page, and asks for the next page only when the consumer is ready for it.
   *
   * Cold; see {@link Pages}, which `for await` reads as well.
   *
   * @param name - `'design-document/view'`, or `'_all_docs'`.
   * @throws TypeError for options that know of no next page: `keys`, `sorted: false`.
   */
  viewPages<Key = unknown, Value = unknown>(
    name: string,
    options: PagesOptions<RowWithDoc<Key, Value, T>> & { readonly includeDocs: true },
  ): Pages<RowWithDoc<Key, Value, T>>;
  viewPages<Key = unknown, Value = unknown>(
    name: string,
    options?: PagesOptions<Row<Key, Value>>,
  ): Pages<Row<Key, Value>>;
  viewPages(name: string, options: PagesOptions = {}): Pages<Row> {
    return new Pages(this.#scope, name, options);
  }

  /**
   * Queries a view that is given as source text, and is there only for this query: in a design
   * document of its own, which is removed on success, on error and on unsubscribe alike.
   *
   * Cold. The whole database is indexed for it, each time: it is for looking around. For queries
   * that are asked again save a design document and use {@link Database.view}; for simple ones
   * CouchDB has Mango, which needs no function.
   *
   * Errors with `Unauthorized` or `Forbidden` where one may not write design documents.
   *
   * @param map - As in `'function (doc) { emit(doc.name, null); }'`.
   * @param reduce - A function's text, or `'_sum'`, `'_count'`, `'_stats'`.
   * @see https://docs.couchdb.org/en/stable/ddocs/views/intro.html
   */
  query<Key = unknown, Value = unknown>(
    map: string,
    reduce: string | undefined,
    options: ViewOptions & { readonly includeDocs: true },
  ): Operation<View<RowWithDoc<Key, Value, T>, ViewOptions>>;
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
   * Streams the documents that a query finds, one by one, as they arrive: **up to 25, unless the query
   * has a `limit`**.
   *
   * Cold; see {@link RowStream}. Takes what {@link Database.find} takes; the `bookmark` and the rest
   * are in its `info` at the end.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html
   */
  findRows<const Field extends FieldPath<T> = never>(
    query: FindQuery<T, Field>,
  ): RowStream<FoundDocument<T, Field>, FindSummary> {
    return streamFound<T, Field>(this.#scope, query);
  }

  /** Full-text search, with Clouseau: `db.search(name, query)`; with Nouveau: `db.search.nouveau`. */
  get search(): Search<T> {
    return (this.#search ??= searchOf<T>(this.#scope));
  }

  /** Returns the Mango indexes: `list`, `create`, `delete`, `deleteMany`, `explain`. */
  get indexes(): Indexes<T> {
    return (this.#indexes ??= new Indexes<T>(this.#scope));
  }

  /**
   * Emits what a show function makes of a document, or of none.
   *
   * @param name - `'design-document/function'`.
   * @param parameters - The function's `req.query`.
   * @deprecated CouchDB 4 will have no show functions.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/render.html
   */
  show(name: string, id?: string, parameters: FunctionParameters = {}): Operation<RenderResult> {
    return renderShow(this.#scope, name, id, parameters);
  }

  /**
   * Emits what a list function makes of the rows of a view.
   *
   * @param name - `'design-document/function'`.
   * @param view - A view of the same design document, or `'other-design-document/view'`.
   * @param parameters - The function's `req.query`, beside the options of the view.
   * @deprecated CouchDB 4 will have no list functions.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/render.html
   */
  list(
    name: string,
    view: string,
    options: ViewOptions = {},
    parameters: FunctionParameters = {},
  ): Operation<RenderResult> {
    return renderList(this.#scope, name, view, options, parameters);
  }

  /**
   * Calls an update function, by POST without an id and by PUT with one; emits what it answers, with
   * the `id` and `rev` of what it wrote.
   *
   * @param name - `'design-document/function'`.
   * @param body - Text, which is the function's `req.body`; or an object, which is form-encoded and
   * its `req.form`.
   * @param parameters - The function's `req.query`.
   * @deprecated CouchDB 4 will have no update functions.
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
   * Copies a document on the server, attachments included; emits the id and revision of the copy.
   *
   * Cold. Errors with `Conflict` where there is a document already, unless its `_rev` is given, and
   * with `NotFound` where there is nothing to copy.
   *
   * @param source - An id, or a document, whose revision of `_rev` is copied.
   * @param dest - An id, or a document to be overwritten, with its `_rev`.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#copy--db-docid
   */
  copy(source: CopyRef, dest: CopyRef): Operation<WriteResult> {
    return copyDocument(this.#scope, source, dest);
  }

  /**
   * Emits the revisions of a document, the newest first. Bodies of old ones may be gone.
   *
   * Cold. Errors with `NotFound`.
   */
  revisions(id: string): Operation<string[]> {
    return revisions(this.#scope, id);
  }

  /**
   * Forgets revisions for good: other databases are not told, as they are of a deletion. Think twice.
   *
   * Cold. Only leaf revisions can be purged, and only administrators may.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-purge
   */
  purge(docs: readonly DocumentRef[]): Operation<PurgeResult> {
    return purge(this.#scope, docs);
  }

  /** Copies what changed in another database to this one; see {@link Couch.replicate}. */
  pull(source: ReplicationSide, options: ReplicateOptions = {}): Operation<ReplicationResult> {
    return replicate(this.#scope.connection, source, this, options);
  }

  /** Copies what changed in this database to another; see {@link Couch.replicate}. */
  push(target: ReplicationSide, options: ReplicateOptions = {}): Operation<ReplicationResult> {
    return replicate(this.#scope.connection, this, target, options);
  }

  /**
   * Has the server write the database's file, or the index of a design document, anew and smaller.
   *
   * Cold. Emits when that has begun; with `wait: true`, when it has ended. Unsubscribing does not
   * stop it.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/compact.html
   */
  compact(ddoc?: string, options: CompactOptions = {}): Operation<{ readonly ok: true }> {
    return compact(this.#scope, ddoc, options);
  }

  /**
   * Removes the index files of views that are no more.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/compact.html#db-view-cleanup
   */
  cleanup(): Operation<{ readonly ok: true }> {
    return cleanup(this.#scope);
  }

  /** Returns the calls of an administrator: rights, limits, purges, shards. */
  get upkeep(): Upkeep {
    return (this.#upkeep ??= new Upkeep(this.#scope));
  }

  /**
   * Has everything written to disk, which CouchDB does by itself since 3.0.
   *
   * @deprecated it has no effect any more
   * @see https://docs.couchdb.org/en/stable/api/database/compact.html#db-ensure-full-commit
   */
  commit(): Operation<{ readonly ok: true }> {
    return commit(this.#scope);
  }

  /**
   * Streams the changes that there are after `since`, one by one, as they arrive, and completes.
   *
   * Cold; see {@link RowStream}. Its `info` says at the end where to go on.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html
   */
  changeRows(options: ChangesOptions = {}): RowStream<Change<T>, ChangesSummary> {
    return streamChanges<T>(this.#scope, options);
  }

  /**
   * Hands every change to a handler, and notes in a checkpoint how far it has come: for workers that
   * must not miss one, through restarts of theirs and of the server's.
   *
   * - **Temperature:** cold. It pulls: a slow handler slows the reading, and nothing piles up.
   * - **Emits** `{ seq, handled }` whenever a batch has been handled and noted.
   * - **Completes** never.
   * - **Errors** with what a handler throws `attempts` times, unless `onPoison` takes the change;
   *   with what cannot pass by itself, as a feed does.
   * - **On unsubscribe** what is being handled is left, and the checkpoint stays before it: after a
   *   restart it is handed over again (at least once).
   *
   * @param handler - Given one change at a time, or up to `concurrency`; what it returns (a Promise,
   * an Observable) is waited for.
   */
  consume(handler: ChangeHandler<T>, options: ConsumeOptions<T>): Observable<ConsumeProgress> {
    return consume(this.#scope, handler, options);
  }

  /**
   * Returns a document as it changes: null while it is missing or deleted.
   *
   * A live query: see {@link LiveQuery} for what all of them promise. Documents that are subscribed
   * to in the same turn are read by one request.
   *
   * @example
   * orders.doc$('2024-17').subscribe((order) => console.log(order?.total));
   * @throws TypeError for an id that is none.
   */
  doc$(id: string): LiveQuery<Document<T> | null> {
    return liveDocument<T>(this.#liveDatabase(), id);
  }

  /**
   * Returns several documents as they change, in the order of their ids, with null for each that is
   * missing or deleted. A live query, as {@link Database.doc$}.
   */
  docs$(ids: readonly string[]): LiveQuery<readonly (Document<T> | null)[]> {
    return liveDocuments<T>(this.#liveDatabase(), ids);
  }

  /**
   * Returns the documents of the database, or of a range of ids, as they change: the rows of
   * `_all_docs`. A live query; the server is asked again only where a `limit` or a `skip` has other
   * rows move up or down.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-all-docs
   */
  allDocs$(
    options: LiveAllDocsOptions & { readonly includeDocs: true },
  ): LiveQuery<readonly RowWithDoc<string, { readonly rev: string }, T>[]>;
  allDocs$(
    options?: LiveAllDocsOptions,
  ): LiveQuery<readonly Row<string, { readonly rev: string }>[]>;
  allDocs$(options: LiveAllDocsOptions = {}): LiveQuery<readonly Row<string, never, never>[]> {
    return liveAllDocs(this.#liveDatabase(), options) as LiveQuery<
      readonly Row<string, never, never>[]
    >;
  }

  /**
   * Returns the documents that a Mango query finds, as they change: all of them, unless there is a
   * `limit`. A live query.
   *
   * Whether a changed document is among them, and where, is decided here, and the server is asked
   * again only where it cannot be: for `$text`, most `$regex`, operators that came later, the order of
   * strings beyond ASCII, where a `limit` or a `skip` has others move up, and with `useIndex`.
   *
   * @example
   * orders.find$({ selector: { open: true }, sort: ['date'] }).subscribe(show);
   * @throws TypeError or RangeError for what is wrong with the query.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html
   */
  find$(query: LiveFindQuery<T>): LiveQuery<readonly Document<T>[]> {
    return liveFind<T>(this.#liveDatabase(), query);
  }

  /**
   * Returns the rows of a view as they change. A live query; what a document emits is known to the
   * server alone, which is asked again when a document changed, at most once every `latency`
   * milliseconds (1000, unless it is given here or to the `Couch`).
   *
   * @param name - `'design-document/view'`.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/views.html
   */
  view$<Key = unknown, Value = unknown>(
    name: string,
    options: LiveViewOptions & { readonly includeDocs: true },
  ): LiveQuery<readonly RowWithDoc<Key, Value, T>[]>;
  view$<Key = unknown, Value = unknown>(
    name: string,
    options?: LiveViewOptions,
  ): LiveQuery<readonly Row<Key, Value>[]>;
  view$(name: string, options: LiveViewOptions = {}): LiveQuery<readonly Row[]> {
    return liveView(this.#liveDatabase(), name, options);
  }

  /**
   * Returns a document as it changes, to be edited: edits show at once, are saved when nothing has been
   * edited for a while, are merged with what others write, and rolled back if they are refused.
   *
   * Each call makes an editor of its own; see {@link LiveEdit}.
   *
   * @example
   * const order = orders.edit$('2024-17');
   * order.subscribe(({ value, pending }) => show(value, pending ? 'unsaved' : 'saved'));
   * order.patch({ total: 12 });
   */
  edit$(id: string, options: EditOptions<T> = {}): LiveEdit<T> {
    return new LiveEdit<T>(this.#liveDatabase(), id, options);
  }

  /**
   * Returns the list of documents that replication brought several live revisions of, by id, as it
   * changes. A live query, as {@link Database.doc$}. To begin with the whole history is looked
   * through, without documents, a thousand changes a request.
   *
   * @example
   * db.conflicts$().pipe(resolveAllLeaves(db, fields())).subscribe();
   * @see https://docs.couchdb.org/en/stable/replication/conflicts.html
   */
  conflicts$(): LiveQuery<readonly DocumentConflict<T>[]> {
    return liveConflicts<T>(this.#liveDatabase());
  }

  #liveDatabase(): LiveDatabase {
    return liveDatabase(this.#scope, this.#live);
  }
}
