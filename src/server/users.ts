import { catchError, defer, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isTransient } from '../errors/corduroy-error.ts';
import { isConflict, isForbidden, isNotFound, isUnauthorized } from '../errors/http-error.ts';
import { nameAndPassword } from '../http/auth.ts';
import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, requireSameId, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { ALL_DOCS, databaseAt, documentAt, endpoint, revQuery } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
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
const READ_ATTEMPTS = 3;
const BACKOFF = { initialDelay: 10, maxDelay: 1000 };

export function createUser(
  connection: Connection,
  name: string,
  password: string,
  options: CreateUserOptions,
): Operation<User> {
  requireOptions(options, 'users.create', ['roles', 'fields']);
  const { roles = [], fields = {} } = options;
  requirePassword(name, password, 'users.create');
  requireRoles(roles, 'users.create');
  assertJson(fields, 'users.create: fields', connection.codec);
  return new Operation(
    defer(() => {
      connection.hide([password], 'request');
      const user = { ...fields, ...identityOf(name), roles: [...roles] };
      return write(connection, { ...user, password }).pipe(
        mergeMap((written) => readWritten(connection, written)),
      );
    }),
  );
}

export function readUser(connection: Connection, name: string): Operation<User> {
  const address = userAt(name);
  return operation(
    connection,
    () => address,
    (body) => {
      requireSameId(PREFIX + name, stringField(body, '_id'));
      return decodeUser(body);
    },
  );
}

export function listUsers(connection: Connection): Operation<User[]> {
  // `;` is the next character after `:`, so this range contains exactly the ids with the prefix.
  const [start, end] = [PREFIX, PREFIX.replace(':', ';')].map((key) =>
    encodeURIComponent(JSON.stringify(key)),
  );
  const query = `?startkey=${start}&endkey=${end}&include_docs=true`;
  return operation(
    connection,
    () => endpoint(databaseAt('_users'), ALL_DOCS, query),
    (body) => arrayField(body, 'rows').map((row) => decodeUser(asObject(row)['doc'])),
  );
}

export function changePassword(
  connection: Connection,
  name: string,
  password: string,
): Operation<User> {
  requirePassword(name, password, 'users.changePassword');
  return new Operation(
    defer(() => {
      connection.hide([password], 'request');
      return change(connection, name, { password });
    }),
  );
}

export function saveUser(
  connection: Connection,
  user: UserFields & { readonly _rev?: string },
): Operation<User> {
  requireUser(user);
  assertJson(user, 'users.save: user', connection.codec);
  return new Operation(
    defer(() => {
      requireUser(user);
      const { password } = user;
      if (typeof password === 'string') connection.hide([password], 'request');
      return write(connection, { ...user, type: 'user' }).pipe(
        mergeMap((written) => readWithPassword(connection, written)),
      );
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
      const address = userAt(name, revQuery(value._rev));
      return operation(
        connection,
        () => ({ ...address, method: 'DELETE' }),
        (body) => {
          requireSameId(PREFIX + name, stringField(body, 'id'));
          return true as const;
        },
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
): Observable<Answer<User>> {
  return defer(() => readUser(connection, name).answers()).pipe(
    mergeMap(({ value }) => write(connection, { ...value, ...fields })),
    retryConflicts(connection),
    mergeMap((written) => readWithPassword(connection, written)),
  );
}

/** Writes a user's document. Emits the fields that it sent. */
function write(
  connection: Connection,
  user: UserFields & Partial<User>,
): Observable<Answer<UserFields>> {
  const address = userAt(user.name);
  // The application may save a user with a new password, too.
  const { password } = user;
  const secrets = typeof password === 'string' ? [password] : [];
  return connection.json(
    () => ({ ...address, method: 'PUT', json: user, secrets }),
    (body) => {
      requireSameId(PREFIX + user.name, stringField(body, 'id'));
      return user;
    },
  );
}

/**
 * Reads a user after a write: the server has computed the hash of a new password, and without that hash
 * the emitted user would lose the password when it is saved again.
 *
 * A connection that may create a user may be unable to read it. The emitted user then has the revision
 * `''`, which the server refuses.
 */
function readWritten(
  connection: Connection,
  { value: sent, code, headers }: Answer<UserFields>,
  hasAccess$: Observable<boolean> = of(true),
): Observable<Answer<User>> {
  const { password: _secret, ...fields } = sent;
  const { name } = fields;
  const unreadable = { ...fields, _id: PREFIX + name, _rev: '' } as User;
  const read$ = readUser(connection, name).pipe(
    retry({
      count: READ_ATTEMPTS - 1,
      delay: (error: unknown, failures) =>
        isTransient(error) ? connection.after(backoff(failures)) : throwError(() => error),
    }),
    catchError((error: unknown) =>
      isUnauthorized(error) || isForbidden(error) || isNotFound(error)
        ? of(unreadable)
        : throwError(() => error),
    ),
  );
  return hasAccess$.pipe(
    mergeMap((hasAccess) => (hasAccess ? read$ : of(unreadable))),
    map((value) => ({ value, code, headers })),
  );
}

/** Makes the connection use a new password, if it is the one of its user. Then reads the user. */
function readWithPassword(
  connection: Connection,
  written: Answer<UserFields>,
): Observable<Answer<User>> {
  const { name: username, password } = written.value;
  return typeof password === 'string'
    ? readWritten(
        connection,
        written,
        connection.authenticator.replacePassword({ username, password }),
      )
    : readWritten(connection, written);
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

function userAt(name: string, query?: string): Endpoint {
  requireName(name, 'users');
  return documentAt(databaseAt('_users'), PREFIX + name, query);
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

function requirePassword(username: string, password: string, method: string): void {
  requireName(username, method);
  if (password === '')
    throw new TypeError(`${method}: password must be a string that is not empty`);
  nameAndPassword({ username, password }, method);
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
