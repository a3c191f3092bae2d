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

const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504, 507]);

/**
 * The one table of what may pass by itself: timeouts, throttling, and failures of the server or of
 * a proxy in front of it. 501 and every other 4xx would only be answered in the same way again, but
 * for the 412 `nodedown` of a cluster that is about to do without one of its nodes.
 *
 * @param error - CouchDB's short word for what went wrong.
 */
export function isTransientAnswer(status: number, error: string): boolean {
  return TRANSIENT.has(status) || status > 507 || error === 'nodedown';
}

/** Tells whether trying again later may help: the `transient` of whatever error this is. */
export function isTransient(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'transient' in error && error.transient === true
  );
}
