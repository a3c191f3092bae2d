import { defer, map, mergeMap, retry, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isConflict } from '../errors/http-error.ts';
import { nameAndPassword } from '../http/auth.ts';
import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { documentPath } from '../http/url.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';

/** The fields of a user's document. The application may add its own. */
export interface UserFields {
  name: string;
  roles: string[];
  type: string;
  [field: string]: unknown;
}

/**
 * A user's document as the server returns it. It contains a hash of the password, never the
 * password.
 */
export type User = Document<UserFields>;

/** The options of `users.create`. */
export interface CreateUserOptions {
  /** The roles. A role must not begin with `_`. @defaultValue none */
  readonly roles?: readonly string[];
  /** The application's own fields of the document. */
  readonly fields?: AnyFields;
}

const PREFIX = 'org.couchdb.user:';
const ATTEMPTS = 100;
const BACKOFF = { initialDelay: 10, maxDelay: 1000 };

export function createUser(
  connection: Connection,
  name: string,
  password: string,
  { roles = [], fields = {} }: CreateUserOptions,
): Operation<User> {
  requirePassword(name, password, 'users.create');
  requireRoles(roles, 'users.create');
  return new Operation(
    defer(() => {
      connection.hide([password], 'request');
      return write(connection, { ...fields, ...identityOf(name), roles: [...roles] }, { password });
    }),
  );
}

export function readUser(connection: Connection, name: string): Operation<User> {
  const path = pathOf(name);
  return operation(connection, () => ({ path }), decodeUser);
}

export function listUsers(connection: Connection): Operation<User[]> {
  // `;` is the next character after `:`, so this range contains exactly the ids with the prefix.
  const [start, end] = [PREFIX, PREFIX.replace(':', ';')].map((key) =>
    encodeURIComponent(JSON.stringify(key)),
  );
  const path = `/_users/_all_docs?startkey=${start}&endkey=${end}&include_docs=true`;
  return operation(
    connection,
    () => ({ path }),
    (body) => arrayField(body, 'rows').map((row) => decodeUser(asObject(row)['doc'])),
  );
}

export function changePassword(
  connection: Connection,
  name: string,
  password: string,
): Operation<User> {
  const user = requirePassword(name, password, 'users.changePassword');
  connection.hide([password], 'request');
  return new Operation(
    change(connection, name, {}, { password }).pipe(
      mergeMap((answer) => connection.authenticator.replacePassword(user).pipe(map(() => answer))),
    ),
  );
}

export function saveUser(
  connection: Connection,
  user: UserFields & { readonly _rev?: string },
): Operation<User> {
  requireUser(user);
  return new Operation(
    defer(() => {
      requireUser(user);
      return write(connection, { ...user, type: 'user' }, {});
    }),
  );
}

export function setRoles(
  connection: Connection,
  name: string,
  roles: readonly string[],
): Operation<User> {
  requireName(name, 'users.setRoles');
  requireRoles(roles, 'users.setRoles');
  return new Operation(defer(() => change(connection, name, { roles: [...roles] })));
}

export function deleteUser(connection: Connection, name: string): Operation<true> {
  requireName(name, 'users.delete');
  const attempt = defer(() => readUser(connection, name).answers()).pipe(
    mergeMap(({ value }) => {
      const path = `${pathOf(name)}?rev=${value._rev}`;
      return operation(
        connection,
        () => ({ method: 'DELETE', path }),
        () => true as const,
      ).answers();
    }),
    retryConflicts(connection),
  );
  return new Operation(attempt);
}

/** Reads a user, changes fields, and writes the user. Retries on conflict. */
function change(
  connection: Connection,
  name: string,
  fields: Partial<UserFields>,
  secret: { readonly password?: string } = {},
): Observable<Answer<User>> {
  return defer(() => readUser(connection, name).answers()).pipe(
    mergeMap(({ value }) => write(connection, { ...value, ...fields }, secret)),
    retryConflicts(connection),
  );
}

/** Writes a user's document. The emitted user does not contain `secret`. */
function write(
  connection: Connection,
  user: UserFields & Partial<User>,
  secret: { readonly password?: string },
): Observable<Answer<User>> {
  const path = pathOf(user.name);
  const json: Readonly<Record<string, unknown>> = { ...user, ...secret };
  // The application may save a user with a new password, too.
  const { password } = json;
  const secrets = typeof password === 'string' ? [password] : [];
  return connection.json(
    () => ({ method: 'PUT', path, json, secrets }),
    (body) => ({ ...user, _id: stringField(body, 'id'), _rev: stringField(body, 'rev') }),
  );
}

function retryConflicts<T>(connection: Connection): (work: Observable<T>) => Observable<T> {
  return retry({
    count: ATTEMPTS - 1,
    delay: (error: unknown, failures) =>
      isConflict(error) ? connection.after(backoff(failures, BACKOFF)) : throwError(() => error),
  });
}

function identityOf(name: string): Pick<UserFields, 'name' | 'type'> {
  return { name, type: 'user' };
}

function pathOf(name: string): string {
  requireName(name, 'users');
  return `/_users${documentPath(PREFIX + name)}`;
}

function decodeUser(body: unknown): User {
  stringField(body, 'name');
  arrayField(body, 'roles');
  return asObject(body) as User;
}

function requireName(name: unknown, method: string): asserts name is string {
  if (typeof name !== 'string' || name === '')
    throw invalidArgument(`${method}: name`, 'a string that is not empty', name);
}

function requirePassword(
  username: string,
  password: string,
  method: string,
): ReturnType<typeof nameAndPassword> {
  requireName(username, method);
  if (password === '')
    throw new TypeError(`${method}: password must be a string that is not empty`);
  return nameAndPassword({ username, password }, method);
}

function requireRoles(roles: unknown, method: string): void {
  if (!Array.isArray(roles) || !roles.every((role) => typeof role === 'string' && role !== '')) {
    throw invalidArgument(`${method}: roles`, 'a list of role names', roles);
  }
}

function requireUser(user: unknown): asserts user is UserFields {
  if (typeof user !== 'object' || user === null)
    throw invalidArgument('users.save: user', "a user's document", user);
  const { name, roles } = user as { readonly name?: unknown; readonly roles?: unknown };
  requireName(name, 'users.save');
  requireRoles(roles, 'users.save');
}
