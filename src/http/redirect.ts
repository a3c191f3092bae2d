import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { RedirectRefused } from '../errors/connection-error.ts';
import { guarded } from '../operators/to-observable.ts';
import { isRepeatableBody } from './transport.ts';
import type { Link, LinkRequest, Next } from './link.ts';
import type { TransportRequest, TransportResponse } from './transport.ts';

/** Follows at most so many redirects for one request. */
const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Follows redirects, unless the request takes them as an answer:
 *
 * - The target has the same origin: no body, header, cookie or credential reaches another one. Others
 *   error with a `RedirectRefused`.
 * - 301, 302, 307 and 308 keep the method and the body. 303 becomes GET without a body.
 */
export const redirectLink: Link = (request, next) =>
  request.context.spec.isAnswer === undefined
    ? new Observable((subscriber) => send(request, next, 0, subscriber))
    : next(request);

/** @param followed - The number of redirects that the request has followed. */
function send(
  request: LinkRequest,
  next: Next,
  followed: number,
  subscriber: Subscriber<TransportResponse>,
): void {
  const attempt = guarded<TransportResponse>(subscriber, {
    next: (response) => {
      const { status, headers } = response;
      const { location } = headers;
      if (location === undefined || !REDIRECTS.has(status)) {
        subscriber.next(response);
        return;
      }
      // The body of a redirect may never end.
      attempt.unsubscribe();
      send(redirected(status, location, request, followed), next, followed + 1, subscriber);
    },
    complete: () => subscriber.complete(),
  });
  next(request).subscribe(attempt);
}

/**
 * Returns the request that a response redirects to.
 *
 * @throws RedirectRefused if Corduroy does not follow.
 */
function redirected(
  status: number,
  location: string,
  request: LinkRequest,
  followed: number,
): LinkRequest {
  const { method, server, path } = request;
  const url = server + path;
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
  const next = { ...request, server: target.origin, path: target.pathname + target.search };
  if (status === 303 && method !== 'GET' && method !== 'HEAD') {
    const { 'content-type': _type, 'content-length': _length, ...headers } = request.headers;
    return { ...next, method: 'GET', headers, body: undefined };
  }
  if (!isRepeatableBody(request.body))
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
