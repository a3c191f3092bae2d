import { isProtocolError } from '../errors/connection-error.ts';
import { isTransient } from '../errors/corduroy-error.ts';
import { isHTTPError } from '../errors/http-error.ts';

/** How long to wait between attempts. */
export interface BackoffOptions {
  /**
   * The longest wait before the first new attempt, in milliseconds; it doubles each time.
   * @defaultValue 100
   */
  readonly initialDelay?: number;
  /**
   * The longest wait of all, in milliseconds.
   * @defaultValue 30000
   */
  readonly maxDelay?: number;
  /**
   * Where chance comes from: a function like `Math.random`.
   * @defaultValue `Math.random`
   */
  readonly random?: () => number;
}

/**
 * Returns the wait before an attempt, with full jitter: anything from 1 ms to the cap, so that a
 * thousand clients that were cut at once do not come back at once.
 *
 * @param attempt - 1 for the first new attempt.
 */
export function backoff(attempt: number, options: BackoffOptions = {}): number {
  const { initialDelay = 100, maxDelay = 30_000, random = Math.random } = options;
  const cap = Math.min(maxDelay, initialDelay * 2 ** Math.min(attempt - 1, 30));
  return Math.floor(random() * cap) + 1;
}

/**
 * How long a feed puts up with failures: for ever, for so many milliseconds since its last success,
 * or (0) not at all. Failures that cannot pass by themselves are never put up with.
 */
export type ErrorTolerance = 'always' | number;

/** Keeps count of what went wrong, and says when to try again. */
export class RetryPolicy {
  /** How long failures are put up with, in milliseconds. */
  readonly tolerance: number;
  readonly #options: BackoffOptions;
  readonly #now: () => number;
  #attempt = 0;
  #lastSuccess: number;

  constructor(options: BackoffOptions, tolerance: ErrorTolerance, now: () => number) {
    this.#options = options;
    this.tolerance = tolerance === 'always' ? Infinity : tolerance;
    this.#now = now;
    this.#lastSuccess = now();
  }

  /** How many attempts have failed since the last success. */
  get attempt(): number {
    return this.#attempt;
  }

  succeeded(): void {
    this.#attempt = 0;
    this.#lastSuccess = this.#now();
  }

  /**
   * Returns the wait before the next attempt, in milliseconds; or null where there is to be none,
   * because the error cannot pass by itself or has been put up with for long enough.
   */
  failed(error: unknown): number | null {
    // An answer that makes no sense is not the server's own: something between gave it, for now.
    if (!isTransient(error) && !isProtocolError(error)) return null;
    if (this.tolerance === 0 || this.#now() - this.#lastSuccess > this.tolerance) return null;
    this.#attempt += 1;
    return Math.max(backoff(this.#attempt, this.#options), this.#askedFor(error));
  }

  /** What a server that throttles asks for: a number of seconds, or a date. */
  #askedFor(error: unknown): number {
    const after = isHTTPError(error) ? error.headers['retry-after'] : undefined;
    if (after === undefined) return 0;
    const seconds = Number(after);
    const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(after) - this.#now();
    return wait > 0 ? Math.min(wait, LONGEST) : 0;
  }
}

/** A server that asks for more than this is asked again all the same, after ten minutes. */
const LONGEST = 600_000;
