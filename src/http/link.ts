import type { Observable } from 'rxjs';
import type { RequestSummary } from '../errors/corduroy-error.ts';
import type { Redact, Redactions, Redactor } from '../errors/redact.ts';
import type { RetryOptions } from '../operators/retry-policy.ts';
import { ANONYMOUS } from './auth.ts';
import type { Authorization } from './auth.ts';
import type { RequestBody, ResponseHeaders, TransportResponse, UploadSource } from './transport.ts';

/** How a request waits if the number of concurrent requests is limited: `high` goes first. */
export type Priority = 'high' | 'normal' | 'low';

/** A request as an operation describes it: a relative path, without credentials. */
export interface RequestSpec {
  /** @defaultValue 'GET' */
  readonly method?: string;
  /** The path with names in place of values, without a query: `/{db}/{docid}`. */
  readonly route: string;
  /** The path below the server's URL, encoded, with its query string. */
  readonly path: string;
  /** A body to encode as JSON. */
  readonly json?: unknown;
  /** A body to send unchanged. */
  readonly body?: RequestBody;
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the connection's `timeout`, in milliseconds. */
  readonly timeout?: number;
  /** Whether the response may never end, so that it must not occupy a socket of the pool. */
  readonly endless?: boolean;
  /** Whether the request changes nothing. @defaultValue true for GET and HEAD, else false */
  readonly reads?: boolean;
  /**
   * Whether a second request leaves the server as one does, and has the same response.
   * @defaultValue that of `reads`
   */
  readonly repeatable?: boolean;
  /** @defaultValue that of the connection */
  readonly priority?: Priority;
  /** Overrides the connection's `retry`. */
  readonly retry?: RetryOptions | false;
  /**
   * Tells whether a response outside 2xx is an answer, rather than an error. Redirects are not followed
   * then.
   */
  readonly isAnswer?: (status: number, headers: ResponseHeaders) => boolean;
  /** Secrets in the body, such as a new password. Errors mask them. */
  readonly secrets?: readonly string[];
  /** Values of headers that may be secret. Errors mask them, but not in paths. */
  readonly secretHeaders?: readonly string[];
}

/**
 * A request on its way through the links. It is immutable: a link passes a copy with its changes on,
 * for example `next({ ...request, headers: { ...request.headers, 'x-tenant': 'a' } })`.
 */
export interface LinkRequest {
  readonly method: string;
  /**
   * The path with names in place of values, without a query: `/{db}/{docid}`. It has no names of
   * databases and no ids, so that it can label a metric.
   */
  readonly route: string;
  /** The URL of the server or of a node, without credentials and without a final slash. */
  readonly server: string;
  /** The path below the server, encoded, with its query string. */
  readonly path: string;
  /** By lower-case name. Credentials follow later, so that links of the user do not see them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Encoded: JSON is text here. */
  readonly body: RequestBody | undefined;
  /** Whether the request changes nothing on the server. */
  readonly reads: boolean;
  /** Whether a second request leaves the server as one does, and has the same response. */
  readonly repeatable: boolean;
  /** Whether the response may never end, as that of a feed. */
  readonly endless: boolean;
  readonly priority: Priority;
  /** The longest time without data, in milliseconds; 0 disables it. */
  readonly timeout: number;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** @internal */
  readonly context: RequestContext;
}

/** Sends a request through the links that follow. Cold: each subscription sends it. */
export type Next = (request: LinkRequest) => Observable<TransportResponse>;

/**
 * A step that each request passes: it can change the request, the response or the error, answer by
 * itself, or send the request again.
 *
 * It returns an Observable that emits one response, and completes when its body has been read. As with
 * RxJS operators, unsubscribing from it must unsubscribe from `next(request)`, which aborts the request.
 *
 * @example
 * const tenant: Link = (request, next) =>
 *   next({ ...request, headers: { ...request.headers, 'x-tenant': 'a' } });
 * const couch = new Couch(url, { links: [tenant] });
 */
export type Link = (request: LinkRequest, next: Next) => Observable<TransportResponse>;

/** Combines links, the outermost first, and the function after the last one. */
export function chain(links: readonly Link[], last: Next): Next {
  return links.reduceRight<Next>((next, link) => (request) => link(request, next), last);
}

/** A response with what its reader needs to make errors. */
export interface Exchange extends TransportResponse {
  readonly request: RequestSummary;
  /** Masks the credentials of the connection and of this request. */
  readonly redact: Redact;
  /** The connection's limit. */
  readonly maxBodySize: number;
  /** The whole body, if it has been read. */
  readonly bytes?: Uint8Array;
}

/** Receives what happens to a request. */
export interface Activity {
  sent(request: LinkRequest): void;
  answered(status: number): void;
  retry(error: unknown, delay: number): void;
}

/** Passes the events of a request to all observers. */
class Activities implements Activity {
  readonly observers: Set<Activity> = new Set();

  sent(request: LinkRequest): void {
    for (const observer of this.observers) observer.sent(request);
  }

  answered(status: number): void {
    for (const observer of this.observers) observer.answered(status);
  }

  retry(error: unknown, delay: number): void {
    for (const observer of this.observers) observer.retry(error, delay);
  }
}

/** The state that the built-in links of one request share. Links of the user must not use it. */
export class RequestContext {
  readonly spec: RequestSpec;
  readonly retry: RetryOptions | false;
  /** Whether the reader needs the whole body, so that a truncated response can be retried. */
  readonly isWhole: boolean;
  /** The credentials of the present attempt. */
  authorization: Authorization = ANONYMOUS;
  /** Null if nothing observes the request. */
  activity: Activities | null = null;
  readonly source: UploadSource = { failure: null };
  readonly #redactor: Redactor;
  #redactions: Redactions | null = null;

  constructor(
    spec: RequestSpec,
    retry: RetryOptions | false,
    isWhole: boolean,
    redactor: Redactor,
  ) {
    this.spec = spec;
    this.retry = retry;
    this.isWhole = isWhole;
    this.#redactor = redactor;
    const { secrets = [], secretHeaders = [] } = spec;
    if (secrets.length > 0) redactor.hide(secrets, 'request');
    if (secretHeaders.length > 0) redactor.hide(secretHeaders, 'header');
  }

  readonly redact: Redact = (text, max) => this.redactions.text(text, max);

  get redactions(): Redactions {
    const { secrets = [], secretHeaders = [] } = this.spec;
    return (this.#redactions ??= this.#redactor.including(
      [...this.authorization.secrets, ...secrets],
      secretHeaders,
    ));
  }

  observe(activity: Activity): void {
    (this.activity ??= new Activities()).observers.add(activity);
  }

  unobserve(activity: Activity): void {
    this.activity?.observers.delete(activity);
  }

  /** Sets the credentials of the next attempt. */
  authorize(authorization: Authorization): void {
    if (this.authorization === authorization) return;
    this.authorization = authorization;
    this.#redactions = null;
  }
}

/** A request with its URL, which is made when an error shows it. */
export class SentRequest implements RequestSummary {
  readonly method: string;
  readonly #request: LinkRequest;

  constructor(request: LinkRequest) {
    this.method = request.method;
    this.#request = request;
  }

  /** Of clean parts: a base without userinfo, and a path without credentials. */
  get url(): string {
    const { server, path, context } = this.#request;
    return server + context.redactions.path(path);
  }
}

/** Returns the name of the database of a request; null for requests to the server itself. */
export function databaseOf({ route, path }: Pick<LinkRequest, 'route' | 'path'>): string | null {
  return route.startsWith('/{db}') ? decodeURIComponent(path.split(/[/?]/, 2)[1] ?? '') : null;
}
