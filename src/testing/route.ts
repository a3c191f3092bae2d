import type { JsonCodec } from '../model/json.ts';
import { ReplaySubject, asyncScheduler } from 'rxjs';
import type { Observable } from 'rxjs';
import type { RunHelpers } from 'rxjs/testing';
import type { TransportRequest } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { Reply } from './reply.ts';

/** A request as a test server receives it. */
export interface ServerRequest {
  readonly method: string;
  /** The path, decoded. Within a segment, `/` stays `%2F` and `%` stays `%25`. */
  readonly path: string;
  /** The query as sent, decoded: `{ include_docs: 'true' }`. */
  readonly query: Readonly<Record<string, string>>;
  /** The body: parsed if it is JSON, null if there is none. */
  readonly body: unknown;
}

/** Converts a request of a transport. */
export function readRequest(
  { method, url, body }: TransportRequest,
  codec: JsonCodec = JSON,
): ServerRequest {
  const { pathname, searchParams } = new URL(url);
  return {
    method,
    path: `/${segmentsOf(pathname).map(escape).join('/')}`,
    query: Object.fromEntries(searchParams),
    body: readBody(body, codec),
  };
}

/**
 * Returns a subject that emits requests. It replays the requests of the current frame, so that the
 * order of expectations in a test does not matter.
 */
export function requestLog(): ReplaySubject<ServerRequest> {
  return new ReplaySubject(Infinity, 1, asyncScheduler);
}

/** Splits a path into decoded segments. */
export function segmentsOf(path: string): string[] {
  return path
    .split('/')
    .filter((segment) => segment !== '')
    .map(decode);
}

/** Decodes a segment. One that is not encoded properly stays as it is, as in CouchDB. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Formats a request as a line: `GET /orders/17?rev=1-a`. */
export function requestLine({ method, path, query }: ServerRequest): string {
  const parameters = Object.entries(query).map(([name, value]) => `${name}=${value}`);
  return `${method} ${path}${parameters.length === 0 ? '' : `?${parameters.join('&')}`}`;
}

/** Escapes the characters that a second split of the path would misread. */
function escape(segment: string): string {
  return segment.replaceAll('%', '%25').replaceAll('/', '%2F');
}

function readBody(body: TransportRequest['body'], codec: JsonCodec): unknown {
  if (body === undefined) return null;
  // Corduroy sends JSON as text or bytes. Any other body is a stream.
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return body;
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body);
  try {
    return codec.parse(text);
  } catch {
    return body;
  }
}

/** The type that `cold` of a `TestScheduler` returns. It records its subscriptions. */
export type ColdObservable = ReturnType<RunHelpers['cold']>;

/** The answer of a route: marbles, a reply, or a value that is sent as JSON at once. */
export type Answer = Observable<unknown> | Reply | object;

/** The request that a route's function receives. */
export interface RoutedRequest extends ServerRequest {
  /** The number of this request on its route, from 1. */
  readonly nth: number;
}

/** The named parameters of a path: `{ id: string }` for `'GET /orders/:id'`. */
export type PathParameters<Pattern extends string> = Pattern extends `${infer Path}?${string}`
  ? PathParameters<Path>
  : Pattern extends `${string}/:${infer Name}/${infer Rest}`
    ? { readonly [Key in Name]: string } & PathParameters<`/${Rest}`>
    : Pattern extends `${string}/:${infer Name}`
      ? { readonly [Key in Name]: string }
      : unknown;

/** Returns the answer to a request. */
export type Answering<Pattern extends string> = (
  parameters: PathParameters<Pattern>,
  request: RoutedRequest,
) => Answer;

/** A route of a `MarbleServer`, and its requests. */
export class Route {
  readonly pattern: string;
  /** @internal */
  readonly log: ColdObservable | undefined;
  readonly #requests$ = requestLog();
  readonly #matches: (request: ServerRequest) => PathValues | null;
  readonly #answer: Answer;
  #requestCount = 0;

  /** @internal */
  constructor(pattern: string, answer: Answer, log: ColdObservable | undefined) {
    this.pattern = pattern;
    this.log = log;
    this.#matches = matcherOf(pattern);
    this.#answer = answer;
  }

  /**
   * When its exchanges began and ended, for `expectSubscriptions`.
   *
   * @throws TypeError on a server that was made without the helpers of a marble test.
   */
  get subscriptions(): ColdObservable['subscriptions'] {
    if (this.log !== undefined) return this.log.subscriptions;
    throw new TypeError(
      `${this.pattern}: only a marble test records subscriptions; use the server of marbleTests`,
    );
  }

  /** Emits the requests of this route. Hot. */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** Returns whether a request matches this route. */
  matches(request: ServerRequest): boolean {
    return this.#matches(request) !== null;
  }

  /** @internal */
  answer(request: ServerRequest): Answer {
    this.#requestCount += 1;
    this.#requests$.next(request);
    if (typeof this.#answer !== 'function') return this.#answer;
    const answering = this.#answer as (parameters: PathValues, request: RoutedRequest) => Answer;
    return answering(this.#matches(request) ?? {}, { ...request, nth: this.#requestCount });
  }
}

type PathValues = Readonly<Record<string, string>>;

const PATTERN = /^([A-Z]+) (\/[^?]*)(?:\?(.*))?$/;

function matcherOf(pattern: string): (request: ServerRequest) => PathValues | null {
  const [, method, path, query] = PATTERN.exec(pattern) ?? [];
  if (method === undefined || path === undefined) {
    throw invalidArgument('route', "a method and a path, for example 'GET /orders/:id'", pattern);
  }
  const expected = segmentsOf(path);
  const parameters = [...new URLSearchParams(query)];
  return (request) => {
    if (request.method !== method) return null;
    if (parameters.some(([name, value]) => request.query[name] !== value)) return null;
    return pathValuesOf(expected, segmentsOf(request.path));
  };
}

function pathValuesOf(expected: readonly string[], segments: readonly string[]): PathValues | null {
  const values: Record<string, string> = {};
  const hasWildcard = expected.at(-1) === '*';
  const fixed = hasWildcard ? expected.slice(0, -1) : expected;
  if (hasWildcard ? segments.length < fixed.length : segments.length !== fixed.length) return null;
  for (const [i, pattern] of fixed.entries()) {
    const segment = segments[i] ?? '';
    if (!pattern.startsWith(':')) {
      if (pattern !== segment) return null;
    } else {
      // `:id` means a document, and must not match endpoints such as _changes and _all_docs.
      if (segment.startsWith('_')) return null;
      values[pattern.slice(1)] = segment;
    }
  }
  return values;
}
