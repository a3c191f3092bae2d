import { RedirectRefused } from '../errors/connection-error.ts';
import type { TransportRequest } from './transport.ts';

/** Follows at most so many redirects for one request. */
const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Returns the request that a response redirects to, or null if the response is no redirect. All
 * transports follow redirects by these rules:
 *
 * - The target has the same origin: no body, header, cookie or credential reaches another one.
 * - 301, 302, 307 and 308 keep the method and the body. 303 becomes GET without a body.
 *
 * @param location - The header of the response.
 * @param followed - The number of redirects that the request has followed.
 * @throws RedirectRefused for any other redirect.
 */
export function redirectedRequest(
  status: number,
  location: string | undefined,
  request: TransportRequest,
  followed: number,
): TransportRequest | null {
  if (location === undefined || !REDIRECTS.has(status) || request.followRedirects === false)
    return null;
  const { method, url, body } = request;
  const { origin: from } = new URL(url);
  const refused = (problem: string, to: string | null): RedirectRefused =>
    new RedirectRefused({ from, to, problem }, { method, url });
  let target: URL;
  try {
    target = new URL(location, url);
  } catch {
    throw refused('its Location is not a URL', null);
  }
  if (target.protocol !== 'http:' && target.protocol !== 'https:')
    throw refused('its Location is not an http or https URL', null);
  if (target.origin !== from) throw refused('it leads to another origin', target.origin);
  if (followed >= MAX_REDIRECTS)
    throw refused(`it is the ${MAX_REDIRECTS + 1}th in a row`, target.origin);
  // Without userinfo, which would replace the credentials.
  const next = { ...request, url: target.origin + target.pathname + target.search };
  if (status === 303 && method !== 'GET' && method !== 'HEAD') {
    const { 'content-type': _type, ...headers } = request.headers;
    return { ...next, method: 'GET', headers, body: undefined };
  }
  if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array))
    throw refused('the body is a stream, which cannot be sent twice', target.origin);
  return next;
}

/**
 * Checks the URL of a response that a browser redirected by itself.
 *
 * @param answered - The URL of the response; empty if the platform does not tell it.
 * @throws RedirectRefused if it has another origin than the request.
 */
export function requireSameOrigin(
  answered: string | null,
  { method, url }: TransportRequest,
): void {
  if (answered === null || answered === '') return;
  const { origin: from } = new URL(url);
  const { origin: to } = new URL(answered, url);
  if (to === from) return;
  throw new RedirectRefused({ from, to, problem: 'it leads to another origin' }, { method, url });
}

/** Makes the error for a redirect whose target a browser hides. */
export function hiddenRedirect({ method, url }: TransportRequest): RedirectRefused {
  const problem =
    'a browser hides where it leads, so a request with a body, cookies or own headers does not follow';
  return new RedirectRefused({ from: new URL(url).origin, to: null, problem }, { method, url });
}

/** Makes the error for a 101, whose body would never end. */
export function switchedProtocols(): Error {
  return new Error('the server switched protocols (status 101)');
}
