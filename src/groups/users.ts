import type { Connection } from '../http/connection.ts';
import type { Operation } from '../http/operation.ts';
import {
  changePassword,
  createUser,
  deleteUser,
  listUsers,
  readUser,
  saveUser,
  setRoles,
} from '../server/users.ts';
import type { CreateUserOptions, User, UserFields } from '../server/users.ts';

/**
 * The users of a server: `couch.users`. The methods identify a user by name.
 *
 * Every method returns a cold `Operation`. `changePassword`, `setRoles` and `delete` read the user first,
 * and retry if another client has written it meanwhile. Server administrators are not among the users:
 * the configuration holds them.
 *
 * @see https://docs.couchdb.org/en/stable/intro/security.html#authentication-database
 */
export class Users<Db = unknown> {
  /** The `_users` database, for requests without a method here. */
  readonly db: Db;
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection, db: Db) {
    this.#connection = connection;
    this.db = db;
  }

  /**
   * Lists the users that the current user may see.
   *
   * Cold. Errors with `Unauthorized` or `Forbidden` for all but administrators.
   */
  list(): Operation<User[]> {
    return listUsers(this.#connection);
  }

  /**
   * Reads a user by name.
   *
   * Cold. Errors with `NotFound` if there is no such user, and for all but the user and administrators.
   */
  get(name: string): Operation<User> {
    return readUser(this.#connection, name);
  }

  /**
   * Saves a user that {@link Users.get} emitted, with changed fields. Emits the user as the server
   * stored it.
   *
   * Cold. Errors with `Conflict` if it was changed meanwhile.
   *
   * @throws TypeError for a document without a `name` or a list of `roles`.
   */
  save(user: UserFields & { readonly _rev?: string }): Operation<User> {
    return saveUser(this.#connection, user);
  }

  /**
   * Creates a user who can log in with this password. Emits the user as the server stored it, with the
   * hash of the password. If this connection may not read the user, `_rev` is `''`: read the user with
   * other credentials before you save it.
   *
   * Cold. Errors with `Conflict` if the name is taken, and with `BadRequest` or `Forbidden` if the
   * server refuses the password.
   */
  create(name: string, password: string, options: CreateUserOptions = {}): Operation<User> {
    return createUser(this.#connection, name, password, options);
  }

  /**
   * Changes a user's password. Emits the user as the server stored it, with the hash of the password.
   *
   * Cold. Sessions of the user end. If it is the password of this connection, and no function or
   * Observable supplied it, the connection uses the new one from then on.
   */
  changePassword(name: string, password: string): Operation<User> {
    return changePassword(this.#connection, name, password);
  }

  /**
   * Replaces a user's roles. Emits the user as the server stored it. A session has the new roles when it is renewed.
   *
   * Cold. Errors with `Forbidden` for all but administrators.
   */
  setRoles(name: string, roles: readonly string[]): Operation<User> {
    return setRoles(this.#connection, name, roles);
  }

  /**
   * Deletes a user. Emits `true`.
   *
   * Cold. Errors with `NotFound` if there is no such user.
   */
  delete(name: string): Operation<true> {
    return deleteUser(this.#connection, name);
  }

  toString(): string {
    return `<Users: ${this.#connection.url}/_users>`;
  }
}
