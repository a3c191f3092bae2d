import type { ClientRequest, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Got, NormalizedOptions, Options, OptionsInit } from 'got';
import { Observable, from, mergeMap } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { joinHeaders, notLoaded, toUpload } from './node-http.ts';
import { redirectedRequest, switchedProtocols } from './redirect.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';

/** The options of {@link gotTransport}. */
export interface GotTransportOptions {
  /**
   * The maximum number of sockets to one host, for requests other than feeds.
   * @defaultValue 64
   */
  readonly maxSockets?: number;
  /** The certificate authorities to trust instead of the platform's, as PEM. */
  readonly ca?: string | readonly string[];
  /**
   * Whether to refuse a server with an unverifiable certificate.
   * @defaultValue true
   */
  readonly rejectUnauthorized?: boolean;
}

/**
 * Returns the transport over `got`, in stream mode: the default in Node.
 *
 * All requests share one pool of kept-alive sockets. Each feed has a separate socket, so that feeds
 * do not delay other requests. The first request of the process loads got, and waits for it.
 */
export function gotTransport(options: GotTransportOptions = {}): Transport {
  const { maxSockets = 64, ca, rejectUnauthorized = true } = options;
  const tls = { rejectUnauthorized, ...(ca !== undefined && { ca: [ca].flat() }) };
  const pooled = whenLoaded((client) =>
    createInstance(client, { keepAlive: true, maxSockets }, tls),
  );
  const endless = whenLoaded((client) => createInstance(client, { keepAlive: false }, tls));
  return {
    send: (request) => exchange(request.endless === true ? endless : pooled, request),
  };
}

/** The modules that only requests need. Loading them takes longer than the rest of Corduroy. */
type Client = Awaited<ReturnType<typeof loadClient>>;

let client: Client | null = null;
let loading: Promise<void> | null = null;

async function loadClient() {
  const [{ got }, { Agent: HttpAgent }, { Agent: HttpsAgent }] = await Promise.all([
    import('got'),
    import('node:http'),
    import('node:https'),
  ]);
  return { got, HttpAgent, HttpsAgent };
}

/** An instance of got; null until the client is loaded. */
type Instance = () => Got | null;

function whenLoaded(create: (loaded: Client) => Got): Instance {
  let instance: Got | null = null;
  return () => (client === null ? null : (instance ??= create(client)));
}

/** Loads the client once. After a failure the next request tries again. */
function load(): Promise<void> {
  return (loading ??= loadClient().then(
    (loaded) => {
      client = loaded;
    },
    (cause: Error) => {
      loading = null;
      throw notLoaded('got', cause);
    },
  ));
}

function createInstance(
  { got, HttpAgent, HttpsAgent }: Client,
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
    // got would send bodies and headers to another origin.
    followRedirect: false,
    headers: { 'user-agent': undefined },
    hooks: { beforeRequest: [useMinimalNativeOptions] },
  });
}

function exchange(instance: Instance, request: TransportRequest): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    const got = instance();
    if (got === null) return loadFirst(exchange(instance, request), request).subscribe(subscriber);
    let abort = sendOnce(got, request, 0, subscriber, (next) => (abort = next));
    return () => abort();
  });
}

/** Loads the client, and subscribes to `sent`. Unsubscribing before that closes the body. */
function loadFirst<T>(sent: Observable<T>, { body }: TransportRequest): Observable<T> {
  return new Observable((subscriber) => {
    let upload = body;
    subscriber.add(() => {
      const unsent = toUpload(upload);
      if (unsent instanceof Readable) unsent.destroy();
    });
    const loaded = from(load()).pipe(
      mergeMap(() => {
        upload = undefined;
        return sent;
      }),
    );
    return loaded.subscribe(subscriber);
  });
}

/** Sends a request, and follows redirects. Returns the function that aborts it. */
function sendOnce(
  instance: Got,
  request: TransportRequest,
  redirects: number,
  subscriber: Subscriber<TransportResponse>,
  onRedirect: (abort: () => void) => void,
): () => void {
  const { method } = request;
  const upload = toUpload(request.body);
  // Built field by field, because spreading is expensive in Node 20.
  const options: Omit<OptionsInit, 'isStream'> = {
    method: method as 'GET',
    headers: request.headers,
  };
  // Without a body got waits for the caller to write one to the stream.
  if (upload !== undefined) options.body = upload;
  else if (method !== 'GET' && method !== 'HEAD') options.body = '';
  const stream = instance.stream(request.url, options);
  let open = true;
  const abort = (): void => {
    if (upload instanceof Readable) upload.destroy();
    if (open) stream.destroy();
    open = false;
  };
  // After the head, an error concerns the body.
  let fail = (error: unknown): void => subscriber.error(error);
  stream.once('response', (response: IncomingMessage) => {
    if (!open) return;
    const { statusCode: status = 0 } = response;
    const headers = joinHeaders(response.headers);
    let next: TransportRequest | null;
    try {
      // Its body would never end.
      if (status === 101) throw switchedProtocols();
      next = redirectedRequest(status, headers['location'], request, redirects);
    } catch (refused) {
      fail(refused);
      return;
    }
    if (next !== null) {
      fail = () => {};
      abort();
      onRedirect(sendOnce(instance, next, redirects + 1, subscriber, onRedirect));
      return;
    }
    const body = new Observable<Uint8Array>((chunks) => {
      fail = (error) => chunks.error(error);
      stream.on('data', (chunk: Uint8Array) => chunks.next(chunk));
      stream.once('end', () => {
        open = false;
        chunks.complete();
        subscriber.complete();
      });
    });
    subscriber.next({ status, headers, body });
  });
  // Without this listener Node keeps a socket that the server upgrades, and reports nothing.
  stream.once('request', (sent: ClientRequest) =>
    sent.once('upgrade', (_, socket) => {
      socket.destroy();
      fail(switchedProtocols());
    }),
  );
  // `on`, not `once`: got may emit further errors, and an unhandled one would end the process.
  stream.on('error', (error: unknown) => {
    open = false;
    fail(error);
  });
  return abort;
}

/**
 * Replaces got's construction of request options: it adds thirty keys to a spread object, which takes
 * Node 20 about 40 µs per request. Plain http needs only the keys of `plainHttpOptions`.
 */
function useMinimalNativeOptions(options: NormalizedOptions): void {
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
