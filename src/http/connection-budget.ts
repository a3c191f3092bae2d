import {
  Observable,
  Subscription,
  catchError,
  defer,
  mergeMap,
  of,
  throwError,
  timeout,
} from 'rxjs';
import type { SchedulerLike, Subscriber } from 'rxjs';
import { after } from '../operators/time.ts';

/**
 * Shares out the connections of a platform that opens only a few to one origin. Browsers open six over
 * HTTP/1.1, for all tabs together. Without a budget, feeds would occupy them all.
 */
export interface ConnectionBudget {
  /**
   * Returns the part of one feed, which holds nothing at first. `url` is that of the server. `more` is how many
   * connections beyond the budget the feed may use, because other requests do not need them. Default: 0.
   */
  readonly share: (url: string, scheduler: SchedulerLike, more?: number) => ConnectionShare;
}

/** The part of one feed in a {@link ConnectionBudget}. */
export interface ConnectionShare {
  /**
   * Reserves a connection for requests that wait, and keeps it until `release`. Emits whether the feed has
   * one: false if other feeds have all.
   */
  readonly reserve: () => Observable<boolean>;
  /**
   * Subscribes to `work`, a short request without a reserved connection, when its turn comes. The next
   * one follows when it ends, or after 5 s.
   */
  readonly takeTurn: <T>(work: Observable<T>) => Observable<T>;
  /** Gives the reserved connection back. */
  readonly release: () => void;
}

/**
 * Requests a lock of a name: waits for it, takes it from its holder (`'steal'`), or takes it only if it
 * is free (`'try'`).
 *
 * Emits true when it holds the lock, and completes when the lock is stolen. Emits false and completes
 * if the lock is not free. Errors with {@link LockDenied}. Unsubscribing releases the lock.
 */
export type RequestLock = (name: string, mode: 'wait' | 'steal' | 'try') => Observable<boolean>;

/** The error of locks that the platform refuses, as in a sandboxed frame. Users never see it. */
export class LockDenied extends Error {}

/** Returns the locks that all pages and workers of one origin share; null if there are none. */
export function platformLocks(): RequestLock | null {
  // Old versions of Node and insecure origins have no locks, contrary to the types.
  const { locks } = (globalThis.navigator ?? {}) as { readonly locks?: LockManager };
  if (locks === undefined) return null;
  return (name, mode) =>
    new Observable((subscriber) => {
      const aborter = new AbortController();
      const released = new Promise<void>((resolve) => subscriber.add(resolve));
      const hold = (lock: Lock | null): Promise<void> | undefined => {
        subscriber.next(lock !== null);
        return lock === null ? undefined : released;
      };
      const { signal } = aborter;
      const options = { wait: { signal }, steal: { steal: true }, try: { ifAvailable: true } };
      locks.request(name, options[mode], hold).then(
        () => subscriber.complete(),
        (error: unknown) => {
          if (isAbort(error)) subscriber.complete();
          else subscriber.error(new LockDenied());
        },
      );
      return () => aborter.abort();
    });
}

function isAbort(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError'
  );
}

/** Returns locks of this program alone. They cannot be stolen. */
export function memoryLocks(): RequestLock {
  const queues = new Map<string, Subscriber<boolean>[]>();
  return (name, mode) =>
    new Observable((subscriber) => {
      const queue = queues.get(name) ?? [];
      queues.set(name, queue);
      if (mode === 'try' && queue.length > 0) {
        subscriber.next(false);
        subscriber.complete();
        return undefined;
      }
      queue.push(subscriber);
      if (queue.length === 1) subscriber.next(true);
      return () => {
        const isHolder = queue[0] === subscriber;
        queue.splice(queue.indexOf(subscriber), 1);
        if (isHolder) queue[0]?.next(true);
      };
    });
}

/** How long a request waits for its turn before it uses the second lock, in milliseconds. */
const PATIENCE = 10_000;
/** How long the next request waits for one whose answer takes time, in milliseconds. */
const LONGEST_TURN = 5000;

/** The locks that the platform refuses, in this program. */
const fallback = memoryLocks();

/**
 * Returns a budget of `connections` for each origin: all but one for requests that wait, and one for
 * requests that take turns. If all tabs of an origin have the same locks, they share the budget.
 *
 * @param isMultiplexed - Tells whether the requests to an origin share one connection.
 */
export function connectionBudget(
  connections: number,
  locks: RequestLock,
  isMultiplexed: (origin: string) => boolean,
): ConnectionBudget {
  const lock: RequestLock = (name, mode) =>
    locks(name, mode).pipe(
      catchError((error: unknown) =>
        error instanceof LockDenied ? fallback(name, mode) : throwError(() => error),
      ),
    );
  const reserveFrom = (n: number, end: number, origin: string): Observable<boolean> => {
    if (n >= end) return of(false);
    return lock(`corduroy connection ${n} ${origin}`, 'try').pipe(
      mergeMap((isHeld) => (isHeld ? of(true) : reserveFrom(n + 1, end, origin))),
    );
  };
  return {
    share: (url, scheduler, more = 0) => {
      const { origin } = new URL(url);
      const free$ = defer(() =>
        isMultiplexed(origin) ? of(true) : reserveFrom(1, connections + more, origin),
      );
      const turn = (n: number): Observable<boolean> => lock(`corduroy turn ${n} ${origin}`, 'wait');
      // The browser may have frozen the page that holds the first lock.
      const turn$ = turn(0).pipe(timeout({ first: PATIENCE, scheduler, with: () => turn(1) }));
      return new Share(free$, turn$, scheduler);
    },
  };
}

class Share implements ConnectionShare {
  readonly #free$: Observable<boolean>;
  readonly #turn$: Observable<boolean>;
  readonly #scheduler: SchedulerLike;
  #reserved: Subscription | null = null;

  constructor(free$: Observable<boolean>, turn$: Observable<boolean>, scheduler: SchedulerLike) {
    this.#free$ = free$;
    this.#turn$ = turn$;
    this.#scheduler = scheduler;
  }

  reserve(): Observable<boolean> {
    return new Observable((subscriber) => {
      const attempt = new Subscription();
      const answer = (isFree: boolean): void => {
        if (isFree) this.#reserved ??= attempt;
        subscriber.next(isFree);
        subscriber.complete();
      };
      subscriber.add(() => {
        if (this.#reserved !== attempt) attempt.unsubscribe();
      });
      if (this.#reserved !== null) return answer(true);
      attempt.add(this.#free$.subscribe({ next: answer, error: (e) => subscriber.error(e) }));
    });
  }

  takeTurn<T>(work: Observable<T>): Observable<T> {
    return new Observable((subscriber) => {
      const turn = new Subscription();
      subscriber.add(turn);
      const start = (): void => {
        turn.add(after(LONGEST_TURN, this.#scheduler).subscribe(() => turn.unsubscribe()));
        subscriber.add(work.subscribe(subscriber));
      };
      turn.add(this.#turn$.subscribe({ next: start, error: (e) => subscriber.error(e) }));
    });
  }

  release(): void {
    this.#reserved?.unsubscribe();
    this.#reserved = null;
  }
}

/** Tells for each origin whether its requests use HTTP/2 or HTTP/3, as far as the browser tells. */
function multiplexedOrigins(): (origin: string) => boolean {
  const protocols = new Map<string, string>();
  if (typeof PerformanceObserver !== 'undefined') {
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as PerformanceResourceTiming[]) {
        const { name, nextHopProtocol: protocol } = entry;
        // Empty for a server of another origin without a `Timing-Allow-Origin` header.
        if (protocol !== '') protocols.set(new URL(name).origin, protocol);
      }
    }).observe({ type: 'resource', buffered: true });
  }
  return (origin) => /^h[23]/.test(protocols.get(origin) ?? '');
}

/** Whether this is a page or a worker of a browser, which opens six connections to an origin. */
export function isBrowser(): boolean {
  return 'document' in globalThis || 'importScripts' in globalThis;
}

/** The budgets by their number of connections. */
const budgets = new Map<number, ConnectionBudget>();

/** Returns the budget that all tabs share, as far as the platform has locks; null without a limit. */
export function platformBudget(connections: number): ConnectionBudget | null {
  if (connections === Infinity) return null;
  const budget =
    budgets.get(connections) ??
    connectionBudget(connections, platformLocks() ?? fallback, multiplexedOrigins());
  budgets.set(connections, budget);
  return budget;
}
