import { defer, from, map, of, shareReplay } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { ANONYMOUS, basicAuthorization, bearerAuthorization, proxyAuthorization } from './auth.ts';
import type { Authorization, Credentials, ProxyCredentials } from './auth.ts';
import { CookieSession } from './cookie-session.ts';
import type { Exchange, RequestSpec } from './exchange.ts';

/** Credentials in use. */
export interface Identity {
  /** What is known of them without asking anybody; null where a request has to wait for it. */
  readonly present: Authorization | null;
  /** Emits what to send, once. */
  authorize(): Observable<Authorization>;
  /** After a 401: emits what to send instead; null where there is nothing else. */
  renew(refused: Authorization): Observable<Authorization> | null;
}

/** What credentials need of a connection. */
export interface Channel {
  readonly scheduler: SchedulerLike;
  /** Sends a request at each call and subscription, shown to come from whoever is given. */
  readonly ask: (spec: RequestSpec, authorization: Authorization) => Observable<Exchange>;
  /** Sees to it that these are never shown. */
  readonly hide: (secrets: readonly string[]) => void;
}

/**
 * Makes credentials ready for use; null is nobody in particular. Nothing is sent.
 *
 * @throws TypeError when a part is missing or is not what it must be.
 */
export function identify(credentials: Credentials | null, channel: Channel): Identity {
  if (credentials === null) return fixedIdentity(ANONYMOUS);
  if (typeof credentials !== 'object')
    throw new TypeError('auth must be credentials, or something that gives them');
  if ('session' in credentials) return new CookieSession(credentials, channel);
  const authorization =
    'bearer' in credentials
      ? bearerAuthorization(credentials.bearer)
      : 'proxy' in credentials
        ? proxyAuthorization(credentials)
        : basicAuthorization(credentials);
  channel.hide(authorization.secrets);
  return 'proxy' in credentials && credentials.proxy.secret !== undefined
    ? sealed(credentials.proxy, authorization, channel)
    : fixedIdentity(authorization);
}

function fixedIdentity(authorization: Authorization): Identity {
  return { present: authorization, authorize: () => of(authorization), renew: () => null };
}

/** A proxy's word with the token that shows that it is one; made once. */
function sealed(
  { username, secret = '' }: ProxyCredentials['proxy'],
  unsealed: Authorization,
  channel: Channel,
): Identity {
  const authorization$ = defer(() => from(hmac(secret, username))).pipe(
    map((token): Authorization => {
      channel.hide([token]);
      const headers = { ...unsealed.headers, 'x-auth-couchdb-token': token };
      return { headers, secrets: [...unsealed.secrets, token] };
    }),
    shareReplay({ bufferSize: 1, refCount: false }),
  );
  return { present: null, authorize: () => authorization$, renew: () => null };
}

/** The HMAC that CouchDB 3 asks for first: SHA-256, as hex. */
async function hmac(secret: string, text: string): Promise<string> {
  const bytes = new TextEncoder();
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', bytes.encode(secret), algorithm, false, [
    'sign',
  ]);
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes.encode(text)));
  return Array.from(signature, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
