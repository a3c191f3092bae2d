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
