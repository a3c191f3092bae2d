import type { Observable } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';

/**
 * A user's name and password. As `auth`, they are sent with each request.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/authn.html#basic-authentication
 */
export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** A name and a password, as an object or as a pair. */
export type NameAndPassword = BasicCredentials | readonly [username: string, password: string];

/**
 * A cookie session: Corduroy logs in with the name and password, and authenticates with the cookie.
 * It renews the cookie before it expires, and after a 401.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/authn.html#cookie-authentication
 */
export interface SessionCredentials {
  readonly session: NameAndPassword;
  /**
   * The minimum age of a refused cookie before a new login, in milliseconds. A 401 with a younger
   * cookie is emitted as an error.
   * @defaultValue 5000
   */
  readonly loginInterval?: number | undefined;
}

/**
 * The identity of a user that a proxy, or a program in its place, has authenticated.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/authn.html#proxy-authentication
 */
export interface ProxyCredentials {
  readonly proxy: {
    readonly username: string;
    /** @defaultValue `[]` */
    readonly roles?: readonly string[];
    /** The HMAC of the name, as hex, if CouchDB requires one (`proxy_use_secret`). */
    readonly token?: string;
    /** The secret that CouchDB and the proxy share (`[chttpd_auth] secret`): it signs the token. */
    readonly secret?: string;
  };
}

/**
 * The credentials of a user: Basic, a cookie session, a proxy's headers, or a JWT (`bearer`).
 *
 * @see https://docs.couchdb.org/en/stable/api/server/authn.html
 */
export type Credentials =
  NameAndPassword | SessionCredentials | ProxyCredentials | { readonly bearer: string };

/**
 * Credentials, or a source of credentials.
 *
 * - **A value** is used until `login` or `logout`.
 * - **A Promise:** requests wait for it.
 * - **A function** returns credentials, a Promise, or an Observable of which the first value counts.
 *   The first request calls it. After a 401, as for an expired token, Corduroy calls it again and
 *   retries the request once.
 * - **An Observable** can emit other credentials at any time; requests wait for its first value. If
 *   it errors before its first value, requests error as well; Corduroy ignores later errors.
 *   Corduroy subscribes to it while a request or a feed is active. It should therefore replay its
 *   current value, as a `BehaviorSubject` does. Feeds resume with each new value at their last sequence.
 *
 * `null` means anonymous.
 */
export type Auth =
  | Credentials
  | Promise<Credentials | null>
  | Observable<Credentials | null>
  | (() => ValueOrAsync<Credentials | null>);

/** The headers that carry credentials. A redirect never takes them to another origin. */
export const CREDENTIAL_HEADERS: readonly string[] = [
  'authorization',
  'cookie',
  'x-auth-couchdb-username',
  'x-auth-couchdb-roles',
  'x-auth-couchdb-token',
];

/** The credentials of a request: the headers to send, and the secrets to mask. */
export interface Authorization {
  readonly headers: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  /** The name and password, if known: a replication sends them to a server. */
  readonly basic?: BasicCredentials;
  /** Whether the browser sends its cookies, which scripts cannot read. */
  readonly cookies?: boolean;
  /** Receives the `set-cookie` header of a 2xx response. */
  readonly onCookie?: (header: string) => void;
  /** Receives the error if CouchDB refuses the name or the password. */
  readonly onRefused?: (error: unknown) => void;
}

/** Tells whether a value is what a connection makes of credentials. */
export function isAuthorization(auth: Auth | Authorization): auth is Authorization {
  return typeof auth === 'object' && auth !== null && 'headers' in auth && 'secrets' in auth;
}

/** The credentials of an anonymous request. */
export const ANONYMOUS: Authorization = { headers: {}, secrets: [] };

/**
 * Makes the header for a name and a password.
 *
 * @throws TypeError if a part is missing or is not a string.
 */
export function basicAuthorization(credentials: NameAndPassword): Authorization {
  const basic = nameAndPassword(credentials, 'auth');
  const { username, password } = basic;
  const encoded = base64(`${username}:${password}`);
  return {
    headers: { authorization: `Basic ${encoded}` },
    secrets: [password, encoded],
    basic,
  };
}

/**
 * Makes the header for a JWT.
 *
 * @throws TypeError if the token is not a string, or is empty.
 */
export function bearerAuthorization(token: unknown): Authorization {
  requireText(token, 'auth.bearer');
  if (!/^[!-~]+$/.test(token))
    throw new TypeError('auth.bearer must contain only printable ASCII, without spaces');
  return { headers: { authorization: `Bearer ${token}` }, secrets: [token] };
}

/**
 * Makes the headers of proxy authentication.
 *
 * @throws TypeError if a part is missing or invalid.
 */
export function proxyAuthorization({ proxy }: ProxyCredentials): Authorization {
  if (typeof proxy !== 'object' || proxy === null)
    throw invalidArgument('auth.proxy', 'an object', proxy);
  const { username, roles = [], token, secret } = proxy;
  requireHeader(username, 'auth.proxy.username');
  if (!Array.isArray(roles)) throw invalidArgument('auth.proxy.roles', 'a list of names', roles);
  for (const role of roles) requireHeader(role, 'auth.proxy.roles');
  if (token !== undefined) requireHeader(token, 'auth.proxy.token');
  if (secret !== undefined) requireText(secret, 'auth.proxy.secret');
  return {
    headers: {
      'x-auth-couchdb-username': username,
      'x-auth-couchdb-roles': roles.join(','),
      ...(token !== undefined && { 'x-auth-couchdb-token': token }),
    },
    secrets: [token, secret].filter((part) => part !== undefined),
  };
}

/**
 * Validates a name and a password.
 *
 * @param what - The name of the argument, for the error.
 * @throws TypeError if a part is missing or is not a string.
 */
export function nameAndPassword(given: NameAndPassword, what: string): BasicCredentials {
  if (typeof given !== 'object' || given === null) {
    throw invalidSecret(what, 'an object { username, password }, or a pair of them', given);
  }
  // An option of `auth` has a path; an argument of a method follows its name.
  const at = what.startsWith('auth') ? '.' : ': ';
  const { username, password } = isPair(given) ? { username: given[0], password: given[1] } : given;
  requireText(username, `${what}${at}username`);
  if (typeof password !== 'string')
    throw invalidSecret(`${what}${at}password`, 'a string', password);
  // RFC 7617: the name ends at the first colon.
  if (username.includes(':')) throw new TypeError(`${what}${at}username must not contain a colon`);
  return { username, password };
}

function isPair(auth: object): auth is readonly [string, string] {
  return Array.isArray(auth);
}

function requireText(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string' || value === '') {
    throw invalidSecret(name, 'a string that is not empty', value);
  }
}

/** Makes the error for an invalid credential. It names the type alone: the value may be a secret. */
function invalidSecret(name: string, expectation: string, value: unknown): TypeError {
  const type = value === '' ? 'an empty string' : value === null ? 'null' : typeof value;
  return new TypeError(`${name} must be ${expectation} (received ${type})`);
}

/** Validates a string that a header carries unencoded. A comma would separate two values. */
function requireHeader(value: unknown, name: string): asserts value is string {
  requireText(value, name);
  if (!/^[\u0021-\u002b\u002d-\u007e]+$/.test(value)) {
    throw new TypeError(`${name} must contain only printable ASCII, without spaces and commas`);
  }
}

/**
 * Validates a header. The error does not include the value, which may be a secret.
 *
 * @param what - The name of the option, for the error.
 * @throws TypeError for a name or a value that no header can hold.
 */
export function assertHeader(name: string, value: unknown, what: string): asserts value is string {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
    throw invalidArgument(`${what}: the name of a header`, 'an HTTP token', name);
  if (typeof value !== 'string')
    throw new TypeError(`${what}: ${name} must be a string (received ${typeof value})`);
  if (!/^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value))
    throw new TypeError(`${what}: ${name} must be a string of characters that a header allows`);
}

/** Encodes the UTF-8 bytes of a text as base64. `btoa` alone accepts only Latin-1. */
function base64(text: string): string {
  let binary = '';
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Tells whether headers hold the credentials of a user. */
export function hasExplicitCredentials(headers: Readonly<Record<string, string>>): boolean {
  return CREDENTIAL_HEADERS.some((name) => name !== 'cookie' && name in headers);
}
