import { CorduroyError, isKind } from './corduroy-error.ts';
import type { CorduroyErrorOptions } from './corduroy-error.ts';

/**
 * Thrown when no answer came: connection refused, reset, an unknown host, a bad certificate; and in
 * browsers also when an answer came that the page is not allowed to read (CORS).
 */
export class ConnectionError extends CorduroyError {
  override readonly name = 'ConnectionError' as const;
  /** The platform's word for it (`'ECONNREFUSED'`, `'ENOTFOUND'`…), or null in browsers. */
  readonly code: string | null;
  /** What may be behind it and how to mend it, where that can be told; it is in the message too. */
  readonly hint: string | null;

  constructor(
    message: string,
    options: CorduroyErrorOptions & {
      readonly code?: string | null;
      readonly hint?: string | null;
    } = {},
  ) {
    super(message, options);
    this.code = options.code ?? null;
    this.hint = options.hint ?? null;
  }
}

/** Tells whether an error is a {@link ConnectionError}. */
export function isConnectionError(error: unknown): error is ConnectionError {
  return isKind(error, 'ConnectionError');
}
