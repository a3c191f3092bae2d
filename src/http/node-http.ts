import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { ConnectionError } from '../errors/connection-error.ts';
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

/** Makes the error of a request that needs a dependency which does not load. */
export function notLoaded(
  name: string,
  cause: Error & { readonly code?: string },
): ConnectionError {
  const hint = 'Install the dependencies of corduroy again';
  const message = `The package ${name} must be installed (received: ${cause.message}). ${hint}`;
  return new ConnectionError(message, { cause, code: cause.code ?? null, hint });
}
