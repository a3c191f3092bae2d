import { cloudant } from './cloudant.mjs';
import { corduroy } from './corduroy.mjs';
import { nano, nanoStream } from './nano.mjs';
import { nodeHttp, plainFetch, plainGot, plainUndici } from './plain.mjs';
import { pouchdb } from './pouchdb.mjs';

/** The clients by name: Corduroy, its peers, and plain HTTP. */
export const clients = {
  corduroy,
  'corduroy, undici': (url) => corduroy(url, { transport: 'undici' }),
  'corduroy, fetch': (url) => corduroy(url, { transport: 'fetch' }),
  'corduroy, coalesced': (url) => corduroy(url, { coalesce: true }),
  'corduroy, undici, coalesced': (url) => corduroy(url, { transport: 'undici', coalesce: true }),
  nano,
  'nano, stream': nanoStream,
  cloudant,
  pouchdb,
  got: plainGot,
  fetch: plainFetch,
  undici: plainUndici,
  'node:http': nodeHttp,
};
