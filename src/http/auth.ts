import type { Observable } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';

/** A user's name and password. */
export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** A name and a password, as an object or as a pair. */
export type NameAndPassword = BasicCredentials | readonly [username: string, password: string];

/**
 * A cookie session: the server is given the name and password once in a while, for a cookie that
 * shows who asks. It is renewed before it expires, and once when it is refused.
 */
export interface SessionCredentials {
  readonly session: NameAndPassword;
  /**
   * How long a cookie that the server refuses is not replaced after a login, in milliseconds.
   * @defaultValue 5000
   */
  readonly loginInterval?: number | undefined;
}

/** What a proxy that knows who asks, or a program in its place, says of them to CouchDB. */
export interface ProxyCredentials {
  readonly proxy: {
    readonly username: string;
    readonly roles?: readonly string[];
    /** The HMAC of the name, as hex, where CouchDB wants one (`proxy_use_secret`). */
    readonly token?: string;
    /** What CouchDB and the proxy share (`[chttpd_auth] secret`), to make the token of. */
    readonly secret?: string;
  };
}

/** Who asks, and how they show it. */
export type Credentials =
  NameAndPassword | SessionCredentials | ProxyCredentials | { readonly bearer: string };

/**
 * Credentials, or where they come from.
 *
 * - **A value** holds until `login` or `logout`.
 * - **A Promise** is waited for by the first request.
 * - **A function** is asked by the first request, and again when the server has refused what it
 *   answered (401): for tokens that expire. The request is then sent once more.
 * - **An Observable** may change its mind; requests wait for its first value. It is subscribed to
 *   while a request or a feed is under way, and so should tell its present value at once, as a
 *   `BehaviorSubject` does. Feeds go on with each new value from where they were.
 *
 * Null is nobody in particular.
 */
export type Auth =
  | Credentials
  | Promise<Credentials | null>
  | Observable<Credentials | null>
  | (() => ValueOrAsync<Credentials | null>);

/** The headers by which a request shows who asks; they never follow to another origin. */
export const CREDENTIAL_HEADERS: readonly string[] = [
  'authorization',
  'cookie',
  'x-auth-couchdb-username',
  'x-auth-couchdb-roles',
  'x-auth-couchdb-token',
];

/** What a request needs of credentials: the header to send, and what must never be shown. */
export interface Authorization {
  readonly headers: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  /** Name and password, where that is what was given: for servers that replicate. */
  readonly basic?: BasicCredentials;
  /** Whether the platform's own cookies show who asks: those of a browser, which shows them nobody. */
  readonly cookies?: boolean;
  /** Takes the `set-cookie` of an answer under 2xx. */
  readonly onCookie?: (header: string) => void;
}

/** Nobody in particular. */
export const ANONYMOUS: Authorization = { headers: {}, secrets: [] };

/**
 * Makes the header for a name and a password.
 *
 * @throws TypeError when a part is missing or is not a string.
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

/** Makes the header for a JWT. */
export function bearerAuthorization(token: unknown): Authorization {
  requireText(token, 'auth.bearer');
  return { headers: { authorization: `Bearer ${token}` }, secrets: [token] };
}

/** Makes the headers by which a proxy tells who asks. */
export function proxyAuthorization({ proxy }: ProxyCredentials): Authorization {
  if (typeof proxy !== 'object' || proxy === null)
    throw invalidArgument('auth.proxy', 'an object', proxy);
  const { username, roles = [], token, secret } = proxy;
  requireHeader(username, 'auth.proxy.username');
  if (!Array.isArray(roles)) throw invalidArgument('auth.proxy.roles', 'a list of names', roles);
  for (const role of roles) requireHeader(role, 'auth.proxy.roles');
  if (token !== undefined) requireText(token, 'auth.proxy.token');
  if (secret !== undefined) requireText(secret, 'auth.proxy.secret');
  return {
    headers: {
      'x-auth-couchdb-username': username,
      'x-auth-couchdb-roles': roles.join(','),
      ...(token !== undefined && { 'x-auth-couchdb-token': token }),
    },
    secrets: [token, secret].filter((one) => one !== undefined),
  };
}

/**
 * Reads a name and a password.
 *
 * @throws TypeError when a part is missing or is not a string.
 */
export function nameAndPassword(given: NameAndPassword, what: string): BasicCredentials {
  if (typeof given !== 'object' || given === null)
    throw new TypeError(`${what} must be a name and a password`);
  const { username, password } = isPair(given) ? { username: given[0], password: given[1] } : given;
  requireText(username, `${what}.username`);
  if (typeof password !== 'string') throw new TypeError(`${what}.password must be a string`);
  // RFC 7617: the name ends at the first colon.
  if (username.includes(':')) throw new TypeError(`${what}.username cannot hold a colon`);
  return { username, password };
}

function isPair(auth: object): auth is readonly [string, string] {
  return Array.isArray(auth);
}

function requireText(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string' || value === '') {
    throw new TypeError(`${name} must be a string that is not empty`);
  }
}

/** What stands in a header as it is: not even its characters could be told apart otherwise. */
function requireHeader(value: unknown, name: string): asserts value is string {
  requireText(value, name);
  if (!/^[\u0021-\u002b\u002d-\u007e]+$/.test(value)) {
    throw new TypeError(`${name} can hold only ASCII, without spaces and commas`);
  }
}

/** Base64 of the UTF-8 bytes; `btoa` alone takes only Latin-1. */
function base64(text: string): string {
  let binary = '';
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
