import type { StandardSchemaV1 } from '@standard-schema/spec';
import { rulesOf } from './documents/document-rules.ts';
import type { DocumentSchema, SchemaOptions } from './documents/document-rules.ts';
import type { ServerUrl } from './http/url.ts';
import type { CoreDatabase } from './core-database.ts';
import { CoreCouch, connectionOf } from './core-couch.ts';
import type { OpenOptions, UseOptions } from './core-couch.ts';
import type { Observable } from 'rxjs';
import { ChangesOfFeed } from './changes/changes-of.ts';
import type { ChangesOfOptions, DatabaseSelection } from './changes/changes-of.ts';
import { DatabasesConsumer } from './changes/consume-of.ts';
import type { ConsumeOfOptions, DatabaseChangeHandler } from './changes/consume-of.ts';
import { DbUpdatesFeed } from './changes/db-updates.ts';
import type { DbUpdatesOptions } from './changes/db-updates.ts';
import { readDbUpdates } from './changes/db-updates.ts';
import type { DbUpdatesResult, ReadDbUpdatesOptions } from './changes/db-updates.ts';
import { Database } from './database.ts';
import { DEFAULT_URL } from './http/connection-options.ts';
import type { Connection } from './http/connection.ts';
import type { ConnectionOptions } from './http/connection-options.ts';
import type { Operation } from './http/operation.ts';
import { readLiveOptions } from './live/live-database.ts';
import type { LiveOptions } from './live/live-database.ts';
import type { AnyFields, JsonFields } from './model/document.ts';
import { Cluster } from './server/cluster.ts';
import { configuration } from './server/configuration.ts';
import type { ConfigOptions, ConfigSection, ConfigValue } from './server/configuration.ts';
import { CouchNode } from './server/couch-node.ts';
import type { DatabaseInfo } from './server/databases.ts';
import { databasesInfo, listDatabasesInfo } from './server/databases.ts';
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

/** The options of a `Couch`: its connection, and its live queries. */
export interface CouchOptions extends ConnectionOptions {
  /** How live queries of its databases follow changes. */
  readonly live?: LiveOptions | undefined;
}

/** The options of `couch.use()` that do not concern single requests. */
const OWN_OPTIONS = ['coalesce', 'schema', 'validate', 'onInvalid'];

/**
 * A CouchDB server: its databases, users, configuration, replications and cluster.
 *
 * The constructor sends nothing. Unless its documentation says otherwise, a method returns a cold
 * {@link Operation}: each subscription sends a request, emits once and completes. Unsubscribing
 * aborts the request. Operations error with a `CorduroyError`: an `HTTPError` such as
 * `Unauthorized`, or a `ConnectionError`, `TimeoutError` or `ProtocolError`.
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
   * @param url - The server's URL, which may have a path. Corduroy removes credentials from the URL
   * and uses them. With the URLs of several nodes of a cluster, requests are spread over the nodes
   * that answer.
   * @param options - Credentials, transport, timeouts and retries.
   * @throws TypeError for an invalid URL, for incomplete credentials, and for unknown `live` options.
   */
  constructor(url: ServerUrl | readonly ServerUrl[] = DEFAULT_URL, options: CouchOptions = {}) {
    super(url, options);
    if (options.live !== undefined) readLiveOptions(options.live);
    this.#live = options.live;
  }

  get #connection(): Connection {
    return connectionOf(this);
  }

  /**
   * Returns a database of this server. Sends nothing and does not check whether the database
   * exists.
   *
   * All databases of a `Couch` share one pool of sockets, and their feeds share connections.
   *
   * With a `schema`, documents are checked before they are written, and decoded when they are read: see
   * {@link SchemaOptions}. The types of the database are those of the schema. `revs`, `local`, `query`
   * with `fields` and the `merge` of a live edit have documents as they are stored.
   *
   * @param options - `coalesce` batches single reads and writes of this database. `timeout`, `retry`
   * and `priority` are those of its requests. Default: the options of the `Couch`.
   * @throws TypeError for an invalid database name or option.
   * @example
   * const Pet = z.object({ name: z.string(), born: z.coerce.date() });
   * const pets = couch.use('pets', { schema: Pet });
   * pets.get('ada').subscribe(({ born }) => console.log(born.getFullYear()));
   */
  override use<Schema extends DocumentSchema>(
    name: string,
    options: UseOptions & SchemaOptions<Schema>,
  ): Database<StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>>;
  override use<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: UseOptions,
  ): Database<T, Out>;
  // The compiler compares this one with the base class. `ReturnType` takes the last one.
  override use<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: UseOptions,
  ): CoreDatabase<T, Out>;
  override use<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: UseOptions,
  ): Database<T, Out>;
  override use<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options: UseOptions & Partial<SchemaOptions> = {},
  ): Database<T, Out> {
    const connection = this.#connection.with(options, 'use', OWN_OPTIONS);
    const { coalesce, schema, validate, onInvalid } = options;
    const rules = rulesOf({ schema, validate, onInvalid }, connection.codec);
    return new Database<T, Out>(name, connection, this.#live, coalesce, rules);
  }

  /**
   * Emits a database if it exists.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if it
   * does not exist. With `createIfMissing`, creates it instead; it is no error if another client
   * creates it at the same moment.
   *
   * @throws TypeError for an invalid database name.
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#get--db
   */
  override db<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: OpenOptions,
  ): Operation<Database<T, Out>>;
  // The compiler compares this one with the base class. `ReturnType` takes the last one.
  override db<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: OpenOptions,
  ): Operation<CoreDatabase<T, Out>>;
  override db<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: OpenOptions,
  ): Operation<Database<T, Out>>;
  override db<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options: OpenOptions = {},
  ): Operation<Database<T, Out>> {
    return super.db<T, Out>(name, options) as Operation<Database<T, Out>>;
  }

  /**
   * Creates a database. Emits it.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with
   * `PreconditionFailed` if a database of this name exists.
   *
   * @throws TypeError for an invalid database name.
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#put--db
   */
  override create<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: CreateOptions,
  ): Operation<Database<T, Out>>;
  // The compiler compares this one with the base class. `ReturnType` takes the last one.
  override create<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: CreateOptions,
  ): Operation<CoreDatabase<T, Out>>;
  override create<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options?: CreateOptions,
  ): Operation<Database<T, Out>>;
  override create<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options: CreateOptions = {},
  ): Operation<Database<T, Out>> {
    return super.create<T, Out>(name, options) as Operation<Database<T, Out>>;
  }

  /**
   * Emits UUIDs that the server generates.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. For more than 1000, it sends
   * several requests.
   *
   * @param count - The number of UUIDs. @defaultValue 1
   * @throws RangeError if `count` is not a whole number from 1.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#uuids
   */
  uuids(count = 1): Operation<string[]> {
    return uuids(this.#connection, count);
  }

  /**
   * Reads or writes the configuration of a node: all of it, a section, or a value.
   *
   * - `config()` emits all sections, `config('log')` a section, `config('log/level')` a value.
   * - `config('log/level', 'debug')` writes a value, and emits the previous one (`''` if there was
   *   none).
   * - `config('log', { level: 'debug' })` writes several values, one after the other, and emits the
   *   previous ones.
   * - `config('log/level', undefined, { delete: true })` deletes a value, and emits it.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Values are strings; Corduroy
   * converts numbers and booleans. Errors with `NotFound` for an unknown section or key, and with
   * `Unauthorized` for all but administrators.
   *
   * @param options - `node` is `'_local'` by default: the node that answers.
   * @throws TypeError for a name without a key if one is needed, and for a value of another type.
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
   * Replicates one database to another. The server copies the changes.
   *
   * Cold. Without `continuous` it emits and completes when everything is copied; no timeout
   * applies. Unsubscribing does not stop the replication: to stop it, call `replicate` with the
   * same arguments and `cancel: true`. Errors with `NotFound` or `ServerError` if a database is
   * missing, and with `Conflict` if `_id` names an existing replication.
   *
   * @param source - A full URL, the name of a database on this server, or a `Database`. Credentials
   * are sent to the server separately from the URL.
   * @param target - As `source`.
   * @throws TypeError for an invalid URL or name, and for an unknown option.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#replicate
   */
  replicate(
    source: ReplicationSide,
    target: ReplicationSide,
    options: ReplicateOptions = {},
  ): Operation<ReplicationResult> {
    return replicate(this.#connection, source, target, options);
  }

  /**
   * The `_replicator` database. Its documents describe replications.
   * @see https://docs.couchdb.org/en/stable/replication/replicator.html
   */
  get replicator(): Database {
    return (this.#replicator ??= this.use('_replicator'));
  }

  /** The users of the server: `get`, `save`, `delete`, `create`, `list`, and the database `db`. */
  get users(): Users<Database<UserFields>> {
    return (this.#users ??= new Users(this.#connection, this.use<UserFields>('_users')));
  }

  /**
   * Reads the statistics of the node that answers: all of them, a branch, or a leaf
   * `{ value, type, desc }`.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` for an
   * unknown name.
   *
   * @param name - A path, for example `'couchdb/httpd/requests'`. The prefix `couchdb/` is
   * optional, as it was in CouchDB 1.x.
   * @throws TypeError for an empty name.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-stats
   */
  stats(name?: string): Operation<Statistics> {
    return statistics(this.#connection, name);
  }

  /**
   * Lists the server's background tasks: compactions, indexing, replications.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `Unauthorized`
   * for all but administrators.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#active-tasks
   */
  tasks(): Operation<ActiveTask[]> {
    return activeTasks(this.#connection);
  }

  /**
   * Returns a feed of database events of the server: created, updated, deleted.
   *
   * Hot and shared; it reconnects as {@link Database.changes$} does. The last subscriber closes the
   * connection. Errors with `NotFound` if the server has no `_global_changes` database, and with
   * `Unauthorized` for all but administrators.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
   */
  dbUpdates$(options: DbUpdatesOptions = {}): DbUpdatesFeed {
    return new DbUpdatesFeed(this.#connection, options);
  }

  /**
   * Reads the database events of the server in one response: created, updated, deleted.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * server has no `_global_changes` database. For events as they happen, use
   * {@link Couch.dbUpdates$}.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
   */
  dbUpdates(options: ReadDbUpdatesOptions = {}): Operation<DbUpdatesResult> {
    return readDbUpdates(this.#connection, options);
  }

  /**
   * Returns a feed of the changes of many databases: of those that `databases` names, or whose names match
   * a pattern or a function. System databases must be named.
   *
   * - **Temperature:** cold. Each subscription reads the databases itself. All share one feed of the
   *   server's updates, which needs the database `_global_changes` and an administrator. With
   *   `updates: { poll: 5000 }` Corduroy lists the databases every 5,000 ms instead.
   * - **Emits** `{ database, seq, changes }`, in order within each database. A database that is created
   *   later joins from its beginning, one that is deleted leaves, and one that is deleted and created
   *   again starts over.
   * - **Completes** never.
   * - **Errors** with permanent errors, as a feed does. Those of one database go to `onError`. Transient
   *   errors are retried, and `state$` shows them.
   * - **On unsubscribe** all requests are cancelled at once.
   *
   * It sends one request for each update of a database, and at most `concurrency` (default 8) at a time.
   *
   * @throws TypeError or RangeError for an invalid name or option.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
   * @example
   * couch.changesOf$(/^user-/).subscribe(({ database, changes }) => index(database, changes));
   */
  changesOf$<T extends object = AnyFields>(
    databases: DatabaseSelection,
    options: ChangesOfOptions = {},
  ): ChangesOfFeed<T> {
    return new ChangesOfFeed<T>(this.#connection, databases, options);
  }

  /**
   * Calls a handler for each change of many databases, and stores a checkpoint in each. Use it in workers
   * that must not miss a change, even if the worker or the server restarts.
   *
   * - **Temperature:** cold. It pulls: a database is read again after its changes were handled.
   * - **Emits** `{ database, seq, handled, failed, pending }` after each write of a checkpoint, at most once in
   *   `checkpointInterval` for each database.
   * - **Completes** after `stop()`.
   * - **Errors** as `changesOf$` does. A handler that fails `attempts` times (default 5) is an error of its
   *   database, unless `deadLetter` takes the change.
   * - **On unsubscribe** it stops, and cancels the handler's Observables. The checkpoints stay before the
   *   changes that are not handled, so a new subscription continues there (at least once).
   *
   * @param databases - As for {@link changesOf$}.
   * @param handler - Receives one change and the name of its database. Corduroy waits for the Promise or
   * Observable that it returns. Changes of up to `concurrency` (default 8) databases are handled at the same
   * time, those of one database one after the other.
   * @throws TypeError or RangeError for an invalid name or option.
   * @see https://docs.couchdb.org/en/stable/api/database/changes.html
   */
  consumeOf<T extends object = AnyFields>(
    databases: DatabaseSelection,
    handler: DatabaseChangeHandler<T>,
    options: ConsumeOfOptions<T>,
  ): DatabasesConsumer<T> {
    return new DatabasesConsumer<T>(this.#connection, databases, handler, options);
  }

  /**
   * Reads the information of many databases.
   *
   * - `dbsInfo(options)` emits that of all databases, or of a range of names.
   * - `dbsInfo(names)` emits a list in the order of the names, with null for each missing database.
   *   For more than 100 names, it sends several requests.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `Unauthorized`
   * for all but administrators, as CouchDB 3 is configured by default.
   *
   * @throws TypeError for an invalid database name.
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

  /** The cluster of this server: its nodes, its setup, the splitting of its shards. */
  get cluster(): Cluster {
    return (this.#cluster ??= new Cluster(this.#connection));
  }

  /**
   * Returns a node of this server: its configuration, statistics, versions and system state.
   *
   * @param name - For example `'couchdb@127.0.0.1'`. @defaultValue '_local', the node that answers
   * @throws TypeError for an empty name.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name
   */
  node(name = '_local'): CouchNode {
    return new CouchNode(this.#connection, name);
  }

  /** The replication scheduler: its jobs, and the documents that describe them. */
  get scheduler(): Scheduler {
    return (this.#scheduler ??= new Scheduler(this.#connection));
  }

  /**
   * Emits the state of a replication that a document in `_replicator` describes, each time it
   * changes.
   *
   * - **Temperature:** cold. Each subscription polls the server: at once, and again `interval`
   *   milliseconds (default 1000) after each response.
   * - **Emits** the state and the counts, at first and after each change.
   * - **Completes** after `'completed'` or `'failed'`. A failed replication is a value with an
   *   `error`, not an error of the stream.
   * - **Errors** with `NotFound` if the document does not exist, with `deleted` set if it was
   *   deleted since. Transient errors are retried for as long as `errorTolerance` allows.
   * - **On unsubscribe** the polling stops. The replication continues.
   *
   * @param id - The `_id` that you passed to `replicate`.
   * @throws TypeError for an invalid id, and for a database that is not a replicator.
   * @see https://docs.couchdb.org/en/stable/replication/replicator.html#replication-states
   */
  replication$(id: string, options: ReplicationStatesOptions = {}): Observable<ReplicationStatus> {
    return replicationStates(this.#connection.with({ retry: false }), id, options);
  }

  /**
   * Restarts the query servers of the node that answers, for example after a configuration change.
   * Emits `true`.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request.
   *
   * @see https://docs.couchdb.org/en/stable/config/query-servers.html
   */
  reloadQueryServers(): Operation<true> {
    return reloadQueryServers(this.#connection);
  }
}

function isList(which: object): which is readonly string[] {
  return Array.isArray(which);
}
