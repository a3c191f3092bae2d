import { isHTTPError } from '../errors/http-error.ts';
import { isProtocolError } from '../errors/protocol-error.ts';
import { isTransient } from '../errors/transient.ts';
import { backoff } from '../operators/backoff.ts';
import type { BackoffOptions } from '../operators/backoff.ts';

/**
 * How long a feed puts up with failures: for ever, for so many milliseconds since its last success,
 * or (0) not at all. Failures that cannot pass by themselves are never put up with.
 */
export type ErrorTolerance = 'always' | number;

/** Keeps count of what went wrong, and says when to try again. */
export class Pace {
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
