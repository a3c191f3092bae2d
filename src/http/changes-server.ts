import {
  Observable,
  ReplaySubject,
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
import { isConnectionError, isTimeoutError } from '../errors/connection-error.ts';
import { isHTTPError } from '../errors/http-error.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { ConnectionBudget, ConnectionShare } from './connection-budget.ts';
import type { FeedStream } from './feed-stream.ts';
import type { Link, LinkRequest } from './link.ts';
import { toTransport } from './prepare-request.ts';
import type { Transport, TransportResponse } from './transport.ts';
import { parseAddress } from './url.ts';

/** Thrown if the server did not tell whether it is a relay: its answer to the feed tells why. */
const UNKNOWN = new Error('unknown');

/** Sends feeds to another server than all else: to a relay, as a rule. */
export class ChangesServer {
  readonly url: string;
  readonly #transport: Transport;
  readonly #fallsBack: boolean;
  /** Emits the stream for all feeds; null if the server is no relay. Errors if it cannot be reached. */
  readonly #stream$: Observable<FeedStream | null>;

  /**
   * @param fallsBack - Whether feeds listen to CouchDB itself while the server cannot be reached.
   * @throws TypeError for an invalid URL.
   */
  constructor(url: unknown, fallsBack: unknown, transport: Transport) {
    if (typeof url !== 'string' && !(url instanceof URL))
      throw invalidArgument('changesUrl', 'a string or a URL', url);
    if (typeof fallsBack !== 'boolean')
      throw invalidArgument('changesFallback', 'a boolean', fallsBack);
    const { url: parsed, authorization } = parseAddress(String(url));
    if (Object.keys(authorization.headers).length > 0)
      throw new TypeError('changesUrl must have no credentials: feeds use those of the Couch');
    this.url = parsed;
    this.#fallsBack = fallsBack;
    this.#transport = transport;
    this.#stream$ = defer(() => this.#isRelay()).pipe(
      mergeMap((isRelay) => (isRelay ? this.#load() : of(null))),
      shareReplay({ bufferSize: 1, refCount: true }),
    );
  }

  /** Passes feeds on to the server. */
  readonly link: Link = (request, next) => {
    if (!isFeed(request)) return next(request);
    const response$ = next({ ...request, server: this.url });
    if (!this.#fallsBack) return response$;
    let hasBegun = false;
    return new Observable<TransportResponse>((subscriber) =>
      response$
        .pipe(
          map((response) => {
            hasBegun = true;
            return response;
          }),
          catchError((error: unknown) =>
            !hasBegun && isAway(error) ? next(request) : throwError(() => error),
          ),
        )
        .subscribe(subscriber),
    );
  };

  /** Sends a request, and feeds over one response if the server is a relay. */
  send(request: LinkRequest): Observable<TransportResponse> {
    const ready = toTransport(request);
    if (!isFeed(request) || request.server !== this.url) return this.#transport.send(ready);
    // A poll ends soon, and events have another form.
    if (!/[?&]feed=continuous(?:&|$)/.test(request.path)) return this.#transport.send(ready);
    return this.#stream$.pipe(
      catchError((error: unknown) => (error === UNKNOWN ? of(null) : throwError(() => error))),
      mergeMap((stream) => (stream ?? this.#transport).send(ready)),
    );
  }

  /** Returns the budget of the platform's connections, in which the stream of a relay counts once. */
  budget(budget: ConnectionBudget | null): ConnectionBudget | null {
    if (budget === null) return null;
    let joint: JointShare | null = null;
    return {
      share: (url, scheduler): ConnectionShare => {
        // Reads go elsewhere. One connection is left to requests that change streams.
        const more = new URL(url).origin === new URL(this.url).origin ? 0 : 2;
        const own = budget.share(this.url, scheduler);
        const stream = (joint ??= new JointShare(budget.share(this.url, scheduler, more)));
        return {
          reserve: () =>
            this.#stream$.pipe(
              // The request of the feed reports why the server cannot be reached.
              catchError(() => of(undefined)),
              mergeMap((found) => {
                if (found === undefined) return of(true);
                return found === null ? own.reserve() : stream.reserve(own);
              }),
            ),
          takeTurn: (work) => own.takeTurn(work),
          release: () => {
            own.release();
            stream.release(own);
          },
        };
      },
    };
  }

  #isRelay(): Observable<boolean> {
    const request = { method: 'GET', url: `${this.url}/_relay/up`, headers: {}, reads: true };
    return this.#transport.send(request).pipe(
      mergeMap(
        ({ status, headers, body }) =>
          new Observable<boolean>((subscriber) =>
            body.subscribe({
              error: (error: unknown) => subscriber.error(error),
              complete: () => {
                const isRelay = headers['x-corduroy-relay'] !== undefined;
                // A proxy answers for a relay that is away.
                if (!isRelay && status >= 500) return subscriber.error(UNKNOWN);
                subscriber.next(isRelay);
                return subscriber.complete();
              },
            }),
          ),
      ),
    );
  }

  #load(): Observable<FeedStream | null> {
    // Bundlers make this module a separate file, which only pages with `changesUrl` load.
    return from(import('./feed-stream.ts')).pipe(
      map((module) => new module.FeedStream(this.url, this.#transport)),
      // Service workers may not import.
      catchError(() => of(null)),
    );
  }
}

/** The connection of a stream, which is reserved as long as a feed needs it. */
class JointShare {
  readonly #holders = new Set<ConnectionShare>();
  readonly #share: ConnectionShare;
  readonly #reserved$: Observable<boolean>;

  constructor(connection: ConnectionShare) {
    this.#share = connection;
    // Feeds that begin together must not reserve a connection each. A feed that hears the answer asks again
    // at once, before the others have heard it.
    this.#reserved$ = connection
      .reserve()
      .pipe(share({ connector: () => new ReplaySubject<boolean>(1) }));
  }

  reserve(holder: ConnectionShare): Observable<boolean> {
    return this.#reserved$.pipe(
      tap((isReserved) => {
        if (isReserved) this.#holders.add(holder);
      }),
    );
  }

  release(holder: ConnectionShare): void {
    if (this.#holders.delete(holder) && this.#holders.size === 0) this.#share.release();
  }
}

function isFeed({ endless, route }: LinkRequest): boolean {
  return endless && route === '/{db}/_changes';
}

/** Tells whether a server cannot be reached, or cannot serve at present. */
function isAway(error: unknown): boolean {
  return (
    isConnectionError(error) || isTimeoutError(error) || (isHTTPError(error) && error.status >= 500)
  );
}
