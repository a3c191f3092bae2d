import { requireOptions } from './model/invalid-argument.ts';
import { map, mergeMap, throwError } from 'rxjs';
import type { ServerUrl } from './http/url.ts';
import type { Observable } from 'rxjs';
import { CoreDatabase } from './core-database.ts';
import { isNotFound, isPreconditionFailed } from './errors/http-error.ts';
import { DEFAULT_URL } from './http/connection-options.ts';
import { Connection } from './http/connection.ts';
import type { RequestDefaults } from './http/prepare-request.ts';
import type { RequestEvent } from './http/events.ts';
import type { CoalesceOptions, ConnectionOptions } from './http/connection-options.ts';
import type { Answer } from './http/exchange.ts';
import { Operation } from './http/operation.ts';
import { request } from './http/request.ts';
import type { RequestOptions } from './http/request.ts';
import type { AnyFields, JsonFields } from './model/document.ts';
import { allDbs, createDatabase, deleteDatabase, version } from './server/databases.ts';
import type { AllDbsOptions, CreateOptions } from './server/databases.ts';
import { isUp, serverInfo } from './server/server-info.ts';
import type { ServerInfo } from './server/server-info.ts';
import { logIn, logOut, readSession, watchSession } from './server/session.ts';
import type { Session } from './server/session.ts';

/** The options of `couch.use(name)`: those of a database that differ from the server's. */
export interface UseOptions extends RequestDefaults {
  /** Combines single reads and single saves. @defaultValue that of the `Couch` */
  readonly coalesce?: boolean | CoalesceOptions | undefined;
}

/** The options of `couch.db(name)`. */
export interface OpenOptions extends CreateOptions {
  /** Creates the database if it does not exist. @defaultValue false */
  readonly createIfMissing?: boolean;
}

/**
 * Returns the connection of a server to the other modules of Corduroy. It is not a public member.
 * @internal
 */
export let connectionOf: (couch: CoreCouch) => Connection;

/**
 * A CouchDB server with the methods that most pages use: databases, sessions and requests.
 *
 * `corduroy/core` exports it as `Couch`. The `Couch` of `corduroy` extends it, and documents the
 * conventions of all methods.
 */
export class CoreCouch {
  readonly #connection: Connection;
  #session$: Observable<Session> | undefined;

  /**
   * @param url - The server's URL, which may have a path. Corduroy removes credentials from the URL
   * and uses them. With the URLs of several nodes of a cluster, requests are spread over the nodes
   * that answer.
   * @param options - Credentials, transport, timeouts and retries.
   * @throws TypeError for an invalid URL, and for incomplete credentials.
   */
  constructor(
    url: ServerUrl | readonly ServerUrl[] = DEFAULT_URL,
    options: ConnectionOptions = {},
  ) {
    this.#connection = Connection.open(url, options);
  }

  static {
    connectionOf = (couch) => couch.#connection;
  }

  /** The server's URL, without credentials. With several nodes, the URL of the first. */
  get url(): string {
    return this.#connection.url;
  }

  /**
   * Emits what happens to the requests of this server: starts, responses, retries, ends.
   *
   * - **Temperature:** hot. A subscription sends nothing.
   * - **Emits** a {@link RequestEvent} without secrets and documents.
   * - **Completes, errors** never.
   * - **On unsubscribe** nothing else changes. Without subscribers it costs nothing.
   *
   * Requests that began before the subscription are not reported.
   *
   * @example
   * couch.requests$.subscribe(logRequests());
   */
  get requests$(): Observable<RequestEvent> {
    return this.#connection.requests$;
  }

  /**
   * Returns a database of this server. Sends nothing and does not check whether the database
   * exists.
   *
   * All databases of a `Couch` share one pool of sockets, and their feeds share connections.
   *
   * @param options - `coalesce` batches single reads and writes of this database. `timeout`, `retry`
   * and `priority` are those of its requests. Default: the options of the `Couch`.
   * @throws TypeError for an invalid database name or option.
   */
  use<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options: UseOptions = {},
  ): CoreDatabase<T, Out> {
    const connection = this.#connection.with(options, 'use', ['coalesce']);
    return new CoreDatabase<T, Out>(name, connection, options.coalesce);
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
  db<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options: OpenOptions = {},
  ): Operation<CoreDatabase<T, Out>> {
    requireOptions(options, 'db');
    const { createIfMissing = false, ...layout } = options;
    const database = this.use<T, Out>(name);
    const emit = (
      code: number,
      headers: Answer<unknown>['headers'],
    ): Answer<CoreDatabase<T, Out>> => ({
      value: database,
      code,
      headers,
    });
    const create = createDatabase(this.#connection, name, layout).status();
    return new Operation(
      database
        .info()
        .status()
        .pipe(
          mergeMap((status) => {
            if (status.ok) return [emit(status.code, status.headers)];
            if (!createIfMissing || !isNotFound(status.exception)) {
              return throwError(() => status.exception);
            }
            return create.pipe(
              map((created) => {
                // A transient 412 does not mean that the database exists: a cluster node is down.
                if (
                  !created.ok &&
                  (created.exception.transient || !isPreconditionFailed(created.exception))
                )
                  throw created.exception;
                return emit(created.code, created.headers);
              }),
            );
          }),
        ),
    );
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
  create<T extends object = AnyFields, Out extends object = JsonFields<T>>(
    name: string,
    options: CreateOptions = {},
  ): Operation<CoreDatabase<T, Out>> {
    const database = this.use<T, Out>(name);
    return createDatabase(this.#connection, name, options).mapValue(() => database);
  }

  /**
   * Deletes a database with all its documents. Emits `true`.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `NotFound` if the
   * database does not exist.
   *
   * @throws TypeError for an invalid database name.
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#delete--db
   */
  delete(name: string): Operation<true> {
    return deleteDatabase(this.#connection, name);
  }

  /**
   * Lists the names of the databases, in order.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `Unauthorized`
   * for all but administrators, as CouchDB 3 is configured by default.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#all-dbs
   */
  allDbs(options: AllDbsOptions = {}): Operation<string[]> {
    return allDbs(this.#connection, options);
  }

  /**
   * Reads the server's version, for example `'3.5.0'`.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#get--
   */
  version(): Operation<string> {
    return version(this.#connection);
  }

  /**
   * Reads the current session: the user's name, the roles, and the authentication method.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Without credentials it emits
   * a session whose name is null (anonymous). Errors with `Unauthorized` for wrong credentials.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/authn.html#get--_session
   */
  session(): Operation<Session> {
    return readSession(this.#connection);
  }

  /**
   * The current session, and each new one: after a login or a logout, when credentials change, and
   * when a session expires and cannot be renewed (its name is then null).
   *
   * - **Temperature:** hot and shared. Emits the current session to late subscribers.
   * - **Completes** never.
   * - **Errors** with errors that are not transient. Transient errors are retried with backoff,
   *   and `Unauthorized` becomes an anonymous session.
   * - **On unsubscribe** the last subscriber aborts a request in progress.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/authn.html#get--_session
   */
  get session$(): Observable<Session> {
    return (this.#session$ ??= watchSession(this.#connection));
  }

  /**
   * Logs in. All later requests use this session, and feeds continue as the new user. Emits the
   * session.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Corduroy renews the session
   * before it expires; in browsers, the browser keeps the cookie. Errors with `Unauthorized` for a
   * wrong name or password, and with `Forbidden` if CouchDB has locked the account after several
   * attempts. After an error the previous session stays in use.
   *
   * @throws TypeError for an empty name or password.
   * @see https://docs.couchdb.org/en/stable/api/server/authn.html#post--_session
   */
  login(username: string, password: string): Operation<Session> {
    return logIn(this.#connection, username, password);
  }

  /**
   * Logs out. All later requests are anonymous. Emits when the server has deleted the cookie.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Feeds that the server then
   * refuses wait for the next login. Errors if the server is unreachable; Corduroy forgets the
   * session anyway, but a browser may still have its cookie.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/authn.html#delete--_session
   */
  logout(): Operation<{ readonly ok: true }> {
    return logOut(this.#connection);
  }

  /**
   * Reads the server's information: version, UUID, vendor, features.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#get--
   */
  info(): Operation<ServerInfo> {
    return serverInfo(this.#connection);
  }

  /**
   * Emits whether the server accepts requests. False in maintenance mode and while the node seeds.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Errors with `ConnectionError`
   * if the server is unreachable, and with `ServerError` or `NotFound` if a proxy answers instead.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#up
   */
  up(): Operation<boolean> {
    return isUp(this.#connection);
  }

  /**
   * Sends any request to this server, for endpoints without a method.
   *
   * Cold. Emits once and completes; unsubscribing aborts the request. Emits a JSON response
   * decoded, a text response as a string, any other as bytes, and an empty one as null. `status()`
   * emits the status code and headers too. Errors are typed, and contain no credentials.
   *
   * `reads` and `repeatable` decide after which failures Corduroy may send the request again. By
   * default GET and HEAD read, and no other request can be repeated.
   *
   * @throws TypeError for a path that is a URL or leads elsewhere, for a `route` with a query, for
   * credentials in `headers`, and for an unknown option.
   * @example
   * couch.request({ method: 'PUT', path: '/db/_revs_limit', json: 100 }).subscribe();
   */
  request<T = unknown>(options: RequestOptions): Operation<T> {
    return request<T>(this.#connection, options);
  }

  toString(): string {
    return `<Couch: ${this.url}>`;
  }
}
