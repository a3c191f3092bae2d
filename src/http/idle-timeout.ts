import { Observable } from 'rxjs';
import type { SchedulerLike, Subscriber, Subscription } from 'rxjs';
import { guarded } from '../operators/to-observable.ts';
import type { TransportResponse } from './transport.ts';

/** The limit of an exchange, and the conversion of its errors. */
export interface IdleTimeoutOptions {
  /** The longest time without data, in milliseconds; 0 disables it. */
  readonly timeout: number;
  readonly scheduler: SchedulerLike;
  /** Makes the error of a timeout. */
  readonly timeoutError: () => Error;
  /** Converts an error before the head of the response. */
  readonly explainFailure: (cause: unknown) => unknown;
  /** Converts an error within the body. */
  readonly explainTruncation: (cause: unknown) => unknown;
}

/**
 * Errors if an exchange receives no data for too long, before its head or within its body. Converts
 * the platform's errors as well.
 *
 * All requests pass here, so it is a single Observable with a single timer.
 */
export function withIdleTimeout(
  exchange: Observable<TransportResponse>,
  options: IdleTimeoutOptions,
): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    let bodySubscriber: Subscriber<Uint8Array> | undefined;
    const idle = new IdleTimeout(options, () =>
      (bodySubscriber ?? subscriber).error(options.timeoutError()),
    );
    idle.start();
    const watchBody = (body: Observable<Uint8Array>): Observable<Uint8Array> =>
      new Observable((chunks) => {
        bodySubscriber = chunks;
        idle.start();
        chunks.add(() => idle.stop());
        return body.subscribe(
          guarded(chunks, {
            next: (chunk) => {
              idle.recordActivity();
              chunks.next(chunk);
            },
            error: (error: unknown) => chunks.error(options.explainTruncation(error)),
            complete: () => chunks.complete(),
          }),
        );
      });
    subscriber.add(() => idle.stop());
    return exchange.subscribe(
      guarded(subscriber, {
        next: ({ status, headers, body }) => {
          idle.recordActivity();
          subscriber.next({ status, headers, body: watchBody(body) });
          // Without a subscriber the body has no deadline.
          if (bodySubscriber === undefined) idle.stop();
        },
        error: (error: unknown) => subscriber.error(options.explainFailure(error)),
        complete: () => subscriber.complete(),
      }),
    );
  });
}

/** Calls back after a time without activity. Activity does not reset its timer, which would cost time. */
class IdleTimeout {
  readonly #options: IdleTimeoutOptions;
  readonly #onTimeout: () => void;
  #timer: Subscription | undefined;
  #lastActivity = 0;

  constructor(options: IdleTimeoutOptions, onTimeout: () => void) {
    this.#options = options;
    this.#onTimeout = onTimeout;
  }

  start(): void {
    const { timeout } = this.#options;
    if (timeout === 0 || timeout === Infinity) return;
    this.recordActivity();
    this.#timer ??= this.#options.scheduler.schedule(() => this.#check(), timeout);
  }

  recordActivity(): void {
    this.#lastActivity = this.#options.scheduler.now();
  }

  stop(): void {
    this.#timer?.unsubscribe();
    this.#timer = undefined;
  }

  #check(): void {
    const { scheduler, timeout } = this.#options;
    const remaining = this.#lastActivity + timeout - scheduler.now();
    if (remaining > 0) this.#timer = scheduler.schedule(() => this.#check(), remaining);
    else this.#onTimeout();
  }
}
