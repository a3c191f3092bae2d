import type { SchedulerLike } from 'rxjs';
import { isProtocolError } from '../errors/connection-error.ts';
import { isTransient } from '../errors/corduroy-error.ts';
import { isHTTPError, rawAnswer } from '../errors/http-error.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { clock, duration } from './time.ts';

/** The delays between retries: exponential backoff with full jitter. */
export interface BackoffOptions {
  /**
   * The longest delay before the first retry, in milliseconds. It doubles with each retry.
   * @defaultValue 100
   */
  readonly initialDelay?: number;
  /**
   * The upper limit of all delays, in milliseconds.
   * @defaultValue 30000
   */
  readonly maxDelay?: number;
  /**
   * The source of the jitter: a function that returns a number from 0 up to 1, without 1.
   * @defaultValue `Math.random`
   */
  readonly random?: () => number;
}

/** How single requests are retried. */
export interface RetryOptions extends BackoffOptions {
  /**
   * The maximum number of attempts, including the first one.
   * @defaultValue 3
   */
  readonly attempts?: number;
}

/**
 * Returns the delay before a retry, in milliseconds: a random number from 1 to the cap. The jitter
 * keeps clients that lost their connections together from reconnecting together.
 *
 * @param attempt - 1 for the first retry.
 */
export function backoff(attempt: number, options: BackoffOptions = {}): number {
  const { initialDelay = 100, maxDelay = 30_000, random = Math.random } = options;
  duration(initialDelay, 'backoff.initialDelay');
  duration(maxDelay, 'backoff.maxDelay');
  const cap = Math.min(maxDelay, initialDelay * 2 ** Math.min(attempt - 1, 30));
  return cap === Infinity ? Infinity : Math.floor(random() * cap) + 1;
}

/**
 * The time for which a feed retries transient errors: `'always'`, or a number of milliseconds since
 * its last success. 0 means no retry. Permanent errors are never retried.
 */
export type ErrorTolerance = 'always' | number;

/**
 * Validates the `errorTolerance` option of a method.
 *
 * @throws TypeError or RangeError unless it is `'always'` or a duration.
 */
export function requireTolerance(value: unknown, name: string): void {
  if (value === 'always' || (typeof value === 'number' && value >= 0)) return;
  const ErrorClass = typeof value === 'number' ? RangeError : TypeError;
  throw invalidArgument(name, "'always' or milliseconds from 0", value, ErrorClass);
}

/** Counts failures, and decides whether and when to retry. */
export class RetryPolicy {
  /** The time for which failures are retried, in milliseconds since the last success. */
  readonly tolerance: number;
  readonly #options: BackoffOptions;
  readonly #scheduler: SchedulerLike;
  readonly #now: () => number;
  #attempt = 0;
  #lastSuccess: number;

  constructor(options: BackoffOptions, tolerance: ErrorTolerance, scheduler: SchedulerLike) {
    this.#options = options;
    this.tolerance = tolerance === 'always' ? Infinity : tolerance;
    this.#scheduler = scheduler;
    this.#now = clock(scheduler);
    this.#lastSuccess = this.#now();
  }

  /** The number of failures since the last success. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Records a success: the next failure counts as the first. */
  succeeded(): void {
    this.#attempt = 0;
    this.#lastSuccess = this.#now();
  }

  /**
   * Records a failure. Returns the delay before the retry, in milliseconds: the last retry is at the end
   * of `tolerance`. Returns null if the error is permanent, or if failures have lasted for `tolerance`.
   */
  failed(error: unknown): number | null {
    if (!mayPass(error)) return null;
    const remaining = this.tolerance - (this.#now() - this.#lastSuccess);
    if (remaining <= 0) return null;
    this.#attempt += 1;
    const delay = backoff(this.#attempt, this.#options);
    return Math.min(Math.max(delay, requestedDelay(error, this.#scheduler)), remaining);
  }
}

/**
 * Tells whether a retry may succeed. An unusable response is likely to come from a proxy, and so to be
 * temporary. One that is too long stays too long.
 */
export function mayPass(error: unknown): boolean {
  return isTransient(error) || (isProtocolError(error) && error.limit === null);
}

/** Returns the delay that the server requested with an error, in milliseconds; 0 if it did not. */
export function requestedDelay(error: unknown, scheduler: SchedulerLike): number {
  return retryAfter(isHTTPError(error) ? rawAnswer(error).retryAfter : undefined, scheduler);
}

/**
 * Returns the delay that a `retry-after` header requests, in milliseconds: a number of seconds, or a
 * date. Returns 0 if there is no header, or an invalid one.
 */
export function retryAfter(header: string | undefined, scheduler: SchedulerLike): number {
  if (header === undefined) return 0;
  const seconds = Number(header);
  const delay = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - scheduler.now();
  return delay > 0 ? Math.min(delay, MAX_RETRY_AFTER) : 0;
}

/** The longest `retry-after` that is obeyed, in milliseconds. */
const MAX_RETRY_AFTER = 600_000;
