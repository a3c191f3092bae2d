import { CorduroyError, isKind } from './corduroy-error.ts';

/** Thrown when an answer ended early or cannot be understood: truncated, not JSON, not CouchDB's. */
export class ProtocolError extends CorduroyError {
  override readonly name = 'ProtocolError' as const;
}

/** Tells whether an error is a {@link ProtocolError}. */
export function isProtocolError(error: unknown): error is ProtocolError {
  return isKind(error, 'ProtocolError');
}
