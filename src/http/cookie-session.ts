import {
  catchError,
  defer,
  from,
  map,
  mergeMap,
  of,
  share,
  shareReplay,
  tap,
  throwError,
} from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { isForbidden, isNotFound, isUnauthorized } from '../errors/http-error.ts';
import {
  ANONYMOUS,
  basicAuthorization,
  bearerAuthorization,
  nameAndPassword,
  proxyAuthorization,
} from './auth.ts';
import type {
  Authorization,
  BasicCredentials,
  Credentials,
  ProxyCredentials,
  SessionCredentials,
} from './auth.ts';
import { readExchange } from './exchange.ts';
import type { Exchange, ReadExchange, RequestSpec } from './exchange.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

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
    ? signProxyToken(credentials.proxy, authorization, channel)
    : fixedIdentity(authorization);
}

function fixedIdentity(authorization: Authorization): Identity {
  return { present: authorization, authorize: () => of(authorization), renew: () => null };
}

/** A proxy's word with the token that shows that it is one; made once. */
function signProxyToken(
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

/** How long a session lasts where its cookie does not say, in milliseconds: CouchDB's default. */
const UNTOLD = 600_000;
/** The part of its life after which a cookie is replaced. */
const RENEWAL = 0.9;
/**
 * How long a name and password that were refused are not tried again, in milliseconds. CouchDB locks
 * an account out after five failures in five minutes; this makes four.
 */
const REFUSED = 90_000;

/**
 * A name and password by which one logs in for a cookie.
 *
 * Logs in when a request needs it, and one login serves all who wait. It sets no timer: the first
 * request after nine tenths of the cookie's life logs in before it is sent. Where the platform shows
 * no cookie, as in browsers, it keeps them itself, and all that is known is that there is one.
 */
export class CookieSession implements Identity {
  /** What shows who asks without a cookie: for servers that replicate, or have no sessions. */
  readonly present: Authorization;
  readonly #channel: Channel;
  readonly #interval: number;
  readonly #login$: Observable<ReadExchange>;
  #ticket: Authorization | null = null;
  #loggedIn = -Infinity;
  #renewal = -Infinity;
  #end = -Infinity;
  #refusal: { readonly error: unknown; readonly until: number } | null = null;

  constructor({ session, loginInterval = 5_000 }: SessionCredentials, channel: Channel) {
    if (!(loginInterval >= 0)) {
      throw invalidArgument('auth.loginInterval', 'milliseconds from 0', loginInterval, RangeError);
    }
    const basic = nameAndPassword(session, 'auth.session');
    this.present = basicAuthorization(basic);
    this.#channel = channel;
    this.#interval = loginInterval;
    this.#login$ = defer(() => this.#ask(basic)).pipe(share());
    channel.hide(this.present.secrets);
  }

  /** The cookie of now, old as it may be; null where there is none. */
  get ticket(): Authorization | null {
    return this.#ticket;
  }

  authorize(): Observable<Authorization> {
    const now = this.#now;
    const ticket = this.#ticket;
    if (ticket !== null && now < this.#renewal) return of(ticket);
    const renewed = this.#logIn();
    // A cookie that still holds is as good as a new one that cannot be had.
    return ticket !== null && now < this.#end
      ? renewed.pipe(catchError(() => of(ticket)))
      : renewed;
  }

  renew(refused: Authorization): Observable<Authorization> | null {
    // Sent with a cookie that has been replaced meanwhile.
    if (refused !== this.#ticket) return this.authorize();
    // Whatever it is that the server does not like, it is not the cookie's age.
    if (this.#now - this.#loggedIn < this.#interval || refused === this.present) return null;
    this.#ticket = null;
    return this.#logIn();
  }

  /** Logs in whatever there was before; emits the answer. One login serves all who ask. */
  logIn(): Observable<ReadExchange> {
    return this.#login$;
  }

  get #now(): number {
    return this.#channel.scheduler.now();
  }

  #logIn(): Observable<Authorization> {
    return defer(() => {
      const refusal = this.#refusal;
      if (refusal !== null && this.#now < refusal.until) return throwError(() => refusal.error);
      return this.#login$.pipe(
        map(() => undefined),
        catchError((error: unknown) => {
          if (!isNotFound(error)) return throwError(() => error);
          // A server without sessions takes the name and password with each request.
          this.#ticket = this.present;
          this.#renewal = this.#end = Infinity;
          return of(undefined);
        }),
        map(() => this.#ticket ?? this.present),
      );
    });
  }

  #ask({ username: name, password }: BasicCredentials): Observable<ReadExchange> {
    let cookie: string | undefined;
    const onCookie = (header: string): void => {
      cookie = header;
    };
    const spec = { method: 'POST', path: '/_session', json: { name, password } };
    return this.#channel.ask(spec, { ...ANONYMOUS, cookies: true, onCookie }).pipe(
      mergeMap(readExchange),
      tap(() => {
        this.#refusal = null;
        this.#loggedIn = this.#now;
        this.#ticket = this.#makeTicket(cookie);
      }),
      catchError((error: unknown) => {
        if (isUnauthorized(error) || isForbidden(error)) {
          this.#refusal = { error, until: this.#now + Math.max(REFUSED, this.#interval) };
        }
        return throwError(() => error);
      }),
    );
  }

  #makeTicket(header: string | undefined): Authorization {
    const { basic, secrets } = this.present;
    const base = { secrets, ...(basic !== undefined && { basic }) };
    const { value, life } = readCookie(header);
    this.#end = this.#now + life;
    this.#renewal = this.#now + RENEWAL * life;
    if (value === '') return { ...base, headers: {}, cookies: true };
    const ticket: Authorization = {
      headers: { cookie: `AuthSession=${value}` },
      secrets: [...secrets, value],
      ...(basic !== undefined && { basic }),
      // CouchDB renews a cookie that is in use by itself; but what follows an old one is old.
      onCookie: (renewed) => {
        if (this.#ticket !== ticket || readCookie(renewed).value === '') return;
        this.#ticket = this.#makeTicket(renewed);
      },
    };
    // Those of the name and password once more, so that no line of cookies pushes them out.
    this.#channel.hide(ticket.secrets);
    return ticket;
  }
}

/** Reads CouchDB's cookie out of a header in which others may stand, joined by commas. */
function readCookie(header = ''): { readonly value: string; readonly life: number } {
  const [, value = '', rest = ''] = /AuthSession=([^;,]*)([^]*)/i.exec(header) ?? [];
  const [attributes = ''] = rest.split(/,\s*[\w-]+=/);
  const [, seconds] = /max-age=(\d+)/i.exec(attributes) ?? [];
  return { value, life: seconds === undefined ? UNTOLD : Number(seconds) * 1000 };
}
