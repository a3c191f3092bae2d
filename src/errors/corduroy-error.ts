/**
 * The errors room: the tree, the funnel from an answer to an error, and the one table of what is
 * worth trying again. It imports only the model.
 */

/** The request that failed, without credentials. */
export interface RequestSummary {
  readonly method: string;
  readonly url: string;
}

export interface CorduroyErrorOptions {
  readonly request?: RequestSummary | undefined;
  readonly transient?: boolean | undefined;
  /** What the platform said; it must have been through `describeCause`. */
  readonly cause?: unknown;
}

/**
 * The base of everything that fails in Corduroy.
 *
 * `instanceof` works within one copy of the package; the guards (`isNotFound(e)`…) work across
 * copies and realms as well.
 */
export abstract class CorduroyError extends Error {
  abstract override readonly name: string;
  /** The request that failed, or null where none was sent. */
  readonly request: RequestSummary | null;
  /** Whether the same request may succeed when it is sent again later. */
  readonly transient: boolean;

  constructor(message: string, options: CorduroyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.request = options.request ?? null;
    this.transient = options.transient ?? false;
  }

  static {
    brand(this, 'CorduroyError');
  }
}

/**
 * Marks the errors of a class, and of those below it, with a name. The mark holds across copies of
 * the package and across realms, where `instanceof` does not; an error's own name is one as well.
 */
export function brand(Class: { readonly prototype: CorduroyError }, name: string): void {
  Object.defineProperty(Class.prototype, Symbol.for(`corduroy.${name}`), { value: true });
}

/** Tells whether a value is an error of the class of this name, from whatever copy of Corduroy. */
export function isKind(error: unknown, name: string): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if (Symbol.for(`corduroy.${name}`) in error) return true;
  const isOurs = Symbol.for('corduroy.CorduroyError') in error;
  return isOurs && 'name' in error && error.name === name;
}

/** Tells whether an error came from Corduroy. */
export function isCorduroyError(error: unknown): error is CorduroyError {
  return isKind(error, 'CorduroyError');
}
