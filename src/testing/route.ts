import type { Observable } from 'rxjs';
import type { RunHelpers } from 'rxjs/testing';
import type { Reply } from './reply.ts';
import { requestLog, segmentsOf } from './request.ts';
import type { ServerRequest } from './request.ts';

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
