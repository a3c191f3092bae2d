import {
  EMPTY,
  Observable,
  Subject,
  catchError,
  defer,
  endWith,
  from,
  ignoreElements,
  map,
  merge,
  mergeMap,
  of,
  repeat,
  shareReplay,
  take,
  throwError,
} from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { isWrongPassword } from '../errors/from-response.ts';
import { isAccountLocked, isHTTPError, isUnauthorized } from '../errors/http-error.ts';
import { after, clock } from '../operators/time.ts';
import type { Authorization, ProxyCredentials } from './auth.ts';
import { readExchange } from './exchange.ts';
import type { ReadExchange } from './exchange.ts';
import type { Exchange, RequestSpec } from './link.ts';
import { SESSION } from './url.ts';

/** Validated credentials, ready for use. */
export interface Identity {
  /** The authorization that is available without waiting; null if a request must wait for it. */
  readonly immediate: Authorization | null;
  /** The authorization of every request; null if `authorize` must be called for each. */
  readonly fixed: Authorization | null;
  /** Emits the authorization for a request, once. */
  authorize(): Observable<Authorization>;
  /** After a 401: emits another authorization. Returns null if there is none. */
  renew(refused: Authorization): Observable<Authorization> | null;
  /** Sends a request with this authorization, as soon as that cannot lock the account. */
  guard?<T>(exchange: Observable<T>): Observable<T>;
}

/** The methods of a connection that credentials use. */
export interface Channel {
  readonly scheduler: SchedulerLike;
  /** Sends a request with the given authorization, at each subscription. */
  readonly send: (spec: RequestSpec, authorization: Authorization) => Observable<Exchange>;
  /** Masks secrets in all errors from now on. */
  readonly hide: (secrets: readonly string[]) => void;
}

/** Returns the identity of credentials that stay as they are. */
export function fixedIdentity(authorization: Authorization, channel: Channel): Identity {
  if (authorization.basic !== undefined) return new PasswordIdentity(authorization, channel);
  return {
    immediate: authorization,
    fixed: authorization,
    authorize: () => of(authorization),
    renew: () => null,
  };
}

/** Adds the token to the headers of proxy authentication. It is computed once. */
export function signProxyToken(
  { username, secret = '' }: ProxyCredentials['proxy'],
  unsigned: Authorization,
  channel: Channel,
): Identity {
  const authorization$ = defer(() => from(hmac(secret, username))).pipe(
    map((token): Authorization => {
      channel.hide([token]);
      const headers = { ...unsigned.headers, 'x-auth-couchdb-token': token };
      return { headers, secrets: [...unsigned.secrets, token] };
    }),
    shareReplay({ bufferSize: 1, refCount: false }),
  );
  return { immediate: null, fixed: null, authorize: () => authorization$, renew: () => null };
}

/** Returns the HMAC with SHA-256 as hex: CouchDB 3's first choice. */
async function hmac(secret: string, text: string): Promise<string> {
  const encoder = new TextEncoder();
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), algorithm, false, [
    'sign',
  ]);
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(text)));
  return Array.from(signature, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * The time in which CouchDB counts failed logins, in milliseconds. It locks an account after five
 * failures.
 */
const FAILURE_WINDOW = 300_000;
/** The failures in that time that Corduroy risks. */
const MAX_FAILURES = 4;
/** How long requests wait for the response to the first one, in milliseconds. */
const PATIENCE = 500;

/** The result of a request for the password; `refused` has the error for the waiting requests. */
type Verdict = 'accepted' | 'unknown' | { readonly refused: unknown };

/**
 * A name and a password that each request sends (Basic).
 *
 * Until CouchDB accepts the password, one request goes first and the others wait. If CouchDB refuses
 * the password, the waiting requests error as the first one does. So a wrong password causes one
 * failure, and not one for each concurrent request. If the first request is slow, others follow,
 * but never more than four, because CouchDB would lock the account.
 */
class PasswordIdentity implements Identity {
  readonly immediate: Authorization;
  readonly #scheduler: SchedulerLike;
  readonly #verdicts$ = new Subject<Verdict>();
  #accepted = false;
  /** The requests that were sent before the password was accepted, and have no response yet. */
  #probes = 0;
  /** When CouchDB refused the password, and its last error. */
  #refusals: number[] = [];
  #refusal: unknown;

  constructor(authorization: Authorization, { scheduler }: Channel) {
    this.#scheduler = scheduler;
    this.immediate = { ...authorization, onRefused: (error) => this.#recordRefusal(error) };
  }

  get fixed(): Authorization | null {
    return this.#accepted ? this.immediate : null;
  }

  authorize(): Observable<Authorization> {
    return of(this.immediate);
  }

  renew(): null {
    return null;
  }

  guard<T>(exchange: Observable<T>): Observable<T> {
    return defer(() =>
      this.#accepted ? exchange : this.#admit().pipe(mergeMap(() => this.#probe(exchange))),
    );
  }

  /** Emits when a request may be sent; errors if the password was refused meanwhile, or too often. */
  #admit(): Observable<unknown> {
    return defer(() => {
      if (this.#accepted) return of(0);
      const now = this.#now();
      this.#refusals = this.#refusals.filter((time) => now - time < FAILURE_WINDOW);
      if (this.#refusals.length >= MAX_FAILURES) return throwError(() => this.#refusal);
      if (this.#probes === 0) return of(0);
      return this.#waitForVerdict();
    });
  }

  #waitForVerdict(): Observable<unknown> {
    return merge(this.#verdicts$, after(PATIENCE, this.#scheduler)).pipe(
      take(1),
      mergeMap((verdict) => {
        if (typeof verdict === 'object') return throwError(() => verdict.refused);
        const isFree = this.#refusals.length + this.#probes < MAX_FAILURES;
        return verdict === 0 && isFree ? of(0) : this.#admit();
      }),
    );
  }

  /** Sends a request that finds out whether CouchDB accepts the password. */
  #probe<T>(exchange: Observable<T>): Observable<T> {
    return new Observable((subscriber) => {
      let open = true;
      const settle = (verdict: Verdict): void => {
        if (!open) return;
        open = false;
        this.#probes -= 1;
        if (verdict === 'accepted') {
          this.#accepted = true;
          this.#refusals = [];
        }
        this.#verdicts$.next(verdict);
      };
      this.#probes += 1;
      subscriber.add(
        exchange.subscribe({
          next: (value) => {
            settle('accepted');
            subscriber.next(value);
          },
          error: (error: unknown) => {
            settle(this.#verdictOf(error));
            subscriber.error(error);
          },
          complete: () => subscriber.complete(),
        }),
      );
      // Unsubscribed before the response.
      subscriber.add(() => settle('unknown'));
    });
  }

  /** CouchDB authenticates a request first, so that other errors prove that the password is right. */
  #verdictOf(error: unknown): Verdict {
    // The connection has recorded the refusal, also that of a response whose reason is unreadable.
    if (error === this.#refusal || isAccountLocked(error)) return { refused: error };
    return isHTTPError(error) && error.status < 500 && !isUnauthorized(error)
      ? 'accepted'
      : 'unknown';
  }

  #recordRefusal(error: unknown): void {
    this.#accepted = false;
    this.#refusal = error;
    this.#refusals.push(this.#now());
  }

  #now(): number {
    return clock(this.#scheduler)();
  }
}

/** Describes the request that ends a session. */
export const LOGOUT: RequestSpec = { ...SESSION, method: 'DELETE', repeatable: true };

/** Reads the session that belongs to credentials. */
export function readSessionAs(
  authorization: Authorization,
  channel: Channel,
): Observable<ReadExchange> {
  return channel.send(SESSION, authorization).pipe(mergeMap(readExchange));
}

/** How often, and how many times, to find out whether CouchDB still caches a former password. */
const CACHE_POLL_INTERVAL = 250;
const CACHE_POLLS = 40;

/**
 * Emits whether CouchDB accepts a new password. It caches the former one for some seconds; then this
 * waits until CouchDB uses the new one, because each failure counts towards the lock of the account.
 */
export function isAccepted(
  authorization: Authorization,
  former: Authorization,
  channel: Channel,
): Observable<boolean> {
  const read = readSessionAs(authorization, channel);
  return read.pipe(
    catchError((error: unknown) =>
      isWrongPassword(error)
        ? untilRefused(former, channel).pipe(mergeMap(() => read))
        : throwError(() => error),
    ),
    map(() => true),
    catchError(() => of(false)),
  );
}

/**
 * Emits when CouchDB no longer accepts the former password, which it caches for some seconds. A
 * former password that works is no failed login, but a new one that does not work is.
 */
function untilRefused(former: Authorization, channel: Channel): Observable<unknown> {
  return readSessionAs(former, channel).pipe(
    repeat({ count: CACHE_POLLS, delay: () => after(CACHE_POLL_INTERVAL, channel.scheduler) }),
    catchError(() => EMPTY),
    ignoreElements(),
    endWith(false),
  );
}
