import {
  Observable,
  ReplaySubject,
  Subject,
  catchError,
  defaultIfEmpty,
  defer,
  isObservable,
  map,
  merge,
  mergeMap,
  of,
  retry,
  share,
  take,
  tap,
  throwError,
  timer,
} from 'rxjs';
import { isUnauthorized } from '../errors/http-error.ts';
import { toObservable } from '../operators/to-observable.ts';
import { ANONYMOUS } from './auth.ts';
import type { Auth, Authorization, BasicCredentials, Credentials } from './auth.ts';
import { readExchange } from './exchange.ts';
import { CookieSession } from './cookie-session.ts';
import type { ReadExchange } from './exchange.ts';
import { identify } from './cookie-session.ts';
import type { Channel, Identity } from './cookie-session.ts';

/** Sends a request as somebody. */
type Attempt<T> = (authorization: Authorization) => Observable<T>;

/**
 * Who asks, on one connection: the credentials it was given, or those of the last login or logout.
 *
 * Credentials that stay what they are cost a request nothing: they are in `fixed`.
 */
export class Authenticator {
  readonly #channel: Channel;
  readonly #changed$ = new Subject<void>();
  readonly #refused$ = new Subject<void>();
  readonly #known$ = new Subject<Identity>();
  /** Asks for credentials; null where there is nobody to ask. */
  #ask$: Observable<Identity> | null = null;
  /** Whether who was asked may have another answer the next time. */
  #isForgetful = false;
  /** Listens to credentials that change by themselves; null where they do not. */
  readonly #watch$: Observable<unknown> | null = null;
  #identity: Identity | null = null;
  /** The credentials that were given last, to know new ones by. */
  #given: string | undefined;
  #fixed: Authorization | null = null;
  /** Whether other credentials may come. */
  #mayChange = false;
  #refused = false;

  constructor(auth: Auth | Authorization, channel: Channel) {
    this.#channel = channel;
    if (isAuthorization(auth)) {
      channel.hide(auth.secrets);
      this.#fix({ present: auth, authorize: () => of(auth), renew: () => null });
    } else if (isObservable(auth)) {
      this.#mayChange = true;
      this.#watch$ = auth.pipe(
        defaultIfEmpty(null),
        tap({
          next: (given) => this.#learn(given, true),
          complete: () => (this.#mayChange = false),
        }),
        // What has been told to its end is not asked for again.
        share({ resetOnComplete: false }),
      );
    } else if (typeof auth === 'function' || isPromise(auth)) {
      this.#isForgetful = typeof auth === 'function';
      const ask = typeof auth === 'function' ? auth : (): typeof auth => auth;
      this.#ask$ = toObservable<Credentials | null>(ask).pipe(
        take(1),
        defaultIfEmpty(null),
        map((given) => this.#learn(given, false)),
        // Whoever is refused while the answer is being passed on gets it too.
        share({ connector: () => new ReplaySubject<Identity>(1) }),
      );
    } else {
      this.#fix(identify(auth, channel));
    }
  }

  /** What every request sends; null where it may change, and `send` must be asked. */
  get fixed(): Authorization | null {
    return this.#fixed;
  }

  /** What is known of who asks without asking anybody. */
  get present(): Authorization {
    return this.#identity?.present ?? ANONYMOUS;
  }

  /** Emits when somebody else asks from now on. Hot; never completes. */
  readonly changed$: Observable<void> = new Observable((subscriber) => {
    const changes = this.#changed$.subscribe(subscriber);
    // Whoever waits for other credentials has to listen to where they come from.
    changes.add(this.#watch$?.subscribe({ error: () => {} }));
    return changes;
  });

  /** Emits when it changes for whom the server takes this: also when it takes it for nobody. Hot. */
  readonly turns$: Observable<void> = merge(this.changed$, this.#refused$);

  /** Whether an error may pass when other credentials come, which `changed$` tells. */
  mayRecover(error: unknown): boolean {
    return this.#mayChange && isUnauthorized(error);
  }

  /**
   * Sends a request with the present credentials at each subscription; once more after a 401, where
   * they can be renewed and the request can be repeated.
   */
  send<T>(attempt: Attempt<T>, isRepeatable: () => boolean): Observable<T> {
    return new Observable((subscriber) => {
      const fail = (error: unknown): void => {
        if (this.#identity === null) subscriber.error(error);
      };
      subscriber.add(this.#watch$?.subscribe({ error: fail }));
      // To listen may have been enough to be told to begin anew.
      if (subscriber.closed) return;
      const identity$ =
        this.#identity === null ? (this.#ask$ ?? this.#known$.pipe(take(1))) : of(this.#identity);
      subscriber.add(
        identity$
          .pipe(mergeMap((identity) => this.#try(identity, attempt, isRepeatable)))
          .subscribe(subscriber),
      );
    });
  }

  /** Logs in at each subscription; everything is asked with the session from then on. */
  logIn<T>(session: BasicCredentials, read: (answer: ReadExchange) => T): Observable<T> {
    return defer(() => {
      const identity = new CookieSession({ session }, this.#channel);
      return identity.logIn().pipe(
        map(read),
        tap(() => this.#become(identity)),
      );
    });
  }

  /** Logs out at each subscription; whatever the server says, nobody asks from then on. */
  logOut(): Observable<ReadExchange> {
    return defer(() => {
      const identity = this.#identity;
      const ticket = identity instanceof CookieSession ? identity.ticket : null;
      const forget = (): void => this.#become(identify(null, this.#channel));
      return this.#channel
        .ask({ method: 'DELETE', path: '/_session' }, ticket ?? { ...ANONYMOUS, cookies: true })
        .pipe(mergeMap(readExchange), tap({ next: forget, error: forget }));
    });
  }

  /**
   * Goes on with another password, where it is that of who asks; emits when the server knows it, or
   * should have.
   */
  replacePassword(user: BasicCredentials): Observable<unknown> {
    return defer(() => {
      const identity = this.#identity;
      const isOwn = identity?.present?.basic?.username === user.username;
      // Whoever gives credentials will give the new ones.
      if (!isOwn || this.#watch$ !== null || this.#ask$ !== null) return of(false);
      const isSession = identity instanceof CookieSession;
      const { ask, scheduler } = this.#channel;
      this.#fix(identify(isSession ? { session: user } : user, this.#channel));
      // CouchDB remembers the old one for a moment; more failures than these would lock one out.
      return ask({ path: '/_session' }, this.present).pipe(
        mergeMap(readExchange),
        retry({ count: 3, delay: (_error, failures) => timer(50 * 4 ** failures, scheduler) }),
        catchError(() => of(false)),
      );
    });
  }

  #try<T>(identity: Identity, attempt: Attempt<T>, isRepeatable: () => boolean): Observable<T> {
    return identity.authorize().pipe(
      mergeMap((authorization) =>
        attempt(authorization).pipe(
          catchError((error: unknown) =>
            isUnauthorized(error) && isRepeatable()
              ? this.#again(identity, authorization, error).pipe(mergeMap(attempt))
              : throwError(() => error),
          ),
        ),
      ),
      tap({ error: (error: unknown) => isUnauthorized(error) && this.#noteRefusal(identity) }),
    );
  }

  /** Emits what to send instead of what was refused; errors where there is nothing. */
  #again(identity: Identity, refused: Authorization, error: unknown): Observable<Authorization> {
    const renewed = identity.renew(refused);
    if (renewed !== null) return renewed;
    const failure = throwError(() => error);
    if (this.#ask$ === null || !this.#isForgetful) return failure;
    // Another request may have been refused, and have asked, meanwhile.
    const found$ = this.#identity === identity ? this.#ask$ : of(this.#identity ?? identity);
    return found$.pipe(mergeMap((found) => (found === identity ? failure : found.authorize())));
  }

  /** Takes credentials in; the same as before are the same identity, with its session. */
  #learn(credentials: Credentials | null, tell: boolean): Identity {
    const given = JSON.stringify(credentials);
    const known = this.#identity;
    if (known !== null && given === this.#given) return known;
    const identity = identify(credentials, this.#channel);
    this.#given = given;
    this.#identity = identity;
    this.#refused = false;
    if (known === null) this.#known$.next(identity);
    else if (tell) this.#changed$.next();
    return identity;
  }

  #become(identity: Identity): void {
    this.#ask$ = null;
    this.#mayChange = true;
    this.#refused = false;
    this.#fix(identity);
    this.#known$.next(identity);
    this.#changed$.next();
  }

  #fix(identity: Identity): void {
    this.#identity = identity;
    const isFixed = this.#watch$ === null && !(identity instanceof CookieSession);
    this.#fixed = isFixed ? identity.present : null;
  }

  #noteRefusal(identity: Identity): void {
    if (this.#refused || identity !== this.#identity) return;
    this.#refused = true;
    this.#refused$.next();
  }
}

function isAuthorization(auth: Auth | Authorization): auth is Authorization {
  return typeof auth === 'object' && auth !== null && 'headers' in auth && 'secrets' in auth;
}

function isPromise(auth: Auth): auth is Promise<Credentials | null> {
  return typeof auth === 'object' && auth !== null && 'then' in auth;
}
