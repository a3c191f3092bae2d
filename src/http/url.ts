import { isWellFormed, nameOf } from '../model/json.ts';
import type { ValueName } from '../model/json.ts';
import { ANONYMOUS, basicAuthorization } from './auth.ts';
import type { Authorization } from './auth.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** A server's address, taken apart: the URL without credentials, and the credentials. */
export interface Address {
  /** Without userinfo, query, fragment or trailing slash. */
  readonly url: string;
  readonly authorization: Authorization;
}

/**
 * Takes a server's URL apart.
 *
 * @throws TypeError when it is not an absolute http or https URL, or carries a query.
 */
export function parseAddress(text: string): Address {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(
      `Not a URL: ${describeValue(text)}; expected something like http://127.0.0.1:5984`,
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new TypeError(`The URL must begin with http:// or https:// (received ${url.protocol})`);
  }
  if (url.search !== '' || url.hash !== '') {
    throw new TypeError('The URL of a server or database has no query and no fragment');
  }
  const authorization =
    url.username === ''
      ? ANONYMOUS
      : basicAuthorization({ username: decode(url.username), password: decode(url.password) });
  return { url: url.origin + url.pathname.replace(/\/+$/, ''), authorization };
}

/**
 * Takes the URLs of a server's nodes apart, or the one of a server. Of the credentials in them the
 * first hold.
 *
 * @throws TypeError where there is none, or one that is none.
 */
export function parseAddresses(
  given: string | readonly string[],
): Address & { readonly urls: readonly string[] } {
  const addresses = (typeof given === 'string' ? [given] : given).map(parseAddress);
  const [first] = addresses;
  if (first === undefined) throw new TypeError('At least one URL is needed');
  const { authorization } = addresses.find((one) => one.authorization !== ANONYMOUS) ?? first;
  return { url: first.url, urls: addresses.map(({ url }) => url), authorization };
}

/** Takes the URL of a database apart: the server's address, and the database's name. */
export function parseDatabaseUrl(text: string): { readonly server: string; readonly name: string } {
  const { url } = parseAddress(text);
  const { pathname } = new URL(url);
  const slash = pathname.lastIndexOf('/');
  const name = decode(pathname.slice(slash + 1));
  if (name === '') throw new TypeError(`The URL names no database: ${url}`);
  const server = new URL(text);
  server.pathname = pathname.slice(0, slash);
  return { server: server.href, name };
}

/** Tells a URL from a bare database name. */
export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}

/** Encodes one segment of a path: `/`, `+`, `%`, `?` and `#` as well. */
export function segment(text: string): string {
  return encodeURIComponent(text);
}

/** Makes the path of a database. */
export function databasePath(name: string): string {
  return `/${segment(name)}`;
}

/** Makes the path of a document in its database; the slash of `_design/` and `_local/` stays. */
export function documentPath(id: string): string {
  const prefix = /^_(?:design|local)\//.exec(id)?.[0] ?? '';
  return `/${prefix}${segment(id.slice(prefix.length))}`;
}

/**
 * Tells whether an id cannot stand in a URL: `.` and `..` mean directories to every URL parser,
 * however they are encoded. Such documents are read and written through the bulk calls.
 */
export function isDotSegment(id: string): boolean {
  return id === '.' || id === '..';
}

const NAME = /^[a-z][a-z0-9_$()+/-]*$/;
const SYSTEM_NAME = /^_[a-z][a-z_]*$/;

/** Refuses a name that CouchDB would not take for a database. */
export function requireDatabaseName(name: unknown): asserts name is string {
  if (typeof name === 'string' && (NAME.test(name) || SYSTEM_NAME.test(name))) return;
  throw new TypeError(
    `Not a database name: ${describeValue(name)}; it must begin with a lower-case letter, and go on with ` +
      'lower-case letters, digits and _ $ ( ) + - /',
  );
}

/** Refuses what cannot be a document's id. */
export function requireId(
  id: unknown,
  what: ValueName = 'The id of a document',
): asserts id is string {
  const fault = (is: string): TypeError =>
    new TypeError(`${nameOf(what)} ${is}: ${describeValue(id)}`);
  if (typeof id !== 'string' || id === '')
    throw invalidArgument(nameOf(what), 'a string that is not empty', id);
  if (id.startsWith('_') && !/^_(?:design|local)\/./.test(id))
    throw fault('must not begin with an underscore');
  if (!isWellFormed(id)) throw fault('is not well-formed Unicode');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Encodes the name of a design document, with or without the `_design/` before it. */
export function designName(ddoc: unknown, what: string): string {
  const name = typeof ddoc === 'string' ? ddoc.replace(/^_design\//, '') : '';
  if (name === '') throw invalidArgument(`${what}: ddoc`, 'the name of a design document', ddoc);
  return segment(name);
}
