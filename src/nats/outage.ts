import {
  BehaviorSubject,
  Observable,
  defer,
  mergeMap,
  of,
  retry,
  share,
  tap,
  throwError,
} from 'rxjs';
import type { FeedState } from '../changes/feed-model.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { Connection } from '../http/connection.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import type { BackoffOptions, ErrorTolerance } from '../operators/retry-policy.ts';

/** How an outage is retried. */
interface OutagePolicy {
  readonly backoff: BackoffOptions;
  readonly errorTolerance: ErrorTolerance;
}

/**
 * Retries the work of many changes together while the broker is out of reach: all wait for one delay,
 * so that the backoff counts the failures of the broker, not those of each message.
 */
export class Outage {
  /** Emits how the outage goes on; null if there is none. Hot. */
  readonly state$: BehaviorSubject<FeedState | null> = new BehaviorSubject<FeedState | null>(null);
  readonly #connection: Connection;
  readonly #options: OutagePolicy;
  /** Exists from the first failure to the next success. */
  #policy: RetryPolicy | null = null;
  /** The present delay. Emits when it is over. */
  #pause$: Observable<unknown> | null = null;
  /** Counts the delays. An attempt that began before one says nothing about the broker after it. */
  #round = 0;
  #running = 0;

  constructor(connection: Connection, options: OutagePolicy) {
    this.#connection = connection;
    this.#options = options;
  }

  /**
   * Returns an Observable that makes attempts until one succeeds.
   *
   * - **Emits, completes** as the successful attempt does.
   * - **Errors** with a permanent error, or if the outage lasts longer than the tolerance.
   * - **On unsubscribe** the attempt is unsubscribed. The last one that waits ends the delay.
   */
  retried<T>(attempt: () => Observable<T>): Observable<T> {
    return new Observable((subscriber) => {
      let round = 0;
      const attempt$ = defer(() => {
        round = this.#round;
        return attempt();
      });
      const attempts$ = defer(() => this.#pause$?.pipe(mergeMap(() => attempt$)) ?? attempt$).pipe(
        tap({ complete: () => this.#succeeded() }),
        retry({ delay: (error: CorduroyError) => this.#failed(error, round) }),
      );
      this.#running += 1;
      subscriber.add(() => {
        this.#running -= 1;
        if (this.#running === 0) this.#end();
      });
      subscriber.add(attempts$.subscribe(subscriber));
    });
  }

  /** Shows a permanent error until the next {@link restart}. */
  fail(error: CorduroyError): void {
    this.state$.next({ status: 'failed', error });
  }

  restart(): void {
    if (this.#running === 0) this.state$.next(null);
  }

  #succeeded(): void {
    this.#policy = null;
    if (this.#pause$ === null) this.#show(null);
  }

  #failed(error: CorduroyError, round: number): Observable<unknown> {
    if (!error.transient) return throwError(() => error);
    // Another attempt has begun the delay, or has ended one meanwhile.
    if (this.#pause$ !== null || round !== this.#round) return of(0);
    const { backoff, errorTolerance } = this.#options;
    this.#policy ??= new RetryPolicy(backoff, errorTolerance, this.#connection.scheduler);
    const policy = this.#policy;
    const delay = policy.failed(error);
    if (delay === null) return throwError(() => error);
    this.#pause$ = this.#connection.after(delay).pipe(
      tap(() => {
        this.#pause$ = null;
        this.#round += 1;
        this.#show({ status: 'connecting', attempt: policy.attempt });
      }),
      share(),
    );
    this.#show({ status: 'waiting', attempt: policy.attempt, delay, error });
    return of(0);
  }

  #end(): void {
    this.#policy = null;
    this.#pause$ = null;
    if (this.state$.value?.status !== 'failed') this.#show(null);
  }

  #show(state: FeedState | null): void {
    if (state !== this.state$.value) this.state$.next(state);
  }
}
