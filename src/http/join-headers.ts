import type { IncomingHttpHeaders } from 'node:http';
import type { ResponseHeaders } from './transport.ts';

/** Joins the headers that came more than once, as Node gives them: what both its transports do. */
export function joinHeaders(headers: IncomingHttpHeaders): ResponseHeaders {
  const joined: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) joined[name] = typeof value === 'string' ? value : value.join(', ');
  }
  return joined;
}
