import type { BackoffOptions } from '../operators/retry-policy.ts';

/** How single requests are retried. */
export interface RetryOptions extends BackoffOptions {
  /**
   * The maximum number of attempts, including the first one.
   * @defaultValue 3
   */
  readonly attempts?: number;
}
