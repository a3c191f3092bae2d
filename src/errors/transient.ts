const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504, 507]);

/**
 * The one table of what may pass by itself: timeouts, throttling, and failures of the server or of
 * a proxy in front of it. 501 and every other 4xx would only be answered in the same way again.
 */
export function isTransientStatus(status: number): boolean {
  return TRANSIENT.has(status) || status > 507;
}

/** Tells whether trying again later may help: the `transient` of whatever error this is. */
export function isTransient(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'transient' in error && error.transient === true
  );
}
