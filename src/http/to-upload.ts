import { Readable } from 'node:stream';
import type { RequestBody } from './transport.ts';

/** A body as Node's clients take it. */
export type Upload = string | Uint8Array | Readable | undefined;

/** Makes a stream of a body that comes in pieces, so that it can be destroyed. */
export function toUpload(body: RequestBody | undefined): Upload {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return body;
  return body instanceof Readable ? body : Readable.from(body, { objectMode: false });
}
