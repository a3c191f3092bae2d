import { CoreCouch, connectionOf } from './core-couch.ts';
import type { OpenOptions } from './core-couch.ts';
import type { Observable } from 'rxjs';
import { DbUpdatesFeed } from './changes/db-updates.ts';
import type { DbUpdatesOptions } from './changes/db-updates.ts';
import { readDbUpdates } from './changes/db-updates.ts';
import type { DbUpdatesResult, ReadDbUpdatesOptions } from './changes/db-updates.ts';
import { Database } from './database.ts';
import { DEFAULT_URL } from './http/connection-options.ts';
import type { Connection } from './http/connection.ts';
import type { ConnectionOptions } from './http/connection-options.ts';
import type { Operation } from './http/operation.ts';
import type { LiveOptions } from './live/live-database.ts';
import type { AnyFields } from './model/document.ts';
import { Cluster } from './server/cluster.ts';
import { configuration } from './server/configuration.ts';
import type { ConfigOptions, ConfigSection, ConfigValue } from './server/configuration.ts';
import { CouchNode } from './server/couch-node.ts';
import type { DatabaseInfo } from './server/database-info.ts';
import { databasesInfo, listDatabasesInfo } from './server/database-info.ts';
import type { AllDbsOptions, CreateOptions } from './server/databases.ts';
import { replicate } from './server/replication.ts';
import type { ReplicateOptions, ReplicationResult, ReplicationSide } from './server/replication.ts';
import { replicationStates } from './server/replication-states.ts';
import type { ReplicationStatesOptions } from './server/replication-states.ts';
import type { ReplicationStatus } from './server/replication-states.ts';
import { Scheduler } from './server/scheduler.ts';
import { reloadQueryServers } from './server/server-info.ts';
import { activeTasks, statistics } from './server/server-info.ts';
import type { ActiveTask, Statistics } from './server/server-info.ts';
import { uuids } from './http/uuids.ts';
import { Users } from './groups/users.ts';
import type { UserFields } from './server/users.ts';

/** How a `Couch` reaches its server, and listens to its databases. */
export interface CouchOptions extends ConnectionOptions {
  /** How what is live on its databases listens for changes. */
  readonly live?: LiveOptions | undefined;
}

/**
 * A CouchDB server: its databases, and what concerns it as a whole.
 *
 * Making one sends nothing. Every method returns a cold `Operation`: it sends its request at each
 * subscription, emits once, completes, errors with a `CorduroyError`, and aborts the exchange on
 * unsubscribe.
 *
 * @example
 * const couch = new Couch('http://127.0.0.1:5984', { auth: ['admin', 'password'] });
 * couch.version().subscribe((version) => console.log(version));
 */
export class Couch extends CoreCouch {
  readonly #live: LiveOptions | undefined;
  #replicator: Database | undefined;
  #users: Users<Database<UserFields>> | undefined;
  #cluster: Cluster | undefined;
  #scheduler: Scheduler | undefined;

  /**
   * @param url - The server's URL; a path stays, and credentials in it are taken out and used. Or
   * those of several nodes of a cluster: requests are spread over those that answer.
   * @param options - Who asks, and how.
   * @throws TypeError for what is not a URL, and for incomplete credentials.
   */
  constructor(url: string | readonly string[] = DEFAULT_URL, options: CouchOptions = {}) {
    super(url, options);
    this.#live = options.live;
  }

  get #connection(): Connection {
    return connectionOf(this);
  }

  /**
   * Returns a database of this server, without asking whether it exists. All databases made here
   * share one pool of sockets, and their feeds share connections.
   *
   * @param options - `coalesce`: whether single reads and writes of this database go together; that
   * of the `Couch`, by default.
   * @throws TypeError for a name that CouchDB would refuse.
   */
  override use<T extends object = AnyFields>(
    name: string,
    options: Pick<CouchOptions, 'coalesce'> = {},
  ): Database<T> {
    return new Database<T>(name, this.#connection, this.#live, options.coalesce);
  }

  /**
   * Emits a database after having asked whether it is there.
   *
   * Cold. Errors with `NotFound` where it is not, unless `createIfMissing` is set; should somebody
   * else create it at the same moment, that is a success.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#get--db
   */
  override db<T extends object = AnyFields>(
    name: string,
    options: OpenOptions = {},
  ): Operation<Database<T>> {
    return super.db<T>(name, options) as Operation<Database<T>>;
  }

  /**
   * Creates a database, and emits it.
   *
   * Cold. Errors with `PreconditionFailed` where there is one of this name already.
   *
   * @throws TypeError for a name that CouchDB would refuse.
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#put--db
   */
  override create<T extends object = AnyFields>(
    name: string,
    options: CreateOptions = {},
  ): Operation<Database<T>> {
    return super.create<T>(name, options) as Operation<Database<T>>;
  }

  /**
   * Emits ids made by the server. Any number: more than it makes at once (1,000) are asked for in
   * several requests.
   *
   * @param count - How many.
   * @throws RangeError for what is not a whole number from 1.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#uuids
   */
  uuids(count = 1): Operation<string[]> {
    return uuids(this.#connection, count);
  }

  /**
   * Reads or writes the configuration of a node: everything, a section, or one value.
   *
   * - `config()` emits everything, `config('log')` a section, `config('log/level')` a value.
   * - `config('log/level', 'debug')` writes a value, falsy ones as well, and emits the one before
   *   (`''` where there was none); `config('log', { level: 'debug' })` writes several.
   * - `config('log/level', undefined, { delete: true })` removes a value, and emits it.
   *
   * Cold. Values are strings; numbers and booleans are written as such. Errors with `NotFound` for
   * what is not there, `Unauthorized` for all but administrators.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/configuration.html
   */
  config(): Operation<Readonly<Record<string, ConfigSection>>>;
  config(
    name: `${string}/${string}`,
    value?: ConfigValue,
    options?: ConfigOptions,
  ): Operation<string>;
  config(section: string, value?: undefined, options?: ConfigOptions): Operation<ConfigSection>;
  config(
    section: string,
    values: Readonly<Record<string, ConfigValue>>,
    options?: ConfigOptions,
  ): Operation<ConfigSection>;
  config(
    name?: string,
    value?: ConfigValue | Readonly<Record<string, ConfigValue>>,
    options: ConfigOptions = {},
  ): Operation<never> {
    return configuration(this.#connection, name, value, options) as Operation<never>;
  }

  /**
   * Copies what changed from one database to another, on the server's side.
   *
   * Cold. Each end is a full URL, the name of a database of this server, or a `Database`; the
   * credentials of names and Databases are sent apart from their URLs. Without `continuous` it emits
   * when everything has been copied, however long that takes. Unsubscribing lets the server go on:
   * to end a replication, replicate with the same arguments and `cancel: true`.
   *
   * Errors with `NotFound` or `ServerError` where an end is missing, `Conflict` where `_id` names a
   * replication that is there.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#replicate
   */
  replicate(
    source: ReplicationSide,
    target: ReplicationSide,
    options: ReplicateOptions = {},
  ): Operation<ReplicationResult> {
    return replicate(this.#connection, source, target, options);
  }

  /** Returns the `_replicator` database, whose documents are replications. */
  get replicator(): Database {
    return (this.#replicator ??= this.use('_replicator'));
  }

  /** Returns the users of the server: `get`, `save`, `delete`, `create`, `list`, and their database `db`. */
  get users(): Users<Database<UserFields>> {
    return (this.#users ??= new Users(this.#connection, this.use<UserFields>('_users')));
  }

  /**
   * Emits the statistics of the node that answers, or a part: a branch or a leaf
   * `{ value, type, desc }`.
   *
   * Cold. Errors with `NotFound` for a name that is not there.
   *
   * @param name - A path, as in `'couchdb/httpd/requests'`; `couchdb/` may be left out, as it was in
   * CouchDB 1.x.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-stats
   */
  stats(name?: string): Operation<Statistics> {
    return statistics(this.#connection, name);
  }

  /**
   * Emits what the server is doing in the background: compactions, indexing, replications.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#active-tasks
   */
  tasks(): Operation<ActiveTask[]> {
    return activeTasks(this.#connection);
  }

  /**
   * Returns the feed of what happens to the databases of the server: created, updated, deleted.
   *
   * Hot and shared; it is kept alive as that of {@link Database.changes$}. Errors with `NotFound`
   * where the server has no `_global_changes` database, `Unauthorized` for all but administrators.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
   */
  dbUpdates$(options: DbUpdatesOptions = {}): DbUpdatesFeed {
    return new DbUpdatesFeed(this.#connection, options);
  }

  /**
   * Emits what happened to the databases of the server, once: created, updated, deleted.
   *
   * Cold. Errors with `NotFound` where the server has no `_global_changes` database. The live feed is
   * {@link Couch.dbUpdates$}.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
   */
  dbUpdates(options: ReadDbUpdatesOptions = {}): Operation<DbUpdatesResult> {
    return readDbUpdates(this.#connection, options);
  }

  /**
   * Emits what the server knows of its databases: of those in a range of names; or, for a list of
   * names, in the same order, with null for each that is not there. Any number: more than it tells
   * of at once (100) are asked for in several requests.
   *
   * Cold. CouchDB 3 tells only administrators; others get `Unauthorized`.
   *
   * @throws TypeError for a name that CouchDB would refuse.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#dbs-info
   */
  dbsInfo(options?: AllDbsOptions): Operation<DatabaseInfo[]>;
  dbsInfo(names: readonly string[]): Operation<(DatabaseInfo | null)[]>;
  dbsInfo(
    which: AllDbsOptions | readonly string[] = {},
  ): Operation<DatabaseInfo[]> | Operation<(DatabaseInfo | null)[]> {
    return isList(which)
      ? databasesInfo(this.#connection, which)
      : listDatabasesInfo(this.#connection, which);
  }

  /** Returns the cluster of this server: its nodes, its setup, the splitting of its shards. */
  get cluster(): Cluster {
    return (this.#cluster ??= new Cluster(this.#connection));
  }

  /**
   * Returns a node of this server: its configuration, statistics, versions and what else is its own.
   *
   * @param name - As in `'couchdb@127.0.0.1'`; by default the one that answers.
   */
  node(name = '_local'): CouchNode {
    return new CouchNode(this.#connection, name);
  }

  /** Returns the replication scheduler of this server: its jobs, and the documents they come from. */
  get scheduler(): Scheduler {
    return (this.#scheduler ??= new Scheduler(this.#connection));
  }

  /**
   * Returns the states of a replication that a document in `_replicator` describes.
   *
   * - **Temperature:** cold. Each subscription asks by itself: at once, and again `interval` after
   *   each answer.
   * - **Emits** the state and the counts, now and whenever they are others.
   * - **Completes** after `'completed'` or `'failed'`. That a replication failed is a value, with the
   *   `error` in it: the watching did not fail.
   * - **Errors** with `NotFound` where there is no such document, `deleted` where it is gone since;
   *   failures of the network and the server are put up with, for as long as `errorTolerance` says.
   * - **On unsubscribe** the asking ends. The replication goes on.
   *
   * @param id - The `_id` that `replicate` was given.
   * @throws TypeError for an id that is none, and for a database that is no replicator.
   * @see https://docs.couchdb.org/en/stable/replication/replicator.html#replication-states
   */
  replication$(id: string, options: ReplicationStatesOptions = {}): Observable<ReplicationStatus> {
    return replicationStates(this.#connection, id, options);
  }

  /**
   * Has the node that answers start its query servers anew, as after a change of their
   * configuration; emits `true`.
   */
  reloadQueryServers(): Operation<true> {
    return reloadQueryServers(this.#connection);
  }
}

function isList(which: object): which is readonly string[] {
  return Array.isArray(which);
}
