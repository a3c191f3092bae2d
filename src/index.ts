/** The door for Node: everything public, over got. */
import { setDefaultTransport } from './http/default-transport.ts';
import { gotTransport } from './http/got-transport.ts';

setDefaultTransport(gotTransport);

export * from './public.ts';
export { gotTransport } from './http/got-transport.ts';
export type { GotTransportOptions } from './http/got-transport.ts';
