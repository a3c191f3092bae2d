/** The door to the transport over undici, which is an optional peer. */
export { undiciTransport } from './http/undici-transport.ts';
export type { UndiciTransportOptions } from './http/undici-transport.ts';
