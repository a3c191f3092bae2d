/** The entry point for Node: everything public, over got. */
import { setTypeOfName } from './documents/attachment-upload.ts';
import { concurrencyLink } from './http/concurrency.ts';
import { setConcurrency } from './http/connection.ts';
import { setDefaultTransport } from './http/fetch-transport.ts';
import { gotTransport } from './http/got-transport.ts';
import { notLoaded } from './http/node-http.ts';

setDefaultTransport(gotTransport);
setConcurrency(concurrencyLink);
setTypeOfName(() =>
  import('mime').then(
    ({ default: mime }) =>
      (name) =>
        mime.getType(name),
    (cause: Error) => {
      throw notLoaded('mime', cause);
    },
  ),
);

export * from './public.ts';
export { fileCheckpoint } from './changes/file-checkpoint.ts';
export { gotTransport } from './http/got-transport.ts';
export type { GotTransportOptions } from './http/got-transport.ts';
