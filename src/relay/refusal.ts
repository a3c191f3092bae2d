import type { ServerResponse } from 'node:http';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { isForbidden, isNotFound, isUnauthorized } from '../errors/http-error.ts';

/** An answer that is complete: one of CouchDB, or an error of the relay. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly text: string;
}

/** The head of an error that the relay makes itself. */
export function refusal(
  status: number,
  error: string,
  reason: string,
  headers: Readonly<Record<string, string>> = {},
): Refusal {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    text: `${JSON.stringify({ error, reason })}\n`,
  };
}

/** Sends an answer that is complete. */
export function sendAnswer(response: ServerResponse, { status, headers, text }: Refusal): void {
  const { 'content-length': _, ...others } = headers;
  response.writeHead(status, { ...others, 'content-length': Buffer.byteLength(text) });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}

export const CLOSING = 'This relay is about to end.';
export const LATER: Readonly<Record<string, string>> = { 'retry-after': '2', connection: 'close' };

const BAD_BODIES = {
  400: ['bad_request', 'The body was read before the relay got the request: pass it on unread.'],
  408: ['timeout', 'The body did not arrive in time.'],
  413: ['too_large', 'the request entity is too large'],
} as const;

/** Refuses a body that is too long, too slow, or gone. */
export function badBody(status: keyof typeof BAD_BODIES): Refusal {
  const [error, reason] = BAD_BODIES[status];
  return refusal(status, error, reason, { connection: 'close' });
}

/** The error of listeners when a feed has not heard of CouchDB for too long. */
export const BLIND: CorduroyError = new Error(
  'The relay has not heard of CouchDB for too long.',
) as CorduroyError;

/** Tells a listener why it cannot have its feed. */
export function toRefusal(error: unknown): Refusal {
  if (isNotFound(error)) return refusal(404, 'not_found', 'The database does not exist.');
  if (isUnauthorized(error) || isForbidden(error)) {
    const reason = 'The relay itself may not read this database: give it credentials that may.';
    return refusal(502, 'bad_gateway', reason);
  }
  const reason = error === BLIND ? BLIND.message : 'CouchDB cannot be reached at present.';
  return refusal(503, 'service_unavailable', reason, { 'retry-after': '2' });
}
