import type { Agent as HttpAgent, AgentOptions, ClientRequest, IncomingMessage } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { Readable } from 'node:stream';
import type { Got, NormalizedOptions, Options, OptionsInit } from 'got';
import { Observable, from, mergeMap } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import {
  connectionReset,
  explainTls,
  isReset,
  joinHeaders,
  nodeOptions,
  notLoaded,
  observeSocket,
  routing,
  toUpload,
} from './node-http.ts';
import type { NodeOptions, Route, TlsOptions } from './node-http.ts';
import { closeTunnel, proxyAgents } from './proxy.ts';
import type { NodeTransportOptions, Proxy } from './proxy.ts';
import type { Parameter } from './query.ts';
import { switchedProtocols } from './redirect.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';

/** The options of {@link gotTransport}. */
export interface GotTransportOptions extends NodeTransportOptions {
  /**
   * The agents of `node:http` and `node:https` for all requests, as they are. They exclude all other
   * options. Feeds use them too: each feed occupies a socket, so `maxSockets` of an agent must be larger
   * than the number of feeds, or other requests wait for ever.
   */
  readonly agent?: { readonly http?: object; readonly https?: object } | undefined;
}

const agent: Parameter = (value, name) => {
  const isPair = typeof value === 'object' && value !== null && !('addRequest' in value);
  if (!isPair) throw new TypeError(`${name} must be { http, https }, with an Agent of Node each`);
  for (const [protocol, one] of Object.entries(value)) {
    if (protocol !== 'http' && protocol !== 'https')
      throw new TypeError(`${name}: unknown protocol '${protocol}'; pass { http, https }`);
    if (one !== undefined && !(typeof one === 'object' && one !== null && 'addRequest' in one))
      throw invalidArgument(`${name}.${protocol}`, 'an Agent of Node', one);
  }
  return '';
};

/**
 * Returns the transport over `got`, in stream mode: the default in Node.
 *
 * All requests share one pool of kept-alive sockets. Each feed has a separate socket, so that feeds
 * do not delay other requests. The first request of the process loads got, and waits for it. `proxy`
 * needs the package `hpagent`.
 *
 * @throws TypeError or RangeError for unknown, invalid or contradictory options.
 */
export function gotTransport(options: GotTransportOptions = {}): Transport {
  const checked = nodeOptions(options, 'gotTransport', { agent });
  const own = options.agent as Agents | undefined;
  const clientFor = routing<Instance>(
    checked,
    own && whenLoaded(({ got }) => createInstance(got, own, {})),
    (proxy) => createRoute(proxy, checked),
  );
  return { send: (request) => exchange(clientFor(request), request) };
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

interface Agents {
  readonly http?: HttpAgent;
  readonly https?: HttpsAgent;
}

function createRoute(proxy: Proxy | null, { maxSockets, tls }: NodeOptions): Route<Instance> {
  const createAgents = proxy === null ? directAgents : viaProxy(proxyAgents(proxy));
  const create = (sockets: AgentOptions): Instance =>
    whenLoaded((loaded) => createInstance(loaded.got, createAgents(loaded, sockets, tls), tls));
  return { pooled: create({ keepAlive: true, maxSockets }), endless: create({ keepAlive: false }) };
}

type CreateAgents = (loaded: Client, sockets: AgentOptions, tls: TlsOptions) => Agents;

const directAgents: CreateAgents = (loaded, sockets, tls) => ({
  http: new loaded.HttpAgent(sockets),
  https: new loaded.HttpsAgent({ ...sockets, ...tls }),
});

const viaProxy =
  (create: ReturnType<typeof proxyAgents>): CreateAgents =>
  (_, sockets, tls) =>
    create(sockets, tls);

function createInstance(got: Got, agents: Agents, tls: Partial<TlsOptions>): Got {
  const { rejectUnauthorized, ca, cert, key, passphrase } = tls;
  return got.extend({
    agent: agents,
    https: {
      ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
      ...(ca !== undefined && { certificateAuthority: ca }),
      ...(cert !== undefined && { certificate: cert }),
      ...(key !== undefined && { key }),
      ...(passphrase !== undefined && { passphrase }),
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
    return sendOnce(got, request, subscriber);
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

/** Sends a request. Returns the function that aborts it. */
function sendOnce(
  instance: Got,
  request: TransportRequest,
  subscriber: Subscriber<TransportResponse>,
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
  let sent: ClientRequest | undefined;
  let bytesBefore = 0;
  const abort = (): void => {
    if (upload instanceof Readable) upload.destroy();
    if (open) {
      stream.destroy();
      if (sent !== undefined) closeTunnel.get(sent)?.();
    }
    open = false;
  };
  // After the head, an error concerns the body.
  let fail = (error: unknown): void =>
    subscriber.error(withReuse(explainFailure(error), sent, bytesBefore));
  stream.once('response', (response: IncomingMessage) => {
    if (!open) return;
    const { statusCode: status = 0 } = response;
    const headers = joinHeaders(response.headers);
    // Its body would never end.
    if (status === 101) {
      fail(switchedProtocols());
      return;
    }
    const body = new Observable<Uint8Array>((chunks) => {
      fail = (error) => chunks.error(error);
      stream.on('data', (chunk: Uint8Array) => chunks.next(chunk));
      stream.once('end', () => {
        open = false;
        const isFramed = 'content-length' in headers || 'transfer-encoding' in headers;
        const socket = sent?.socket;
        if (!isFramed && socket && isReset(socket)) {
          chunks.error(connectionReset());
          return;
        }
        // The server answered before it received all, so the socket cannot be used again.
        if (sent?.writableFinished === false) sent.destroy();
        chunks.complete();
        subscriber.complete();
      });
    });
    subscriber.next({ status, headers, body });
  });
  stream.once('request', (native: ClientRequest) => {
    sent = native;
    native.once('socket', (socket) => {
      bytesBefore = socket.bytesRead;
      observeSocket(socket);
    });
    // Without this listener Node keeps a socket that the server upgrades, and reports nothing.
    native.once('upgrade', (_, socket) => {
      socket.destroy();
      fail(switchedProtocols());
    });
  });
  // `on`, not `once`: got may emit further errors, and an unhandled one would end the process.
  stream.on('error', (error: unknown) => {
    open = false;
    fail(error);
  });
  return abort;
}

/** Marks a failure of a kept-alive connection before a byte of the response. */
function withReuse(error: unknown, sent: ClientRequest | undefined, bytesBefore: number): unknown {
  if (sent?.reusedSocket !== true || typeof error !== 'object' || error === null) return error;
  return sent.socket?.bytesRead === bytesBefore
    ? Object.assign(error, { reusedSocket: true })
    : error;
}

/** Explains what got throws: its errors wrap those of Node. */
function explainFailure(error: unknown): unknown {
  const { cause } = error as { readonly cause?: unknown };
  const explained = explainTls(cause);
  return explained === cause ? error : explained;
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
