import { ReplaySubject, asyncScheduler } from 'rxjs';
import type { Observable } from 'rxjs';
import type { RunHelpers } from 'rxjs/testing';
import type { TransportRequest } from '../http/transport.ts';
import type { Reply } from './reply.ts';

/** A request as a server of the kit sees it. */
export interface ServerRequest {
  readonly method: string;
  /** The path as one would write it, decoded; within a segment `/` stays `%2F`, and `%` `%25`. */
  readonly path: string;
  /** The query as it goes over the wire, decoded: `{ include_docs: 'true' }`. */
  readonly query: Readonly<Record<string, string>>;
  /** The body, read as JSON where it is any; null where there is none. */
  readonly body: unknown;
}

/** Reads a request as it comes to a transport. */
export function readRequest({ method, url, body }: TransportRequest): ServerRequest {
  const { pathname, searchParams } = new URL(url);
  return {
    method,
    path: `/${segmentsOf(pathname).map(escape).join('/')}`,
    query: Object.fromEntries(searchParams),
    body: readBody(body),
  };
}

/**
 * Makes what tells of requests. Who listens from a frame on hears of all requests of that frame,
 * whichever came first: a test need not mind in which order it expects things.
 */
export function requestLog(): ReplaySubject<ServerRequest> {
  return new ReplaySubject(Infinity, 1, asyncScheduler);
}

/** Splits a path into its segments, decoded. */
export function segmentsOf(path: string): string[] {
  return path
    .split('/')
    .filter((segment) => segment !== '')
    .map(decodeURIComponent);
}

/** Writes a request as its first line: `GET /orders/17?rev=1-a`. */
export function requestLine({ method, path, query }: ServerRequest): string {
  const parameters = Object.entries(query).map(([name, value]) => `${name}=${value}`);
  return `${method} ${path}${parameters.length === 0 ? '' : `?${parameters.join('&')}`}`;
}

/** What would be read as something else when the path is split again. */
function escape(segment: string): string {
  return segment.replaceAll('%', '%25').replaceAll('/', '%2F');
}

function readBody(body: TransportRequest['body']): unknown {
  if (body === undefined) return null;
  // A stream would have to be waited for; nobody who sends one sends JSON.
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return body;
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return body;
  }
}

/** What `cold` of a `TestScheduler` makes: it notes when it was subscribed to. */
export type ColdObservable = ReturnType<RunHelpers['cold']>;

/** What a route is answered with: marbles, a reply, or a value that is sent as JSON at once. */
export type Answer = Observable<unknown> | Reply | object;

/** What a route's function gets of a request besides the parts of its path. */
export interface RoutedRequest extends ServerRequest {
  /** How many requests this route has been asked, this one too. */
  readonly nth: number;
}

/** The parts of a path that its pattern names: `{ id: string }` for `'GET /orders/:id'`. */
export type PathParameters<Pattern extends string> = Pattern extends `${infer Path}?${string}`
  ? PathParameters<Path>
  : Pattern extends `${string}/:${infer Name}/${infer Rest}`
    ? { readonly [Key in Name]: string } & PathParameters<`/${Rest}`>
    : Pattern extends `${string}/:${infer Name}`
      ? { readonly [Key in Name]: string }
      : unknown;

/** Answers a request by what it is. */
export type Answering<Pattern extends string> = (
  parameters: PathParameters<Pattern>,
  request: RoutedRequest,
) => Answer;

/** A route of a `MarbleServer`, and what was asked of it. */
export class Route {
  readonly pattern: string;
  /** When its exchanges began and ended, for `expectSubscriptions`. */
  readonly subscriptions: ColdObservable['subscriptions'];
  /** @internal */
  readonly log: ColdObservable;
  readonly #requests$ = requestLog();
  readonly #matches: (request: ServerRequest) => Parts | null;
  readonly #answer: Answer;
  #asked = 0;

  /** @internal */
  constructor(pattern: string, answer: Answer, log: ColdObservable) {
    this.pattern = pattern;
    this.log = log;
    this.subscriptions = log.subscriptions;
    this.#matches = matcherOf(pattern);
    this.#answer = answer;
  }

  /** What is asked of this route. Hot. */
  get requests$(): Observable<ServerRequest> {
    return this.#requests$.asObservable();
  }

  /** Tells whether a request is for this route. */
  matches(request: ServerRequest): boolean {
    return this.#matches(request) !== null;
  }

  /** @internal */
  answer(request: ServerRequest): Answer {
    this.#asked += 1;
    this.#requests$.next(request);
    if (typeof this.#answer !== 'function') return this.#answer;
    const answering = this.#answer as (parts: Parts, request: RoutedRequest) => Answer;
    return answering(this.#matches(request) ?? {}, { ...request, nth: this.#asked });
  }
}

type Parts = Readonly<Record<string, string>>;

const PATTERN = /^([A-Z]+) (\/[^?]*)(?:\?(.*))?$/;

function matcherOf(pattern: string): (request: ServerRequest) => Parts | null {
  const [, method, path, query] = PATTERN.exec(pattern) ?? [];
  if (method === undefined || path === undefined) {
    throw new TypeError(`Not a route: ${JSON.stringify(pattern)}; it is like 'GET /orders/:id'`);
  }
  const wanted = segmentsOf(path);
  const parameters = [...new URLSearchParams(query)];
  return (request) => {
    if (request.method !== method) return null;
    if (parameters.some(([name, value]) => request.query[name] !== value)) return null;
    return partsOf(wanted, segmentsOf(request.path));
  };
}

function partsOf(wanted: readonly string[], found: readonly string[]): Parts | null {
  const parts: Record<string, string> = {};
  const open = wanted.at(-1) === '*';
  const fixed = open ? wanted.slice(0, -1) : wanted;
  if (open ? found.length < fixed.length : found.length !== fixed.length) return null;
  for (const [i, segment] of fixed.entries()) {
    const given = found[i] ?? '';
    if (!segment.startsWith(':')) {
      if (segment !== given) return null;
    } else {
      // A document is not meant where CouchDB's own _changes or _all_docs is asked.
      if (given.startsWith('_')) return null;
      parts[segment.slice(1)] = given;
    }
  }
  return parts;
}
