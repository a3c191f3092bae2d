/** The entry point for the transport over undici, which is an optional peer dependency. */
export { undiciTransport } from './http/undici-transport.ts';
export type { UndiciTransportOptions } from './http/undici-transport.ts';
