/**
 * The entry point for Angular: providers, and live queries as signals and resources. It exports
 * functions only, so that the package needs no Angular compiler. It may import the facades and all
 * layers below them. No other folder imports Angular.
 */
export { deliverInZone } from './zone.ts';
export { httpClientTransport } from './http-client-transport.ts';
export type { HttpClientTransportOptions } from './http-client-transport.ts';
export { databaseToken, injectCouch, injectDatabase } from './provide-corduroy.ts';
export { liveResource } from './live-signal.ts';
export type { LiveResource, LiveResourceOptions } from './live-signal.ts';
export { liveSignal } from './live-signal.ts';
export type { LiveSignal, LiveSignalOptions } from './live-signal.ts';
export { provideCorduroy } from './provide-corduroy.ts';
export type { CorduroyOptions } from './provide-corduroy.ts';
export { RenderTimeout } from './render-timeout.ts';
export type { Transfer } from './transfer-transport.ts';
