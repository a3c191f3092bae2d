import {
  EMPTY,
  catchError,
  defer,
  ignoreElements,
  map,
  mergeMap,
  of,
  share,
  tap,
  throwError,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { isAccountLocked, isForbidden, isNotFound, isUnauthorized } from '../errors/http-error.ts';
import {
  ANONYMOUS,
  basicAuthorization,
  bearerAuthorization,
  nameAndPassword,
  proxyAuthorization,
} from './auth.ts';
import type { Authorization, BasicCredentials, Credentials, SessionCredentials } from './auth.ts';
import { readExchange } from './exchange.ts';
import type { ReadExchange } from './exchange.ts';
import { fixedIdentity, signProxyToken } from './identity.ts';
import type { Channel, Identity } from './identity.ts';
import { SESSION } from './url.ts';
import { clock, duration } from '../operators/time.ts';

/**
 * Validates credentials; `null` means anonymous. Sends nothing.
 *
 * @throws TypeError if a part is missing or invalid.
 */
export function createIdentity(credentials: Credentials | null, channel: Channel): Identity {
  if (credentials === null) return fixedIdentity(ANONYMOUS, channel);
  if (typeof credentials !== 'object')
    throw new TypeError(
      `auth must be credentials, a Promise, a function or an Observable (received ${typeof credentials})`,
    );
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
    : fixedIdentity(authorization, channel);
}

/** The lifetime of a cookie without `max-age`, in milliseconds: CouchDB's default. */
const DEFAULT_LIFETIME = 600_000;
/** The fraction of its lifetime after which a cookie is renewed. */
const RENEWAL_FRACTION = 0.9;
/**
 * The time without a new login after a refused one, in milliseconds. CouchDB locks an account after
 * five failures in five minutes; this allows four.
 */
const LOGIN_LOCKOUT = 90_000;

/**
 * A name and password with the cookie of their session.
 *
 * Logs in when a request needs a cookie; concurrent requests share one login. It sets no timer: the
 * first request after nine tenths of the cookie's lifetime logs in before it is sent. Browsers keep
 * the cookie themselves and hide its value from scripts.
 */
export class CookieSession implements Identity {
  /** Basic authorization: for replications, and for servers without sessions. */
  readonly immediate: Authorization;
  readonly fixed = null;
  readonly #channel: Channel;
  readonly #interval: number;
  readonly #login$: Observable<ReadExchange>;
  #cookie: Authorization | null = null;
  #loginTime = -Infinity;
  #renewalTime = -Infinity;
  #expiry = -Infinity;
  #refusal: { readonly error: unknown; readonly until: number } | null = null;

  constructor({ session, loginInterval = 5_000 }: SessionCredentials, channel: Channel) {
    duration(loginInterval, 'auth.loginInterval');
    const basic = nameAndPassword(session, 'auth.session');
    this.immediate = basicAuthorization(basic);
    this.#channel = channel;
    this.#interval = loginInterval;
    this.#login$ = defer(() => this.#requestCookie(basic)).pipe(share());
    channel.hide(this.immediate.secrets);
  }

  /** The current cookie, which may have expired; null if there is none. */
  get cookie(): Authorization | null {
    return this.#cookie;
  }

  /** Whether the browser keeps the cookie, and hides it from scripts. */
  get isKeptByBrowser(): boolean {
    return this.#cookie?.cookies === true;
  }

  authorize(): Observable<Authorization> {
    const now = this.#now;
    const cookie = this.#cookie;
    if (cookie !== null && now < this.#renewalTime) return of(cookie);
    const renewed$ = this.#logIn();
    // If the login fails, a cookie that has not expired is still valid.
    return cookie !== null && now < this.#expiry
      ? renewed$.pipe(catchError(() => of(cookie)))
      : renewed$;
  }

  renew(refused: Authorization): Observable<Authorization> | null {
    // The cookie has been replaced while the request was in flight.
    if (refused !== this.#cookie) return this.authorize();
    // A new cookie was refused, so another login would not help.
    if (this.#now - this.#loginTime < this.#interval || refused === this.immediate) return null;
    this.#cookie = null;
    return this.#logIn();
  }

  /** Logs in, even with a valid cookie. Emits the response. Concurrent subscribers share one login. */
  logIn(): Observable<ReadExchange> {
    return this.#login$;
  }

  /** Logs in again if the browser has lost the cookie. Requests wait for it. Completes, never errors. */
  restore(): Observable<never> {
    return defer(() => {
      if (!this.isKeptByBrowser) return EMPTY;
      this.#cookie = null;
      return this.#login$.pipe(
        ignoreElements(),
        catchError(() => EMPTY),
      );
    });
  }

  get #now(): number {
    return clock(this.#channel.scheduler)();
  }

  #logIn(): Observable<Authorization> {
    return defer(() => {
      const refusal = this.#refusal;
      if (refusal !== null && this.#now < refusal.until) return throwError(() => refusal.error);
      return this.#login$.pipe(
        map(() => undefined),
        catchError((error: unknown) => {
          if (!isNotFound(error)) return throwError(() => error);
          // The server has no sessions, so each request sends the name and password.
          this.#cookie = this.immediate;
          this.#renewalTime = this.#expiry = Infinity;
          return of(undefined);
        }),
        map(() => this.#cookie ?? this.immediate),
      );
    });
  }

  #requestCookie({ username: name, password }: BasicCredentials): Observable<ReadExchange> {
    let setCookie: string | undefined;
    const onCookie = (header: string): void => {
      setCookie = header;
    };
    const { secrets } = this.immediate;
    const json = { name, password };
    const spec = { ...SESSION, method: 'POST', repeatable: true, json, secrets };
    return this.#channel.send(spec, { ...ANONYMOUS, cookies: true, onCookie }).pipe(
      mergeMap(readExchange),
      tap(() => {
        this.#refusal = null;
        this.#loginTime = this.#now;
        this.#cookie = this.#readSetCookie(setCookie);
      }),
      catchError((error: unknown) => {
        // A locked account is not refused: the same password works when the lock has ended.
        if (isUnauthorized(error) || (isForbidden(error) && !isAccountLocked(error))) {
          this.#refusal = { error, until: this.#now + Math.max(LOGIN_LOCKOUT, this.#interval) };
        }
        return throwError(() => error);
      }),
    );
  }

  /** Reads a `set-cookie` header, and records when its cookie expires. */
  #readSetCookie(header: string | undefined): Authorization {
    const { basic, secrets } = this.immediate;
    const base = { secrets, ...(basic !== undefined && { basic }) };
    const { value, lifetime } = parseCookie(header);
    this.#expiry = this.#now + lifetime;
    this.#renewalTime = this.#now + RENEWAL_FRACTION * lifetime;
    if (value === '') return { ...base, headers: {}, cookies: true };
    const cookie: Authorization = {
      headers: { cookie: `AuthSession=${value}` },
      secrets: [...secrets, value],
      ...(basic !== undefined && { basic }),
      // CouchDB renews a cookie in use. The renewal of a replaced cookie is ignored.
      onCookie: (renewed) => {
        if (this.#cookie !== cookie || parseCookie(renewed).value === '') return;
        this.#cookie = this.#readSetCookie(renewed);
      },
    };
    // Includes the password, so that the cookies do not displace it from the recent secrets.
    this.#channel.hide(cookie.secrets);
    return cookie;
  }
}

/** Parses CouchDB's cookie in a header that may hold other cookies too, joined by commas. */
function parseCookie(header = ''): { readonly value: string; readonly lifetime: number } {
  // A quoted value may contain commas, and text that looks like a cookie.
  const unquoted = header.replace(/"[^"]*"/g, '');
  const [, value = '', rest = ''] = /(?:^|,)\s*AuthSession=([^;,]*)([^]*)/.exec(unquoted) ?? [];
  const [attributes = ''] = rest.split(/,\s*[\w-]+=/);
  const [, seconds] = /max-age=(\d+)/i.exec(attributes) ?? [];
  return { value, lifetime: seconds === undefined ? DEFAULT_LIFETIME : Number(seconds) * 1000 };
}
