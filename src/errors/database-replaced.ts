import { CorduroyError, isKind } from './corduroy-error.ts';
import type { RequestSummary } from './corduroy-error.ts';

/**
 * Thrown by a feed whose database was deleted and made again under the same name meanwhile: what it
 * had delivered is of another database. A new subscription begins with the new one.
 */
export class DatabaseReplaced extends CorduroyError {
  override readonly name = 'DatabaseReplaced' as const;

  constructor(request: RequestSummary) {
    super(`${request.url}: the database was deleted, and made again under the same name`, {
      request,
    });
  }
}

/** Tells whether an error is a {@link DatabaseReplaced}. */
export function isDatabaseReplaced(error: unknown): error is DatabaseReplaced {
  return isKind(error, 'DatabaseReplaced');
}
