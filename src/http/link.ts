import type { Observable } from 'rxjs';
import type { RequestSummary } from '../errors/corduroy-error.ts';
import type { Redact } from '../errors/redact.ts';
import type { Authorization } from './auth.ts';
import type { RequestBody, ResponseHeaders, TransportResponse } from './transport.ts';

/** How a request waits if the number of concurrent requests is limited: `high` goes first. */
export type Priority = 'high' | 'normal' | 'low';

/**
 * A request on its way through the links. Immutable: a link passes a copy with its changes on, such as
 * `next({ ...request, headers: { ...request.headers, 'x-tenant': 'a' } })`.
 */
export interface LinkRequest {
  readonly method: string;
  /** The path with names in place of values: `/{db}/{docid}`. It names the operation, with `method`. */
  readonly route: string;
  /** The URL of the server or of a node, without credentials and without a final slash. */
  readonly server: string;
  /** The path below the server, encoded, with its query string. */
  readonly path: string;
  /** By lower-case name. Authentication adds the credentials after the links of the user. */
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
}

/** A response whose head has arrived. */
export interface Exchange extends TransportResponse {
  /** @internal */
  readonly request: RequestSummary;
  /** @internal */
  readonly redact: Redact;
  /** @internal */
  readonly maxBodySize: number;
}

/** Sends a request through the links that follow, at each subscription. */
export type Next = (request: LinkRequest) => Observable<Exchange>;

/**
 * A step that requests pass through: it can change the request, its response or its error, answer by
 * itself, or send the request again.
 *
 * The Observable that a link returns is cold, and emits one response. The link passes unsubscribing on,
 * as all operators of RxJS do.
 */
export type Link = (request: LinkRequest, next: Next) => Observable<Exchange>;

/** Combines links, the outermost first, with the function that follows the last one. */
export function chain(links: readonly Link[], last: Next): Next {
  return links.reduceRight<Next>((next, link) => (request) => link(request, next), last);
}
