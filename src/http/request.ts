import { map, mergeMap } from 'rxjs';
import { secretsOfHeaders } from '../errors/redact.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { CREDENTIAL_HEADERS, assertHeader } from './auth.ts';
import type { JsonCodec } from './connection-options.ts';
import type { Connection } from './connection.ts';
import type { Exchange, RequestSpec } from './link.ts';
import { protocolError, readBytes } from './exchange.ts';
import { Operation } from './operation.ts';
import { flag, toBody } from './query.ts';
import type { Parameter } from './query.ts';
import type { RequestBody } from './transport.ts';
import { SERVER, encodeText, isDotSegment, requireWellFormed } from './url.ts';
import type { Endpoint } from './url.ts';
import type { RetryOptions } from '../operators/retry-policy.ts';
import { duration } from '../operators/time.ts';
import { requireRetry } from './retry.ts';

/** A request to an endpoint without a method in Corduroy. */
export interface RequestOptions {
  /** @defaultValue 'GET' */
  readonly method?: string;
  /**
   * The path below the server, the database or the node. It must begin with a slash. Its segments must
   * be encoded with `encodeURIComponent`. It may include a query string.
   */
  readonly path: string;
  /**
   * More query parameters. Strings, numbers and booleans are sent unchanged, other values as JSON.
   * Undefined values are omitted.
   */
  readonly query?: Readonly<Record<string, unknown>>;
  /** A body to encode as JSON, with the content type of JSON. */
  readonly json?: unknown;
  /** A body to send unchanged; give its content type in `headers`. An iterable is sent once. */
  readonly body?: RequestBody;
  /**
   * Headers for this request alone. Credentials are not allowed here: pass them to the `Couch`. With
   * `if-none-match`, the status 304 is no error: the value is null.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the connection's `timeout`, in milliseconds; 0 disables it. */
  readonly timeout?: number;
  /**
   * The route that links receive: `path` with names in braces in place of ids and other values, and
   * without a query, such as `'/_shards/{docid}'`. Corduroy adds `/{db}` or `/_node/{node-name}` before
   * it. Links may write routes to logs and metrics, so put no values in it.
   * @defaultValue '/*'
   */
  readonly route?: string;
  /**
   * Whether the request changes nothing on the server. Such a request may be sent again, or to another
   * node, after a failure. @defaultValue true for GET and HEAD, otherwise false
   */
  readonly reads?: boolean;
  /**
   * Whether a second request leaves the server as one does, and has the same response, so that Corduroy
   * may send it again after a failure. @defaultValue the value of `reads`
   */
  readonly repeatable?: boolean;
  /** Overrides the `retry` of the `Couch` or the database; `false` turns it off. */
  readonly retry?: RetryOptions | false;
}

const any: Parameter = () => '';
const OPTIONS = {
  method: any,
  path: any,
  query: any,
  json: any,
  body: any,
  headers: any,
  timeout: any,
  route: any,
  reads: flag,
  repeatable: flag,
  retry: any,
};

/** Makes an operation that sends the described request.
 *
 * @param base - The address that the path continues, such as that of a database.
 * @throws TypeError or RangeError for invalid options.
 */
export function request<T>(
  connection: Connection,
  options: RequestOptions,
  base: Endpoint = SERVER,
): Operation<T> {
  const spec = toSpec(options, base, connection.codec);
  connection.hide(spec.secretHeaders ?? [], 'header');
  return new Operation(
    connection
      .send(() => spec, true)
      .pipe(
        mergeMap((exchange) =>
          readBytes(exchange).pipe(
            map((bytes) => ({
              value: decodeByType(bytes, exchange, connection.codec) as T,
              code: exchange.status,
              headers: exchange.headers,
            })),
          ),
        ),
      ),
  );
}

/** Decodes a response by its content type: JSON, text, or bytes; null if it is empty. */
function decodeByType(bytes: Uint8Array, exchange: Exchange, codec: JsonCodec): unknown {
  const { 'content-type': type = '' } = exchange.headers;
  if (bytes.length === 0) return null;
  if (!JSON_TYPE.test(type)) {
    return /^text\//i.test(type) ? new TextDecoder().decode(bytes) : bytes;
  }
  try {
    return codec.parse(new TextDecoder().decode(bytes));
  } catch {
    // Without the parser's message, which quotes the response.
    const problem = `the answer under status ${exchange.status} is not JSON, despite its content type`;
    throw protocolError(exchange.request, problem, { transient: true });
  }
}

const JSON_TYPE = /^application\/([\w.-]+\+)?json\b/i;

function toSpec(options: RequestOptions, base: Endpoint, codec: JsonCodec): RequestSpec {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument('request: options', '{ path, … }', options);
  toBody(OPTIONS, options, 'request');
  const { path, query = {}, json, body, timeout, route = '/*', reads, repeatable, retry } = options;
  const method = requireMethod(options.method ?? 'GET');
  requirePath(path);
  if (json !== undefined && body !== undefined)
    throw new TypeError('request: json and body exclude each other; pass only one');
  if (json !== undefined) assertJson(json, 'request: json', codec);
  if (body !== undefined && !isBody(body))
    throw invalidArgument('request: body', 'a string, bytes or an async iterable of bytes', body);
  if (typeof body === 'string') requireWellFormed(body, 'request: body');
  if ((json ?? body) !== undefined && (method === 'GET' || method === 'HEAD'))
    throw new TypeError(`request: ${method} has no body; pass another method`);
  if (timeout !== undefined) duration(timeout, 'request: timeout');
  if (retry !== undefined) requireRetry(retry, 'request: retry');
  requireRoute(route);
  if (repeatable === true && typeof body === 'object' && !ArrayBuffer.isView(body))
    throw new TypeError(
      'request: repeatable must not be true for an iterable body, which can be sent only once; pass bytes or a string',
    );
  const headers = requireHeaders(options.headers ?? {});
  return {
    method,
    path: base.path + withQuery(path, query, codec),
    route: base.route + route,
    headers,
    // A custom header may hold a key.
    secretHeaders: secretsOfHeaders(headers),
    ...(isConditional(headers) && { isAnswer: (status: number) => status === 304 }),
    ...(json !== undefined && { json }),
    ...(body !== undefined && { body }),
    ...(timeout !== undefined && { timeout }),
    ...(reads !== undefined && { reads }),
    ...(repeatable !== undefined && { repeatable }),
    ...(retry !== undefined && { retry }),
  };
}

/** Tells whether the caller has an answer already: 304 says that it is still the present one. */
function isConditional(headers: Readonly<Record<string, string>>): boolean {
  return 'if-none-match' in headers || 'if-modified-since' in headers;
}

function requireMethod(method: unknown): string {
  if (typeof method === 'string' && /^[a-z]+$/i.test(method)) return method.toUpperCase();
  throw invalidArgument('request: method', 'the name of an HTTP method, such as PUT', method);
}

/** Validates that a path stays below the base, because the request carries credentials. */
function requirePath(path: unknown): asserts path is string {
  if (typeof path !== 'string' || !path.startsWith('/') || path.startsWith('//')) {
    throw invalidArgument('request: path', 'a path that begins with one slash', path);
  }
  // URL parsers read a backslash as a slash.
  if (!/^[!-~]*$/.test(path) || /[\\#]/.test(path)) {
    throw new TypeError(
      `request: path must be encoded (received ${describeValue(path)}); use encodeURIComponent`,
    );
  }
  const [pathname = ''] = path.split('?');
  if (pathname.split('/').some((part) => isDotSegment(part.replace(/%2e/gi, '.')))) {
    throw new TypeError(
      `request: path must not contain '.' or '..' segments (received ${describeValue(path)})`,
    );
  }
}

/** Validates a route, which links may write to logs: it holds no query. */
function requireRoute(route: unknown): asserts route is string {
  if (typeof route !== 'string' || !/^\/[^\s?#]*$/.test(route))
    throw invalidArgument(
      'request: route',
      "the path with names in place of values and without a query, such as '/_shards/{docid}'",
      route,
    );
}

function withQuery(
  path: string,
  query: Readonly<Record<string, unknown>>,
  codec: JsonCodec,
): string {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => {
      const label = `request: query: ${name}`;
      return `${encodeText(name, 'request: query')}=${encodeText(toQueryValue(value, label, codec), label)}`;
    });
  if (pairs.length === 0) return path;
  return `${path}${path.includes('?') ? '&' : '?'}${pairs.join('&')}`;
}

function toQueryValue(value: unknown, name: string, codec: JsonCodec): string {
  if (typeof value === 'string') return value;
  assertJson(value, name, codec);
  return codec.stringify(value);
}

function requireHeaders(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const checked = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    assertHeader(name, value, 'request: headers');
    if (CREDENTIAL_HEADERS.includes(name.toLowerCase()))
      throw new TypeError(`request: headers: give credentials to the Couch, not in ${name}`);
    checked.set(name.toLowerCase(), value);
  }
  return Object.fromEntries(checked);
}

function isBody(body: unknown): boolean {
  if (typeof body === 'string' || ArrayBuffer.isView(body)) return true;
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
