import { fetchTransport } from './fetch-transport.ts';
import type { Transport } from './transport.ts';

let make: () => Transport = fetchTransport;

/** Makes the transport for a connection that names none. */
export function defaultTransport(): Transport {
  return make();
}

/**
 * Chooses the transport of connections that name none. Only Node's door calls it, which
 * package.json therefore lists under `sideEffects`; every other door leaves fetch in place.
 */
export function setDefaultTransport(factory: () => Transport): void {
  make = factory;
}
