import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { RequestBody, ResponseHeaders } from './transport.ts';

/** Joins the headers that came more than once, as Node gives them: what both its transports do. */
export function joinHeaders(headers: IncomingHttpHeaders): ResponseHeaders {
  const joined: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) joined[name] = typeof value === 'string' ? value : value.join(', ');
  }
  return joined;
}

/** A body as Node's clients take it. */
export type Upload = string | Uint8Array | Readable | undefined;

/** Makes a stream of a body that comes in pieces, so that it can be destroyed. */
export function toUpload(body: RequestBody | undefined): Upload {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return body;
  return body instanceof Readable ? body : Readable.from(body, { objectMode: false });
}
