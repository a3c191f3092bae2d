import { map, mergeMap } from 'rxjs';
import { assertJson } from '../model/json.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { CREDENTIAL_HEADERS } from './auth.ts';
import { readBytes } from './exchange.ts';
import type { JsonCodec } from './connection-options.ts';
import type { Connection } from './connection.ts';
import type { Exchange, RequestSpec } from './exchange.ts';
import { protocolError } from './exchange.ts';
import { Operation } from './operation.ts';
import { toBody } from './query.ts';
import type { Parameter } from './query.ts';
import type { RequestBody } from './transport.ts';
import { isDotSegment, segment } from './url.ts';

/** A request that no method is there for. */
export interface RequestOptions {
  /** @defaultValue 'GET' */
  readonly method?: string;
  /**
   * Where to, below the server, the database or the node that is asked: it begins with a slash, and
   * its segments are encoded already, as by `encodeURIComponent`. It may have a query.
   */
  readonly path: string;
  /**
   * More of the query: strings, numbers and booleans as they are, anything else as JSON. What is
   * undefined is left out.
   */
  readonly query?: Readonly<Record<string, unknown>>;
  /** A body to be written as JSON, with that content type. */
  readonly json?: unknown;
  /** A body that is sent as it is; `headers` says what it is. One that is iterated is sent once. */
  readonly body?: RequestBody;
  /** Headers for this request alone. Credentials are given to the `Couch`, which never shows them. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the connection's `timeout`, in milliseconds; 0 for as long as it takes. */
  readonly timeout?: number;
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
};

/** Makes the operation that sends a request as it is described, `base` before its path. */
export function request<T>(
  connection: Connection,
  options: RequestOptions,
  base = '',
): Operation<T> {
  const spec = toSpec(options, base);
  return new Operation(
    connection
      .send(() => {
        // What a user sends in a header of their own is as likely a key as not.
        connection.hide(Object.values(spec.headers ?? {}).filter((value) => value.length > 7));
        return spec;
      })
      .pipe(
        mergeMap((exchange) =>
          readBytes(exchange.body).pipe(
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

/** Reads an answer as what it says that it is. */
function decodeByType(bytes: Uint8Array, exchange: Exchange, codec: JsonCodec): unknown {
  const { 'content-type': type = '' } = exchange.headers;
  if (bytes.length === 0) return null;
  if (!JSON_TYPE.test(type)) {
    return /^text\//i.test(type) ? new TextDecoder().decode(bytes) : bytes;
  }
  try {
    return codec.parse(new TextDecoder().decode(bytes));
  } catch {
    // What the parser says quotes the answer, which may hold anything.
    const what = `the answer under status ${exchange.status} is not JSON, as it says it is`;
    throw protocolError(exchange.request, what, { transient: true });
  }
}

const JSON_TYPE = /^application\/([\w.-]+\+)?json\b/i;

function toSpec(options: RequestOptions, base: string): RequestSpec {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument('request: options', '{ path, … }', options);
  toBody(OPTIONS, options, 'request');
  const { path, query = {}, json, body, timeout } = options;
  const method = requireMethod(options.method ?? 'GET');
  requirePath(path);
  if (json !== undefined && body !== undefined)
    throw new TypeError('request: json and body exclude each other');
  if (json !== undefined) assertJson(json, 'request: json');
  if (body !== undefined && !isBody(body))
    throw invalidArgument('request: body', 'a string, bytes or an async iterable of bytes', body);
  if ((json ?? body) !== undefined && (method === 'GET' || method === 'HEAD'))
    throw new TypeError(`request: ${method} has no body; name another method`);
  if (timeout !== undefined && !(timeout >= 0))
    throw invalidArgument('request: timeout', 'milliseconds from 0', timeout, RangeError);
  return {
    method,
    path: base + withQuery(path, query),
    headers: requireHeaders(options.headers ?? {}),
    ...(json !== undefined && { json }),
    ...(body !== undefined && { body }),
    ...(timeout !== undefined && { timeout }),
  };
}

function requireMethod(method: unknown): string {
  if (typeof method === 'string' && /^[a-z]+$/i.test(method)) return method.toUpperCase();
  throw invalidArgument('request: method', 'the name of a method, as in PUT', method);
}

/** Refuses whatever could lead elsewhere than below the base: credentials go with the request. */
function requirePath(path: unknown): asserts path is string {
  if (typeof path !== 'string' || !path.startsWith('/') || path.startsWith('//')) {
    throw invalidArgument('request: path', 'a path that begins with one slash, and no URL', path);
  }
  // What is no printable ASCII should have been encoded; URL parsers take a backslash for a slash.
  if (!/^[!-~]*$/.test(path) || /[\\#]/.test(path)) {
    throw new TypeError(`request: path is not encoded: ${describeValue(path)}`);
  }
  const [above = ''] = path.split('?');
  if (above.split('/').some((part) => isDotSegment(part.replace(/%2e/gi, '.')))) {
    throw new TypeError(`request: path must not have '.' or '..' in it: ${describeValue(path)}`);
  }
}

function withQuery(path: string, query: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${segment(name)}=${segment(inQuery(value, name))}`);
  if (pairs.length === 0) return path;
  return `${path}${path.includes('?') ? '&' : '?'}${pairs.join('&')}`;
}

function inQuery(value: unknown, name: string): string {
  if (typeof value === 'string') return value;
  assertJson(value, `request: query: ${name}`);
  return JSON.stringify(value);
}

function requireHeaders(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      throw invalidArgument('request: headers', 'names', name);
    // The value may be a secret, and is not shown.
    if (typeof value !== 'string' || !/^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value))
      throw new TypeError(`request: headers: ${name} must be a string that a header can hold`);
    if (CREDENTIAL_HEADERS.includes(name.toLowerCase()))
      throw new TypeError(`request: headers: give credentials to the Couch, not as ${name}`);
    own[name.toLowerCase()] = value;
  }
  return own;
}

function isBody(body: unknown): boolean {
  if (typeof body === 'string' || ArrayBuffer.isView(body)) return true;
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
