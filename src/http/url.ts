import { isWellFormed, nameOf } from '../model/json.ts';
import type { ValueName } from '../model/json.ts';
import { ANONYMOUS, basicAuthorization } from './auth.ts';
import type { Authorization } from './auth.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** The parts of a server's URL: the URL without credentials, and the credentials. */
export interface Address {
  /** Without userinfo, query, fragment or trailing slash. */
  readonly url: string;
  readonly authorization: Authorization;
}

/**
 * Parses the URL of a server or database.
 *
 * @throws TypeError if it is not an absolute http or https URL, or has a query or a fragment.
 */
export function parseAddress(text: string): Address {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(
      `Not a URL: ${describeValue(text)}; expected something like http://127.0.0.1:5984${advice(text)}`,
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new TypeError(
      `The URL must begin with http:// or https:// (received ${describeValue(text)})`,
    );
  }
  if (url.search !== '' || url.hash !== '') {
    throw new TypeError(
      `The URL of a server or database must not have a query or a fragment${advice(text)}`,
    );
  }
  // A slash in a password ends the host, and the rest of the password begins the path.
  if (url.pathname.includes('@')) {
    throw new TypeError(
      `The URL of a server or database must not have an @ in its path (received ${describeValue(text)})${advice(text)}`,
    );
  }
  const authorization =
    url.username === ''
      ? ANONYMOUS
      : basicAuthorization({ username: decode(url.username), password: decode(url.password) });
  return { url: url.origin + url.pathname.replace(/\/+$/, ''), authorization };
}

/** Returns the advice for a URL that does not parse because of its password. */
function advice(text: string): string {
  return text.includes('@')
    ? '; percent-encode the name and the password with encodeURIComponent, or pass them as `auth`'
    : '';
}

/** The URL of a server. */
export type ServerUrl = string | URL;

/**
 * Parses the URL of a server, or the URLs of its nodes. The first URL with credentials supplies them.
 *
 * @throws TypeError if there is no URL, or an invalid one.
 */
export function parseAddresses(
  urls: ServerUrl | readonly ServerUrl[],
): Address & { readonly urls: readonly string[] } {
  const list: readonly unknown[] = Array.isArray(urls) ? urls : [urls];
  const addresses = list.map((url) => {
    if (typeof url === 'string' || url instanceof URL) return parseAddress(String(url));
    const expected =
      typeof url === 'object' && url !== null && 'url' in url
        ? 'the first argument, before the options'
        : 'a string, a URL, or a list of these';
    throw invalidArgument('The URL of a server', expected, url);
  });
  const [first] = addresses;
  if (first === undefined) throw new TypeError('The list of node URLs must not be empty');
  const { authorization } =
    addresses.find((address) => address.authorization !== ANONYMOUS) ?? first;
  return { url: first.url, urls: addresses.map(({ url }) => url), authorization };
}

/**
 * Parses the URL of a database into the server's URL, with credentials, and the database's name.
 *
 * @throws TypeError if the URL is invalid, or does not end with a name.
 */
export function parseDatabaseUrl(text: string): { readonly server: string; readonly name: string } {
  const { url } = parseAddress(text);
  const { pathname } = new URL(url);
  const slash = pathname.lastIndexOf('/');
  const name = decode(pathname.slice(slash + 1));
  if (name === '')
    throw new TypeError(`The URL must end with the name of a database (received ${url})`);
  const server = new URL(text);
  server.pathname = pathname.slice(0, slash);
  return { server: server.href, name };
}

/** Tells whether a text is a URL, rather than the name of a database. */
export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}

/**
 * Encodes one segment of a path, including `/`, `+`, `%`, `?` and `#`. Every name in a path passes here.
 *
 * @param what - The name of the value in the error.
 * @throws TypeError for `''`, `'.'`, `'..'` and lone surrogates, which would change the path.
 */
export function segment(text: unknown, what: string): string {
  if (typeof text !== 'string' || text === '')
    throw invalidArgument(what, 'a string that is not empty', text);
  if (isDotSegment(text))
    throw new TypeError(
      `${what} must not be ${describeValue(text)}: no URL can hold it, because URLs remove that segment`,
    );
  return encodeText(text, what);
}

/**
 * Encodes a text for a URL.
 *
 * @throws TypeError for lone surrogates, which no URL can hold.
 */
export function encodeText(text: string, what: string): string {
  if (isWellFormed(text)) return encodeURIComponent(text);
  throw new TypeError(`${what} must be well-formed Unicode (received ${describeValue(text)})`);
}

/** The longest path that Corduroy requests if there is another way. */
const LONG_PATH = 6000;

/**
 * Tells whether a request line may be too long for a server. CouchDB accepts 8192 bytes, and proxies
 * add their prefix. Views, `_all_docs` and reads of revisions then use a body.
 */
export function isLongPath(path: string): boolean {
  return path.length > LONG_PATH;
}

/** Explains an answer without a reason, if the cause is a request line that is too long. */
export function explainEmptyAnswer(status: number, method: string, path: string): string {
  if (!isLongPath(path) || ![400, 413, 414, 431].includes(status)) return '';
  const length = `${method} ${path} HTTP/1.1`.length;
  return `the request line is too long: it has ${length} bytes, and CouchDB's default limit is 8192 (recbuf); shorten the ids, keys or parameters`;
}

/**
 * Validates a text that is sent as UTF-8, which cannot hold lone surrogates: they would be replaced.
 *
 * @throws TypeError that names the text.
 */
export function requireWellFormed(text: string, what: string): void {
  if (!isWellFormed(text))
    throw new TypeError(`${what} must be well-formed Unicode: it has a lone surrogate`);
}

/** Returns the path of a database. */
export function databasePath(name: string): string {
  return `/${segment(name, 'The name of a database')}`;
}

/** Returns the address of a database. */
export function databaseAt(name: string): Endpoint {
  return { path: databasePath(name), route: '/{db}' };
}

const PREFIX = /^_(?:design|local)\//;

/** Returns the path of a document in its database. Keeps the slash of `_design/` and `_local/`. */
export function documentPath(id: string, what = 'The id of a document'): string {
  const prefix = PREFIX.exec(id)?.[0] ?? '';
  return `/${prefix}${segment(id.slice(prefix.length), what)}`;
}

/** Returns the route of a document in its database: the path with a name in place of the id. */
function documentRoute(id: string): string {
  const prefix = PREFIX.exec(id)?.[0] ?? '';
  return `/${prefix}${prefix === '_design/' ? '{ddoc}' : '{docid}'}`;
}

/** The address of an endpoint, a database or a document: its path, and its path without values. */
export interface Endpoint {
  /** The path below the server's URL, encoded; of a request with its query string. */
  readonly path: string;
  /** The path with names in place of values, without a query: `/{db}/{docid}`. */
  readonly route: string;
}

/** The server itself, below which all endpoints are. */
export const SERVER: Endpoint = { path: '', route: '' };

/** Returns the address of a node. */
export function nodeAt(node: string, what: string): Endpoint {
  return endpoint(SERVER, '/_node/{node-name}', '', segment(node, what));
}

/** Endpoints of a database that several modules use. */
export const ALL_DOCS = '/_all_docs';
export const BULK_DOCS = '/_bulk_docs';
export const BULK_GET = '/_bulk_get';

export const SESSION: Endpoint = { path: '/_session', route: '/_session' };

/**
 * Returns the address of an endpoint. The path and the route come from one template, so that they
 * cannot differ.
 *
 * @param base - The server, or an address without a query: of a database, a partition, a document.
 * @param template - The route below the base, with the names that the documentation of CouchDB uses:
 * `/_design/{ddoc}/_info`. A `*` at its end stands for any number of segments.
 * @param query - The query string, with its `?`.
 * @param values - The values for the names and for `*`, in their order, encoded.
 */
export function endpoint(
  base: Endpoint,
  template: string,
  query = '',
  ...values: readonly string[]
): Endpoint {
  let next = 0;
  const path =
    values.length === 0 ? template : template.replace(/{.*?}|\*/g, () => values[next++] as string);
  return { path: base.path + path + query, route: base.route + template };
}

/**
 * Returns the address of a document.
 *
 * @param query - The query string, with its `?`.
 * @param what - The name of the id in errors.
 * @throws TypeError for an id that no URL can hold.
 */
export function documentAt(base: Endpoint, id: string, query = '', what?: string): Endpoint {
  return {
    path: base.path + documentPath(id, what) + query,
    route: base.route + documentRoute(id),
  };
}

/**
 * Returns the address of a design document.
 *
 * @param name - Encoded, without `_design/`.
 */
export function designAt(base: Endpoint, name: string, query?: string): Endpoint {
  return endpoint(base, '/_design/{ddoc}', query, name);
}

/** A request that only reads, by POST, because its parameters are a body. */
export interface ReadByPost extends Endpoint {
  readonly method: 'POST';
  readonly reads: true;
  readonly json: unknown;
}

/** Describes a request that only reads, by POST. */
export function readByPost(address: Endpoint, json: unknown): ReadByPost {
  return { ...address, method: 'POST', reads: true, json };
}

/** Validates the id of a document that an operation can only name in a URL. */
export function requireUrlId(id: unknown, what: string): asserts id is string {
  requireId(id);
  documentPath(id, what);
}

/** Returns `?rev=…`, or `''` without a revision. */
export function revQuery(rev: unknown): string {
  return typeof rev === 'string' ? `?rev=${encodeText(rev, '_rev')}` : '';
}

/**
 * Tells whether an id cannot be part of a URL: URL parsers resolve `.` and `..` as directories, even
 * if they are encoded. Such documents need the bulk endpoints.
 */
export function isDotSegment(id: string): boolean {
  return id === '.' || id === '..';
}

/**
 * Splits a name such as `'design-document/view'` into its two segments, encoded. It splits at the last
 * slash, because the name of a design document can have slashes.
 *
 * @param what - The kind of the name in errors, such as `'view'`.
 * @returns null if the name has another form.
 */
export function splitName(name: unknown, what: string): readonly [string, string] | null {
  const slash = typeof name === 'string' ? name.lastIndexOf('/') : -1;
  if (typeof name !== 'string' || slash < 1 || slash === name.length - 1) return null;
  return [
    segment(name.slice(0, slash), `The design document of the ${what}`),
    segment(name.slice(slash + 1), `The name of the ${what}`),
  ];
}

const DATABASE_NAME = /^[a-z][a-z0-9_$()+/-]*$/;
const SYSTEM_NAME = /^_[a-z][a-z_]*$/;

/**
 * Validates the name of a database, by CouchDB's rules.
 *
 * @throws TypeError for an invalid name.
 * @see https://docs.couchdb.org/en/stable/api/database/common.html#put--db
 */
export function requireDatabaseName(name: unknown): asserts name is string {
  if (typeof name === 'string' && (DATABASE_NAME.test(name) || SYSTEM_NAME.test(name))) return;
  if (typeof name === 'string' && isUrl(name))
    throw new TypeError(
      `The name of a database must be no URL (received ${describeValue(name)}); pass a URL to \`new Couch\` or \`new Database\``,
    );
  throw new TypeError(
    'The name of a database must begin with a lower-case letter, and contain only lower-case letters, ' +
      `digits and _ $ ( ) + - / (received ${describeValue(name)})`,
  );
}

/**
 * Validates the id of a document.
 *
 * @throws TypeError for an invalid id.
 */
export function requireId(
  id: unknown,
  what: ValueName = 'The id of a document',
): asserts id is string {
  const invalid = (rule: string): TypeError =>
    new TypeError(`${nameOf(what)} ${rule} (received ${describeValue(id)})`);
  if (typeof id !== 'string' || id === '')
    throw invalidArgument(nameOf(what), 'a string that is not empty', id);
  if (id.startsWith('_') && !/^_(?:design|local)\/./.test(id))
    throw invalid('must not begin with an underscore');
  if (!isWellFormed(id)) throw invalid('must be well-formed Unicode');
  if (PREFIX.test(id) && isDotSegment(id.replace(PREFIX, '')))
    throw invalid("must not end with '/.' or '/..': no URL can hold it");
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Encodes the name of a design document, given with or without the prefix `_design/`. */
export function designName(ddoc: unknown, what: string): string {
  const name = typeof ddoc === 'string' ? ddoc.replace(/^_design\//, '') : '';
  if (name === '') throw invalidArgument(`${what}: ddoc`, 'the name of a design document', ddoc);
  return segment(name, `${what}: ddoc`);
}
