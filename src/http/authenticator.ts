import type { Subscriber } from 'rxjs';
import {
  EMPTY,
  Observable,
  ReplaySubject,
  Subject,
  catchError,
  concat,
  defaultIfEmpty,
  defer,
  isObservable,
  map,
  merge,
  mergeMap,
  of,
  share,
  take,
  tap,
  throwError,
} from 'rxjs';
import { isUnauthorized } from '../errors/http-error.ts';
import { isPromise, toObservable } from '../operators/to-observable.ts';
import { ANONYMOUS, isAuthorization } from './auth.ts';
import type { Auth, Authorization, BasicCredentials, Credentials } from './auth.ts';
import { CookieSession, createIdentity } from './cookie-session.ts';
import { LOGOUT, fixedIdentity, isAccepted, readSessionAs } from './identity.ts';
import type { Channel, Identity } from './identity.ts';
import { readExchange } from './exchange.ts';
import type { ReadExchange } from './exchange.ts';
import { isRepeatableBody } from './transport.ts';
import type { Link, LinkRequest, Next } from './link.ts';
import type { TransportResponse } from './transport.ts';

/** Sends a request with credentials. */
type Attempt = (authorization: Authorization) => Response$;
type Response$ = Observable<TransportResponse>;

/**
 * Holds the credentials of one connection: those of its `auth` option, or of the last login or logout.
 *
 * Credentials that cannot change are in `fixed`, and add no work to a request. A name and password
 * are there as soon as CouchDB has accepted them.
 */
export class Authenticator {
  readonly #channel: Channel;
  readonly #changed$ = new Subject<void>();
  readonly #refused$ = new Subject<void>();
  readonly #identified$ = new Subject<Identity>();
  /** Loads credentials from a function or a Promise; null if `auth` is neither. */
  #load$: Observable<Identity> | null = null;
  /** Whether `#load$` may emit other credentials the next time. */
  #canReload = false;
  /** Follows the Observable of credentials; null if `auth` is none. */
  readonly #source$: Observable<unknown> | null = null;
  #identity: Identity | null = null;
  /** The last credentials as JSON, to detect a change. */
  #lastCredentials: string | undefined;
  /** Whether the identity stays the same until the next login or logout. */
  #isFixed = false;
  /** Whether other credentials may follow. */
  #mayChange = false;
  #refused = false;

  constructor(auth: Auth | Authorization, channel: Channel) {
    this.#channel = channel;
    if (isAuthorization(auth)) {
      channel.hide(auth.secrets);
      this.#setIdentity(fixedIdentity(auth, channel));
    } else if (isObservable(auth)) {
      this.#mayChange = true;
      this.#source$ = auth.pipe(
        defaultIfEmpty(null),
        tap({
          next: (credentials) => this.#accept(credentials, true),
          complete: () => (this.#mayChange = false),
        }),
        // After completion the last credentials stay valid, so there is no new subscription.
        share({ resetOnComplete: false }),
      );
    } else if (typeof auth === 'function' || isPromise(auth)) {
      this.#canReload = typeof auth === 'function';
      // If no request ever waits for it, its rejection must not end the program.
      if (typeof auth !== 'function') auth.then(undefined, () => {});
      const produce = typeof auth === 'function' ? auth : (): typeof auth => auth;
      this.#load$ = toObservable<Credentials | null>(produce).pipe(
        take(1),
        defaultIfEmpty(null),
        map((credentials) => this.#accept(credentials, false)),
        // Replayed to requests that subscribe while the credentials are being emitted.
        share({ connector: () => new ReplaySubject<Identity>(1) }),
      );
    } else {
      this.#setIdentity(createIdentity(auth, channel));
    }
  }

  /** The credentials of every request; null if they may change, so that `send` must be called. */
  get fixed(): Authorization | null {
    return this.#isFixed ? (this.#identity?.fixed ?? null) : null;
  }

  /** The credentials that are available without waiting; anonymous if there are none. */
  get immediate(): Authorization {
    return this.#identity?.immediate ?? ANONYMOUS;
  }

  /** Emits when the credentials have changed. Hot. Never completes, never errors. */
  readonly changed$: Observable<void> = new Observable((subscriber) => {
    const changes = this.#changed$.subscribe(subscriber);
    // A feed that waits for other credentials must also subscribe to their source.
    changes.add(this.#source$?.subscribe({ error: () => {} }));
    return changes;
  });

  /** Emits when the credentials have changed, or when the server has refused them. Hot. */
  readonly turns$: Observable<void> = merge(this.changed$, this.#refused$);

  /** Tells whether a request may succeed after `changed$` emits. */
  mayRecover(error: unknown): boolean {
    return this.#mayChange && isUnauthorized(error);
  }

  /**
   * Sends a request with the current credentials at each subscription. Sends it again after a 401, if
   * the credentials can be renewed and the request can be sent twice.
   */
  readonly link: Link = (request, next) => {
    const { context } = request;
    const { fixed } = this;
    if (fixed === null) return this.#send(request, next);
    context.authorize(fixed);
    return next(request);
  };

  #send(request: LinkRequest, next: Next): Response$ {
    const attempt: Attempt = (authorization) =>
      new Observable((subscriber) => {
        request.context.authorize(authorization);
        return next(request).subscribe(subscriber);
      });
    return new Observable((subscriber) => {
      this.#follow(subscriber);
      // The source may have emitted synchronously, and so have restarted the subscriber.
      if (subscriber.closed) return;
      const send = (identity: Identity): Response$ =>
        this.#attempt(identity, attempt, isRepeatableBody(request.body));
      subscriber.add(this.#identify().pipe(mergeMap(send)).subscribe(subscriber));
    });
  }

  /** Emits once when there are credentials, and completes. Errors as their source does. */
  readonly ready$: Observable<unknown> = new Observable((subscriber) => {
    this.#follow(subscriber);
    if (!subscriber.closed) subscriber.add(this.#identify().subscribe(subscriber));
  });

  /** Follows the Observable of credentials as long as a subscriber is there. */
  #follow(subscriber: Subscriber<never>): void {
    const error = (failure: unknown): void =>
      this.#identity === null ? subscriber.error(failure) : undefined;
    subscriber.add(this.#source$?.subscribe({ error }));
  }

  #identify(): Observable<Identity> {
    if (this.#identity !== null) return of(this.#identity);
    return this.#load$ ?? this.#identified$.pipe(take(1));
  }

  /**
   * Logs in at each subscription. All later requests use the session.
   *
   * @param verify - Checks that a browser kept the cookie, which scripts cannot read.
   */
  logIn<T>(
    session: BasicCredentials,
    decode: (answer: ReadExchange) => T,
    verify: (present: ReadExchange, value: T) => void,
  ): Observable<T> {
    return defer(() => {
      const identity = new CookieSession({ session }, this.#channel);
      return identity.logIn().pipe(
        map(decode),
        mergeMap((value) =>
          identity.isKeptByBrowser
            ? this.#readOwnSession().pipe(
                tap((present) => present !== null && verify(present, value)),
                map(() => value),
              )
            : of(value),
        ),
        tap(() => this.#switchTo(identity)),
        catchError((error: unknown) => this.#restore(error)),
      );
    });
  }

  /** Emits the session of the browser's cookie; null if the server does not tell. */
  #readOwnSession(): Observable<ReadExchange | null> {
    return readSessionAs({ ...ANONYMOUS, cookies: true }, this.#channel).pipe(
      catchError(() => of(null)),
    );
  }

  /**
   * Errors after a failed login. The response to a refused login makes a browser drop the cookie of
   * the present session, so the present user logs in again before.
   */
  #restore(error: unknown): Observable<never> {
    const failure = throwError(() => error);
    if (!isUnauthorized(error)) return failure;
    const identity = this.#identity;
    const restored$ = identity instanceof CookieSession ? identity.restore() : EMPTY;
    return concat(restored$, failure).pipe(tap({ error: () => this.#refused$.next() }));
  }

  /** Logs out at each subscription. Later requests are anonymous, even if the server fails. */
  logOut(): Observable<ReadExchange> {
    return defer(() => {
      const identity = this.#identity;
      const cookie = identity instanceof CookieSession ? identity.cookie : null;
      const forget = (): void => this.#switchTo(createIdentity(null, this.#channel));
      return this.#channel
        .send(LOGOUT, cookie ?? { ...ANONYMOUS, cookies: true })
        .pipe(mergeMap(readExchange), tap({ next: forget, error: forget }));
    });
  }

  /**
   * Replaces the password of the current user, at each subscription; does nothing for other users.
   * Emits whether the server accepts the credentials of this connection, when CouchDB uses the new
   * password or after some time.
   */
  replacePassword(user: BasicCredentials): Observable<boolean> {
    return defer(() => {
      const identity = this.#identity;
      const isCurrentUser = identity?.immediate?.basic?.username === user.username;
      // A function or an Observable supplies the new password itself.
      if (!isCurrentUser || this.#source$ !== null || this.#load$ !== null) return of(true);
      const former = identity.immediate ?? ANONYMOUS;
      this.#setIdentity(
        createIdentity(identity instanceof CookieSession ? { session: user } : user, this.#channel),
      );
      return isAccepted(this.immediate, former, this.#channel);
    });
  }

  #attempt(identity: Identity, attempt: Attempt, mayRepeat: boolean): Response$ {
    return identity.authorize().pipe(
      mergeMap((authorization) =>
        guarded(identity, attempt(authorization)).pipe(
          catchError((error: unknown) =>
            isUnauthorized(error) && mayRepeat
              ? this.#reattempt(identity, authorization, error, attempt)
              : throwError(() => error),
          ),
        ),
      ),
      tap({ error: (error: unknown) => isUnauthorized(error) && this.#recordRefusal(identity) }),
    );
  }

  /** Sends a request with other credentials after a 401; errors with the 401 if there are none. */
  #reattempt(
    identity: Identity,
    refused: Authorization,
    error: unknown,
    attempt: Attempt,
  ): Response$ {
    const renewed = identity.renew(refused);
    if (renewed !== null) return renewed.pipe(mergeMap(attempt));
    const failure = throwError(() => error);
    if (this.#load$ === null || !this.#canReload) return failure;
    // Another request may have reloaded the credentials meanwhile.
    const current$ = this.#identity === identity ? this.#load$ : of(this.#identity ?? identity);
    return current$.pipe(
      mergeMap((current) =>
        current === identity
          ? failure
          : current
              .authorize()
              .pipe(mergeMap((authorization) => guarded(current, attempt(authorization)))),
      ),
    );
  }

  /** Sets new credentials. Equal credentials keep their identity, and so its session. */
  #accept(credentials: Credentials | null, notify: boolean): Identity {
    const json = JSON.stringify(credentials);
    const previous = this.#identity;
    if (previous !== null && json === this.#lastCredentials) return previous;
    const identity = createIdentity(credentials, this.#channel);
    this.#lastCredentials = json;
    this.#identity = identity;
    this.#refused = false;
    if (previous === null) this.#identified$.next(identity);
    else if (notify) this.#changed$.next();
    return identity;
  }

  /** Replaces the credentials after a login or logout. */
  #switchTo(identity: Identity): void {
    this.#load$ = null;
    this.#mayChange = true;
    this.#refused = false;
    this.#setIdentity(identity);
    this.#identified$.next(identity);
    this.#changed$.next();
  }

  #setIdentity(identity: Identity): void {
    this.#identity = identity;
    this.#isFixed = this.#source$ === null;
  }

  #recordRefusal(identity: Identity): void {
    if (this.#refused || identity !== this.#identity) return;
    this.#refused = true;
    this.#refused$.next();
  }
}

const guarded = (identity: Identity, exchange: Response$): Response$ =>
  identity.guard?.(exchange) ?? exchange;
