import { Agent as HttpAgent } from 'node:http';
import type { AgentOptions, ClientRequest, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { got } from 'got';
import type { Got, NormalizedOptions, Options, OptionsInit } from 'got';
import type * as HttpProxyAgents from 'hpagent';
import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import {
  connectionReset,
  explainTls,
  isReset,
  joinHeaders,
  nodeOptions,
  observeSocket,
  routing,
  toUpload,
} from './node-http.ts';
import type { NodeOptions, Route, TlsOptions } from './node-http.ts';
import type { NodeTransportOptions, Proxy } from './proxy.ts';
import type { Parameter } from './query.ts';
import { redirectedRequest, switchedProtocols } from './redirect.ts';
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
 * do not delay other requests. `proxy` needs the package `hpagent`.
 *
 * @throws TypeError or RangeError for unknown, invalid or contradictory options.
 */
export function gotTransport(options: GotTransportOptions = {}): Transport {
  const checked = nodeOptions(options, 'gotTransport', { agent });
  const own = options.agent as Agents | undefined;
  const clientFor = routing(checked, own && createInstance(own, {}), (proxy) =>
    createRoute(proxy, checked),
  );
  return { send: (request) => exchange(clientFor(request), request) };
}

interface Agents {
  readonly http?: HttpAgent;
  readonly https?: HttpsAgent;
}

function createRoute(proxy: Proxy | null, { maxSockets, tls }: NodeOptions): Route<Got> {
  const createAgents = proxy === null ? directAgents : proxyAgents(proxy);
  const create = (sockets: AgentOptions): Got => createInstance(createAgents(sockets, tls), tls);
  return { pooled: create({ keepAlive: true, maxSockets }), endless: create({ keepAlive: false }) };
}

type CreateAgents = (sockets: AgentOptions, tls: TlsOptions) => Agents;

const directAgents: CreateAgents = (sockets, tls) => ({
  http: new HttpAgent(sockets),
  https: new HttpsAgent({ ...sockets, ...tls }),
});

/**
 * Loads the agents of `hpagent`.
 *
 * @throws TypeError if it is not installed.
 */
function proxyAgents(proxy: Proxy): CreateAgents {
  let library: typeof HttpProxyAgents;
  try {
    library = createRequire(import.meta.url)('hpagent') as typeof library;
  } catch (cause) {
    const problem = 'gotTransport: proxy needs the package hpagent; run npm install hpagent';
    throw new TypeError(problem, { cause });
  }
  return (sockets, tls) => {
    const { rejectUnauthorized, ca } = tls;
    // The client's certificate is for the server.
    const forProxy = { rejectUnauthorized, ...(ca !== undefined && { ca }) };
    const to = { proxy: proxy.url, proxyRequestOptions: forProxy as object };
    return {
      http: observeTunnels(new library.HttpProxyAgent({ ...sockets, ...to }), proxy, forProxy),
      https: observeTunnels(
        new library.HttpsProxyAgent({ ...sockets, ...tls, ...to }),
        proxy,
        forProxy,
      ),
    };
  };
}

type Connected = (error: Error | null, socket?: Socket | null) => void;

/** The methods of Node's agents that hpagent and Node call on each other. */
interface TunnelAgent {
  proxyRequestOptions: object;
  createSocket: (request: ClientRequest, options: object, callback: Connected) => void;
  createConnection: (options: object, callback: Connected) => void;
}

/** Closes the tunnel that a request waits for. Node keeps it, because it knows no request for it. */
const closeTunnel = new WeakMap<ClientRequest, () => void>();

/** Names the proxy in the errors of an agent, and makes its tunnels known to `closeTunnel`. */
function observeTunnels<T extends HttpAgent>(tunnels: T, proxy: Proxy, forProxy: object): T {
  const inner = tunnels as unknown as TunnelAgent;
  const createSocket = inner.createSocket.bind(inner);
  const createConnection = inner.createConnection.bind(inner);
  let current: ClientRequest | null = null;
  inner.createSocket = (request, options, callback) => {
    current = request;
    createSocket(request, options, callback);
    current = null;
  };
  inner.createConnection = (options, callback) => {
    const aborter = new AbortController();
    const request = current;
    if (request !== null) closeTunnel.set(request, () => aborter.abort());
    inner.proxyRequestOptions = { ...forProxy, signal: aborter.signal };
    createConnection(options, (error, socket) => {
      if (request !== null) closeTunnel.delete(request);
      const [, status] = /^Bad response: (\d+)$/.exec(error?.message ?? '') ?? [];
      if (error === null || error === undefined) callback(null, socket);
      else callback(status === undefined ? proxy.explain(error) : proxy.refusal(Number(status)));
    });
  };
  return tunnels;
}

function createInstance(agents: Agents, tls: Partial<TlsOptions>): Got {
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

function exchange(instance: Got, request: TransportRequest): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    let abort = sendOnce(instance, request, 0, subscriber, (next) => (abort = next));
    return () => abort();
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
  let sent: ClientRequest | undefined;
  const abort = (): void => {
    if (upload instanceof Readable) upload.destroy();
    if (open) {
      stream.destroy();
      if (sent !== undefined) closeTunnel.get(sent)?.();
    }
    open = false;
  };
  // After the head, an error concerns the body.
  let fail = (error: unknown): void => subscriber.error(explainFailure(error));
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
    native.once('socket', observeSocket);
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
