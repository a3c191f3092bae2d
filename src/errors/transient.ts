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
