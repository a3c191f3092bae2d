import { ReplaySubject, asyncScheduler } from 'rxjs';
import type { TransportRequest } from '../http/transport.ts';

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
