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

/** The fields of a user's document; others are the application's own. */
export interface UserFields {
  name: string;
  roles: string[];
  type: string;
  [field: string]: unknown;
}

/** A user as the server has them; of the password there is no more than a hash. */
export type User = Document<UserFields>;

/** What a new user is given. */
export interface CreateUserOptions {
  /** Names that no `_` begins. @defaultValue none */
  readonly roles?: readonly string[];
  /** What else is to stand in the document. */
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
      connection.hide([password]);
      return write(connection, { ...fields, ...identityOf(name), roles: [...roles] }, { password });
    }),
  );
}

export function readUser(connection: Connection, name: string): Operation<User> {
  const path = pathOf(name);
  return operation(connection, () => ({ path }), decodeUser);
}

export function listUsers(connection: Connection): Operation<User[]> {
  // The semicolon comes after the colon.
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
  return new Operation(
    defer(() => {
      connection.hide([password]);
      return change(connection, name, {}, { password });
    }).pipe(
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
  const once = defer(() => readUser(connection, name).answers()).pipe(
    mergeMap(({ value }) => {
      const path = `${pathOf(name)}?rev=${value._rev}`;
      return operation(
        connection,
        () => ({ method: 'DELETE', path }),
        () => true as const,
      ).answers();
    }),
    again(connection),
  );
  return new Operation(once);
}

/** Reads, changes and writes; and again, where somebody else has written meanwhile. */
function change(
  connection: Connection,
  name: string,
  fields: Partial<UserFields>,
  secret: object = {},
): Observable<Answer<User>> {
  return defer(() => readUser(connection, name).answers()).pipe(
    mergeMap(({ value }) => write(connection, { ...value, ...fields }, secret)),
    again(connection),
  );
}

/** Writes a user's document; what is emitted of it is without the secret. */
function write(
  connection: Connection,
  user: UserFields & Partial<User>,
  secret: object,
): Observable<Answer<User>> {
  const path = pathOf(user.name);
  return connection.json(
    () => ({ method: 'PUT', path, json: { ...user, ...secret } }),
    (body) => ({ ...user, _id: stringField(body, 'id'), _rev: stringField(body, 'rev') }),
  );
}

function again<T>(connection: Connection): (work: Observable<T>) => Observable<T> {
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

function requireName(name: unknown, what: string): asserts name is string {
  if (typeof name !== 'string' || name === '')
    throw invalidArgument(`${what}: name`, 'a string that is not empty', name);
}

function requirePassword(
  username: string,
  password: string,
  what: string,
): ReturnType<typeof nameAndPassword> {
  requireName(username, what);
  if (password === '') throw new TypeError(`${what}: password must not be empty`);
  return nameAndPassword({ username, password }, what);
}

function requireRoles(roles: unknown, what: string): void {
  if (!Array.isArray(roles) || !roles.every((role) => typeof role === 'string' && role !== '')) {
    throw invalidArgument(`${what}: roles`, 'a list of names', roles);
  }
}

function requireUser(user: unknown): asserts user is UserFields {
  if (typeof user !== 'object' || user === null)
    throw invalidArgument('users.save: user', 'the document of a user', user);
  const { name, roles } = user as { readonly name?: unknown; readonly roles?: unknown };
  requireName(name, 'users.save');
  requireRoles(roles, 'users.save');
}
