import { readChanges } from './changes/one-shot.ts';
import type { ChangesOptions } from './changes/one-shot.ts';
import { ChangesFeed } from './changes/changes-feed.ts';
import type { ChangesFeedOptions } from './changes/changes-feed.ts';
import type { ConflictResolution } from './conflicts/resolution.ts';
import { saveMany, saveOne } from './conflicts/save.ts';
import { deleteDocument } from './documents/delete.ts';
import type { Deleted } from './documents/delete.ts';
import { getDocument, getDocuments, getFirstDocuments } from './documents/read.ts';
import type { GetManyOptions, GetOptions } from './documents/read.ts';
import type { WriteOptions } from './documents/write.ts';
import { Connection, DEFAULT_URL } from './http/connection.ts';
import type { ConnectionOptions } from './http/connection.ts';
import type { Operation } from './http/operation.ts';
import { databaseScope } from './http/scope.ts';
import type { DatabaseScope } from './http/scope.ts';
import { isUrl, parseDatabaseUrl } from './http/url.ts';
import type { ChangesResult } from './model/change.ts';
import type { AnyFields, Document, DocumentRef, Draft } from './model/document.ts';
import type { Row, RowWithDoc, View } from './model/view.ts';
import { queryView } from './queries/view.ts';
import type { ViewOptions } from './queries/view.ts';
import { databaseExists, databaseInfo } from './server/database-info.ts';
import type { DatabaseInfo } from './server/database-info.ts';

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
export class Database<T extends object = AnyFields> {
  readonly #scope: DatabaseScope;

  /**
   * @param nameOrUrl - A name, on the default server (http://127.0.0.1:5984); or a full URL, whose
   * last segment is the name, with `/` in it as `%2F`.
   * @param options - Who asks, and how. `couch.use(name)` shares those of a `Couch`.
   * @throws TypeError for what is neither a URL nor a name that CouchDB would take.
   */
  constructor(nameOrUrl: string, options: ConnectionOptions | Connection = {}) {
    const { server, name } = isUrl(nameOrUrl)
      ? parseDatabaseUrl(nameOrUrl)
      : { server: DEFAULT_URL, name: nameOrUrl };
    const connection = options instanceof Connection ? options : new Connection(server, options);
    this.#scope = databaseScope(connection, name);
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
   * Emits what the server knows of the database: how many documents, how large, how far.
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
   * One document that was changed meanwhile errors with `Conflict`. Of several, those that could
   * not be written are in `pending`, each with its reason.
   *
   * @throws TypeError for what is not an object, and for what JSON cannot hold, with its path.
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#put--db-docid
   */
  save(doc: Draft<T>, options?: WriteOptions): Operation<ConflictResolution<T>>;
  save(
    docs: readonly Draft<T>[],
    options?: Omit<WriteOptions, 'batch'>,
  ): Operation<ConflictResolution<T>>;
  save(
    docs: Draft<T> | readonly Draft<T>[],
    options: WriteOptions = {},
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
  delete(doc: DocumentRef): Operation<Deleted> {
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

  toString(): string {
    return `<Database: ${this.url}>`;
  }
}
