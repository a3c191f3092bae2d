/** The entry point for Node: everything public, over got. */
import mime from 'mime';
import { setTypeOfName } from './documents/attachment-upload.ts';
import { setDefaultTransport } from './http/fetch-transport.ts';
import { gotTransport } from './http/got-transport.ts';

setDefaultTransport(gotTransport);
setTypeOfName((name) => mime.getType(name));

export * from './public.ts';
export { fileCheckpoint } from './changes/file-checkpoint.ts';
export { gotTransport } from './http/got-transport.ts';
export type { GotTransportOptions } from './http/got-transport.ts';
