import { Database } from './database.ts';
import type { Connection } from './http/connection.ts';
import type { Operation } from './http/operation.ts';
import {
  allUsers,
  changePassword,
  createUser,
  readUser,
  removeUser,
  setRoles,
} from './server/users.ts';
import type { CreateUserOptions, User, UserFields } from './server/users.ts';

/**
 * The users of a server: the database of their documents, and what is done with them by name.
 *
 * Every method returns a cold `Operation`. What changes a user reads their document first, and does
 * so again where somebody else has written it meanwhile. Server administrators are none of these:
 * they stand in the configuration.
 *
 * @see https://docs.couchdb.org/en/stable/intro/security.html#authentication-database
 */
export class Users extends Database<UserFields> {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    super('_users', connection);
    this.#connection = connection;
  }

  /**
   * Emits all users whom we may see.
   *
   * Cold. Errors with `Unauthorized` or `Forbidden` for all but administrators.
   */
  all(): Operation<User[]> {
    return allUsers(this.#connection);
  }

  /**
   * Emits a user.
   *
   * Cold. Errors with `NotFound` where there is none of this name, and for all but the user and
   * administrators.
   */
  named(name: string): Operation<User> {
    return readUser(this.#connection, name);
  }

  /**
   * Creates a user who can log in with this password; emits the user.
   *
   * Cold. Errors with `Conflict` where there is one of this name, and `BadRequest` or `Forbidden` for
   * a password that the server does not take.
   */
  create(name: string, password: string, options: CreateUserOptions = {}): Operation<User> {
    return createUser(this.#connection, name, password, options);
  }

  /**
   * Changes a user's password; emits the user.
   *
   * Cold. Sessions of the user end with the old one. Where it is one's own, and was not given by a
   * function or an Observable, everything is asked with the new one from then on.
   */
  changePassword(name: string, password: string): Operation<User> {
    return changePassword(this.#connection, name, password);
  }

  /**
   * Replaces a user's roles; emits the user. A session shows them when it is renewed.
   *
   * Cold. Errors with `Forbidden` for all but administrators.
   */
  setRoles(name: string, roles: readonly string[]): Operation<User> {
    return setRoles(this.#connection, name, roles);
  }

  /**
   * Deletes a user; emits `true`.
   *
   * Cold. Errors with `NotFound` where there is none of this name.
   */
  remove(name: string): Operation<true> {
    return removeUser(this.#connection, name);
  }

  override toString(): string {
    return `<Users: ${this.url}>`;
  }
}
