import { map, mergeMap, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { CoreDatabase } from './core-database.ts';
import { isNotFound, isPreconditionFailed } from './errors/http-error.ts';
import { DEFAULT_URL } from './http/connection-options.ts';
import { Connection } from './http/connection.ts';
import type { ConnectionOptions } from './http/connection-options.ts';
import type { Answer } from './http/exchange.ts';
import { Operation } from './http/operation.ts';
import { request } from './http/request.ts';
import type { RequestOptions } from './http/request.ts';
import type { AnyFields } from './model/document.ts';
import { allDbs, createDatabase, deleteDatabase, version } from './server/databases.ts';
import type { AllDbsOptions, CreateOptions } from './server/databases.ts';
import { isUp, serverInfo } from './server/server-info.ts';
import type { ServerInfo } from './server/server-info.ts';
import { logIn, logOut, readSession, watchSession } from './server/session.ts';
import type { Session } from './server/session.ts';

/** How `couch.db(name)` opens a database. */
export interface OpenOptions extends CreateOptions {
  /** Whether a database that is not there is created. @defaultValue false */
  readonly createIfMissing?: boolean;
}

/**
 * Hands the connection of a server to what is built on it, and to nobody else.
 * @internal
 */
export let connectionOf: (couch: CoreCouch) => Connection;

/**
 * A CouchDB server as most pages use it: its databases, and who asks.
 *
 * It is the `Couch` of `corduroy/core`, and what the `Couch` of `corduroy` is built on, which tells
 * what holds for every method.
 */
export class CoreCouch {
  readonly #connection: Connection;
  #session$: Observable<Session> | undefined;

  /**
   * @param url - The server's URL; a path stays, and credentials in it are taken out and used. Or
   * those of several nodes of a cluster: requests are spread over those that answer.
   * @param options - Who asks, and how.
   * @throws TypeError for what is not a URL, and for incomplete credentials.
   */
  constructor(url: string | readonly string[] = DEFAULT_URL, options: ConnectionOptions = {}) {
    this.#connection = new Connection(url, options);
  }

  static {
    connectionOf = (couch) => couch.#connection;
  }

  /** The server's URL, without credentials; of several nodes that of the first. */
  get url(): string {
    return this.#connection.url;
  }

  /**
   * Returns a database of this server, without asking whether it exists. All databases made here
   * share one pool of sockets, and their feeds share connections.
   *
   * @param options - `coalesce`: whether single reads and writes of this database go together; that
   * of the `Couch`, by default.
   * @throws TypeError for a name that CouchDB would refuse.
   */
  use<T extends object = AnyFields>(
    name: string,
    options: Pick<ConnectionOptions, 'coalesce'> = {},
  ): CoreDatabase<T> {
    return new CoreDatabase<T>(name, this.#connection, options.coalesce);
  }

  /**
   * Emits a database after having asked whether it is there.
   *
   * Cold. Errors with `NotFound` where it is not, unless `createIfMissing` is set; should somebody
   * else create it at the same moment, that is a success.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#get--db
   */
  db<T extends object = AnyFields>(
    name: string,
    options: OpenOptions = {},
  ): Operation<CoreDatabase<T>> {
    const { createIfMissing = false, ...layout } = options;
    const database = this.use<T>(name);
    const emit = (code: number, headers: Answer<unknown>['headers']): Answer<CoreDatabase<T>> => ({
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
                // A 412 that passes by itself is of a cluster that has lost a node.
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
   * Creates a database, and emits it.
   *
   * Cold. Errors with `PreconditionFailed` where there is one of this name already.
   *
   * @throws TypeError for a name that CouchDB would refuse.
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#put--db
   */
  create<T extends object = AnyFields>(
    name: string,
    options: CreateOptions = {},
  ): Operation<CoreDatabase<T>> {
    const database = this.use<T>(name);
    return createDatabase(this.#connection, name, options).mapValue(() => database);
  }

  /**
   * Deletes a database with all that is in it; emits `true`.
   *
   * Cold. Errors with `NotFound` where there is none.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#delete--db
   */
  delete(name: string): Operation<true> {
    return deleteDatabase(this.#connection, name);
  }

  /**
   * Emits the names of the databases, in order. CouchDB 3 tells only administrators.
   *
   * Cold. Errors with `Unauthorized` for everybody else.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#all-dbs
   */
  allDbs(options: AllDbsOptions = {}): Operation<string[]> {
    return allDbs(this.#connection, options);
  }

  /**
   * Emits the server's version, as in `'3.5.0'`.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#get--
   */
  version(): Operation<string> {
    return version(this.#connection);
  }

  /**
   * Emits for whom the server takes us: name, roles, and how that was shown.
   *
   * Cold. Errors with `Unauthorized` where the credentials are wrong; without any it emits a session
   * whose name is null.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/authn.html#get--_session
   */
  session(): Operation<Session> {
    return readSession(this.#connection);
  }

  /**
   * The session of now, and then each other one: after a login or a logout, with new credentials,
   * and when it has been refused and could not be renewed (a session without a name).
   *
   * Hot and shared. Emits the present session at once to whoever comes later; never completes. Waits
   * out what may pass by itself, and errors with anything else but `Unauthorized`.
   */
  get session$(): Observable<Session> {
    return (this.#session$ ??= watchSession(this.#connection));
  }

  /**
   * Logs in, and asks everything in this session from then on, whoever it was before; emits the
   * session. Feeds go on as the new user from where they were.
   *
   * Cold. Errors with `Unauthorized` for a wrong name or password, and with `Forbidden` where CouchDB
   * has locked the account out after several; everything stays as it was then. The session is renewed
   * as one that `auth` asks for; in browsers its cookie is the browser's own.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/authn.html#post--_session
   */
  login(username: string, password: string): Operation<Session> {
    return logIn(this.#connection, username, password);
  }

  /**
   * Logs out, and asks everything as nobody in particular from then on; emits when the server has
   * taken the cookie away. Feeds that are then refused wait for the next login.
   *
   * Cold. Errors where the server was not reached; what is known here is forgotten all the same, but
   * a browser may still have its cookie.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/authn.html#delete--_session
   */
  logout(): Operation<{ readonly ok: true }> {
    return logOut(this.#connection);
  }

  /**
   * Emits what the server says of itself: its version, its id, what it can do.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#get--
   */
  info(): Operation<ServerInfo> {
    return serverInfo(this.#connection);
  }

  /**
   * Emits whether the server wants requests: false in maintenance mode and while it seeds, which it
   * tells with a 404.
   *
   * Cold. Errors where it does not say: with `ConnectionError` where there is nobody, with
   * `ServerError` or `NotFound` where something else answers for it.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#up
   */
  up(): Operation<boolean> {
    return isUp(this.#connection);
  }

  /**
   * Sends any request to this server: for what no method is there for.
   *
   * Cold, and in all else as every operation: unsubscribing aborts it, failures are typed, and no
   * error shows a credential. Emits the decoded value where the answer is JSON, text where it is
   * text, bytes otherwise, and null where it is empty; `status()` tells its code and headers.
   *
   * @throws TypeError for a path that is a URL or would lead elsewhere, for credentials among the
   * headers, and for an option that is none.
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
