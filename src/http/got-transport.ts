import { Agent as HttpAgent } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Readable } from 'node:stream';
import { got } from 'got';
import type { Got, NormalizedOptions, Options, OptionsInit } from 'got';
import { Observable } from 'rxjs';
import { CREDENTIAL_HEADERS } from './auth.ts';
import { joinHeaders } from './node-http.ts';
import { toUpload } from './node-http.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';

/** How the transport over got connects. */
export interface GotTransportOptions {
  /**
   * How many sockets at most are open to one host for ordinary requests; feeds do not count.
   * @defaultValue 64
   */
  readonly maxSockets?: number;
  /** Certificate authorities to trust instead of the well-known ones, as PEM. */
  readonly ca?: string | readonly string[];
  /**
   * Whether a server whose certificate cannot be verified is refused.
   * @defaultValue true
   */
  readonly rejectUnauthorized?: boolean;
}

/**
 * Returns the transport over `got`, in stream mode: the default in Node.
 *
 * One prepared instance and one pool of kept-alive sockets serve all of a `Couch`'s requests; feeds
 * have sockets of their own, so that a hundred of them hold nobody up.
 */
export function gotTransport(options: GotTransportOptions = {}): Transport {
  const { maxSockets = 64, ca, rejectUnauthorized = true } = options;
  const tls = { rejectUnauthorized, ...(ca !== undefined && { ca: [ca].flat() }) };
  const pooled = prepare({ keepAlive: true, maxSockets }, tls);
  const endless = prepare({ keepAlive: false }, tls);
  return {
    send: (request) => exchange(request.endless === true ? endless : pooled, request),
  };
}

function prepare(
  sockets: { readonly keepAlive: boolean; readonly maxSockets?: number },
  tls: { readonly rejectUnauthorized: boolean; readonly ca?: string[] },
): Got {
  return got.extend({
    agent: { http: new HttpAgent(sockets), https: new HttpsAgent({ ...sockets, ...tls }) },
    https: {
      rejectUnauthorized: tls.rejectUnauthorized,
      ...(tls.ca !== undefined && { certificateAuthority: tls.ca }),
    },
    retry: { limit: 0 },
    throwHttpErrors: false,
    // A PUT that became a GET on its way would answer 200 and have written nothing.
    methodRewriting: false,
    headers: { 'user-agent': undefined },
    hooks: {
      beforeRequest: [cheapNativeOptions],
      beforeRedirect: [dropCredentialsAbroad],
    },
  });
}

function exchange(instance: Got, request: TransportRequest): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    const { method } = request;
    const upload = toUpload(request.body);
    // Made field by field: to spread and add is dear in Node 20.
    const options: Omit<OptionsInit, 'isStream'> = {
      method: method as 'GET',
      headers: request.headers,
    };
    // A stream of which nothing is known cannot be sent a second time.
    if (upload instanceof Readable) options.followRedirect = false;
    // In stream mode got waits for a body that is to be written, unless it has one.
    if (upload !== undefined) options.body = upload;
    else if (method !== 'GET' && method !== 'HEAD') options.body = '';
    const stream = instance.stream(request.url, options);
    let open = true;
    // Once the head is out, what goes wrong concerns the body.
    let fail = (error: unknown): void => subscriber.error(error);
    stream.once('response', (response: IncomingMessage) => {
      if (!open) return;
      const body = new Observable<Uint8Array>((chunks) => {
        fail = (error) => chunks.error(error);
        stream.on('data', (chunk: Uint8Array) => chunks.next(chunk));
        stream.once('end', () => {
          open = false;
          chunks.complete();
          subscriber.complete();
        });
      });
      const { statusCode: status = 0, headers } = response;
      subscriber.next({ status, headers: joinHeaders(headers), body });
    });
    // Stays for good: got may report once more after the first error, to nobody's use.
    stream.on('error', (error: unknown) => {
      open = false;
      fail(error);
    });
    return () => {
      if (upload instanceof Readable) upload.destroy();
      if (open) stream.destroy();
      open = false;
    };
  });
}

/**
 * got builds its request options by spreading one object and adding thirty keys, which costs Node
 * 20 about 40 µs a request. Over plain http none of them is needed but these.
 */
function cheapNativeOptions(options: NormalizedOptions): void {
  if ((options.url as URL).protocol !== 'http:') return;
  (options as Options).createNativeRequestOptions =
    plainHttpOptions as Options['createNativeRequestOptions'];
}

function plainHttpOptions(this: Options): object {
  return {
    agent: this.agent.http,
    setHost: this.setHost,
    method: this.method,
    headers: this.headers,
    maxHeaderSize: this.maxHeaderSize,
    lookup: this.dnsLookup,
    localAddress: this.localAddress,
  };
}

/** got drops `authorization` and `cookie` itself, but not when only the protocol differs. */
function dropCredentialsAbroad(
  options: NormalizedOptions,
  response: { readonly url: string },
): void {
  if (new URL(response.url).origin === (options.url as URL).origin) return;
  for (const name of CREDENTIAL_HEADERS) delete options.headers[name];
}
