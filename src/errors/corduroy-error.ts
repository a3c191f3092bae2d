import type { Observable } from 'rxjs';

/**
 * The errors layer: the class hierarchy, the conversion of responses to errors, and the table of
 * transient statuses. It imports only the model.
 */

/** The request that failed, without credentials. */
export interface RequestSummary {
  readonly method: string;
  readonly url: string;
}

/** An unfinished save, as the errors of a save carry it: a `ConflictResolution`. */
export interface Resolvable {
  readonly pending: ReadonlyMap<string, unknown>;
  readonly resolved: ReadonlyMap<string, unknown>;
  // oxlint-disable-next-line typescript/no-explicit-any -- an error does not know the type of documents
  resolve(merge: (local: any, server: any) => any): Observable<Resolvable>;
  overwrite(): Observable<Resolvable>;
  toString(): string;
}

/** The optional properties of a {@link CorduroyError}. */
export interface CorduroyErrorOptions {
  readonly request?: RequestSummary | undefined;
  readonly transient?: boolean | undefined;
  /** The platform's error, without credentials: a result of `describeCause`. */
  readonly cause?: unknown;
}

/**
 * The base class of Corduroy's errors.
 *
 * `instanceof` works within one copy of the package. The guards (`isNotFound(e)`…) also work across
 * copies and realms.
 */
export abstract class CorduroyError extends Error {
  abstract override readonly name: string;
  /** The request that failed; null if none was sent. */
  readonly request: RequestSummary | null;
  /**
   * The save that was not finished, with the outcome of each document; null for requests other than a
   * save. After a failure whose effect is not known, `pending` has the error `'unknown'`.
   */
  declare readonly resolution: Resolvable | null;
  /** Whether the same request may succeed when it is sent again later. */
  readonly transient: boolean;
  /**
   * Whether the server may have carried out the request although it failed: the connection was lost, or
   * the server failed, before the response to a write was complete. False for requests that only read.
   */
  declare readonly mayBeWritten: boolean;

  constructor(message: string, options: CorduroyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const { request } = options;
    // A copy, because the URL of a request is made when it is read.
    this.request = request === undefined ? null : { method: request.method, url: request.url };
    this.transient = options.transient ?? false;
    withResolution(this, null);
  }

  static {
    brand(this, 'CorduroyError');
    Object.defineProperty(this.prototype, 'mayBeWritten', { value: false });
  }
}

/** Marks the error of a write that the server may have carried out. */
export function withMayBeWritten<E extends Error>(error: E): E {
  return Object.defineProperty(error, 'mayBeWritten', { value: true, enumerable: true });
}

/** Attaches an unfinished save to the error that ended it. */
export function withResolution<E extends Error>(error: E, resolution: Resolvable | null): E {
  // Not enumerable: a resolution holds documents and a connection, which logs must not print.
  return Object.defineProperty(error, 'resolution', {
    value: resolution,
    enumerable: false,
    configurable: true,
  });
}

/**
 * Marks the errors of a class and its subclasses with a name, for {@link isKind}. The mark works
 * across copies of the package and across realms, where `instanceof` does not.
 */
export function brand(Class: { readonly prototype: CorduroyError }, name: string): void {
  Object.defineProperty(Class.prototype, Symbol.for(`corduroy.${name}`), { value: true });
}

/** Tells whether a value is an error of the class with this name, from any copy of Corduroy. */
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

const TRANSIENT_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504, 507]);

/**
 * Tells whether a response is a transient failure: a timeout, throttling, or a failure of the server
 * or its proxy. All other 4xx statuses and 501 are permanent. The exception is a 412 `nodedown`: the
 * cluster is about to exclude a failed node.
 *
 * @param error - CouchDB's error code.
 */
export function isTransientAnswer(status: number, error: string): boolean {
  return TRANSIENT_STATUSES.has(status) || status > 507 || error === 'nodedown';
}

/** Tells whether a later retry may succeed: the `transient` property of any error. */
export function isTransient(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'transient' in error && error.transient === true
  );
}
