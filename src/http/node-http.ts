import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { RequestBody, ResponseHeaders } from './transport.ts';

/** Converts Node's headers: joins the values of repeated headers. */
export function joinHeaders(headers: IncomingHttpHeaders): ResponseHeaders {
  const joined: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) joined[name] = typeof value === 'string' ? value : value.join(', ');
  }
  return joined;
}

/** A request body in the forms that Node's HTTP clients accept. */
export type Upload = string | Uint8Array | Readable | undefined;

/** Converts an async iterable body to a stream, which can be destroyed. */
export function toUpload(body: RequestBody | undefined): Upload {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return body;
  return body instanceof Readable ? body : Readable.from(body, { objectMode: false });
}
