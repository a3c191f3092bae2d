/**
 * The door for Angular: providers, and live queries as signals and resources. Functions only, so that
 * it needs no compiler of Angular's. It sees the facades and what is below them, and is the one room
 * that imports Angular.
 */
export { deliverInZone } from './zone.ts';
export { httpClientTransport } from './http-client-transport.ts';
export type { HttpClientTransportOptions } from './http-client-transport.ts';
export { databaseToken, injectCouch, injectDatabase } from './provide-corduroy.ts';
export { liveResource } from './live-resource.ts';
export type { LiveResource, LiveResourceOptions } from './live-resource.ts';
export { liveSignal } from './live-signal.ts';
export type { LiveSignal, LiveSignalOptions } from './live-signal.ts';
export { provideCorduroy } from './provide-corduroy.ts';
export type { CorduroyOptions } from './provide-corduroy.ts';
export type { Transfer } from './transfer-transport.ts';
