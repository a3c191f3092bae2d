import { Readable } from 'node:stream';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { Agent, Pool, ProxyAgent, buildConnector } from 'undici';
import type { Dispatcher } from 'undici';
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
import type { NodeOptions, Route, TlsOptions, Upload } from './node-http.ts';
import { withCode } from './proxy.ts';
import type { NodeTransportOptions, Proxy } from './proxy.ts';
import type { Parameter } from './query.ts';
import { switchedProtocols } from './redirect.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';

/** The options of {@link undiciTransport}. */
export interface UndiciTransportOptions extends NodeTransportOptions {
  /**
   * The dispatcher of undici 7 for all requests, as it is. It excludes all other options. Feeds use it
   * too: each feed occupies a connection, so its `connections` must be more than the number of feeds,
   * or other requests wait for ever. Corduroy cannot observe its sockets: if a server refuses an upload
   * before it has all of it, the request may error with a `ConnectionError` instead of the answer.
   */
  readonly dispatcher?: Pick<Dispatcher, 'dispatch'> | undefined;
}

const dispatcher: Parameter = (value, name) => {
  const isDispatcher = typeof value === 'object' && value !== null && 'dispatch' in value;
  if (!isDispatcher || typeof value.dispatch !== 'function')
    throw invalidArgument(name, 'a Dispatcher of undici 7', value);
  return '';
};

/**
 * Returns the transport over `undici`, for Node programs that send many requests: it uses a fraction
 * of the processor time of the other transports. Install undici in addition to Corduroy.
 *
 * It has one pool of kept-alive sockets, and a separate socket for each feed, as `gotTransport` has.
 *
 * @example
 * new Couch(url, { transport: undiciTransport() });
 * @throws TypeError or RangeError for unknown, invalid or contradictory options.
 */
export function undiciTransport(options: UndiciTransportOptions = {}): Transport {
  const checked = nodeOptions(options, 'undiciTransport', { dispatcher });
  const clientFor = routing<Client>(checked, options.dispatcher, (proxy) =>
    createRoute(proxy, checked),
  );
  return {
    send: (request) =>
      new Observable((subscriber) => {
        const exchange = new UndiciExchange(clientFor(request), request, subscriber);
        return () => exchange.abort();
      }),
  };
}

type Client = Pick<Dispatcher, 'dispatch'>;

function createRoute(proxy: Proxy | null, { maxSockets, tls }: NodeOptions): Route<Client> {
  const pooled = maxSockets === Infinity ? {} : { connections: maxSockets };
  // With `pipelining: 0` a socket serves one request, and is then closed.
  const endless = { pipelining: 0 };
  if (proxy !== null)
    return { pooled: proxyAgent(proxy, tls, pooled), endless: proxyAgent(proxy, tls, endless) };
  const connect = observeSockets(buildConnector({ timeout: 0, ...tls }));
  return {
    pooled: new Agent({ ...NO_TIMEOUTS, ...pooled, connect }),
    endless: new Agent({ ...NO_TIMEOUTS, ...endless, connect }),
  };
}

/** The connection applies timeouts, on its scheduler. */
const NO_TIMEOUTS = { headersTimeout: 0, bodyTimeout: 0 };

function proxyAgent(proxy: Proxy, tls: TlsOptions, pool: Pool.Options): Dispatcher {
  const { url, authorization } = proxy;
  const { rejectUnauthorized, ca } = tls;
  return new ProxyAgent({
    ...NO_TIMEOUTS,
    ...pool,
    uri: url.origin,
    ...(authorization !== null && { token: authorization }),
    requestTls: { timeout: 0, ...tls },
    // The client's certificate is for the server.
    proxyTls: { timeout: 0, rejectUnauthorized, ...(ca !== undefined && { ca }) },
    clientFactory: (origin, options) => observeTunnels(new Pool(origin, options), proxy),
    factory: (origin, options: Pool.Options) =>
      new Pool(origin, {
        ...options,
        connect: observeSockets(options.connect as buildConnector.connector),
      }),
  });
}

/** Names the proxy in the errors of its tunnels. */
function observeTunnels(pool: Pool, proxy: Proxy): Pool {
  const connect = pool.connect.bind(pool);
  const observed = async (options: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> => {
    const tunnel = await connect({ ...options, ...NO_TIMEOUTS }).catch((failure: unknown) => {
      throw proxy.explain(failure);
    });
    if (tunnel.statusCode === 200) return tunnel;
    tunnel.socket.on('error', () => {}).destroy();
    throw proxy.refusal(tunnel.statusCode);
  };
  return Object.assign(pool, { connect: observed });
}

type Controller = Dispatcher.DispatchController;

/** Whether the socket that ends at this moment was reset. */
let isEndOfReset = false;

/** The sockets of errors. */
const sockets = new WeakMap<Error, { readonly bytesRead: number }>();

/** Returns the socket of an error, which undici describes in some errors. */
function socketOf(error: Error): { readonly bytesRead: number } | undefined {
  const { socket } = error as { readonly socket?: { readonly bytesRead: number } };
  return sockets.get(error) ?? socket;
}

/** The first error of a socket, for the error with which undici closes it. */
const origins = new WeakMap<Error, Error>();

/**
 * Returns a connector whose sockets are read to the end after a failed write, and whose resets are
 * errors. undici takes a reset with the code ECONNRESET for the end of a response without a length.
 */
function observeSockets(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...result) => {
      const [, socket] = result;
      if (socket) {
        observeSocket(socket);
        // These listeners precede those of undici, which end the response in the same turn.
        socket.on('end', () => {
          if (!isReset(socket)) return;
          isEndOfReset = true;
          process.nextTick(() => (isEndOfReset = false));
        });
        let first: Error | null = null;
        socket.on('error', (error: Error & { code?: string }) => {
          // After an alert of TLS another error follows, which does not name the reason.
          first ??= withCode(error.message, error.code);
          origins.set(error, first);
          sockets.set(error, socket);
          if (error.code === 'ECONNRESET') error.code = 'ERR_RESET';
        });
      }
      callback(...result);
    });
}

const ACCEPTED_ENCODINGS = 'gzip, deflate, br';

/** A Map, because the name of an encoding comes from the server. */
const DECOMPRESSORS = new Map<string, () => Transform>([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

/**
 * Handles one exchange over undici. It implements the handler interface, because undici's `request`
 * would create a promise and a stream for each response.
 */
export class UndiciExchange implements Dispatcher.DispatchHandler {
  readonly #agent: Client;
  readonly #subscriber: Subscriber<TransportResponse>;
  readonly #request: TransportRequest;
  readonly #upload: Upload;
  #hasHead = false;
  #open = true;
  #controller: Controller | null = null;
  #chunks: Subscriber<Uint8Array> | null = null;
  #createDecompressor: (() => Transform) | undefined;
  #decompressor: Transform | null = null;
  #canPause = false;

  constructor(agent: Client, request: TransportRequest, subscriber: Subscriber<TransportResponse>) {
    this.#agent = agent;
    this.#subscriber = subscriber;
    this.#request = request;
    this.#upload = toUpload(request.body);
    this.#dispatch();
  }

  /** Closes the socket at once, unless the exchange is over. */
  abort(): void {
    if (this.#upload instanceof Readable) this.#upload.destroy();
    if (!this.#open) return;
    this.#open = false;
    this.#controller?.abort(new Error('The exchange was aborted'));
    this.#decompressor?.destroy();
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (!this.#open) controller.abort(new Error('The exchange was aborted'));
  }

  onResponseStart(
    controller: Controller,
    status: number,
    raw: Parameters<typeof joinHeaders>[0],
  ): void {
    // Informational responses, such as 100 and 103, precede the response.
    if ((status < 200 && status !== 101) || !this.#open) return;
    const headers = joinHeaders(raw);
    // Its body would never end.
    if (status === 101) {
      this.#fail(switchedProtocols());
      controller.abort(new Error('The exchange was aborted'));
      return;
    }
    this.#hasHead = true;
    const encoding = headers['content-encoding'] ?? '';
    this.#createDecompressor = DECOMPRESSORS.get(encoding.trim().toLowerCase());
    // undici throws an uncaught AssertionError if such a socket ends while it is paused.
    const isKept = !/\bclose\b/i.test(headers['connection'] ?? '');
    this.#canPause = isKept && ('content-length' in headers || 'transfer-encoding' in headers);
    const body = new Observable<Uint8Array>((chunks) => {
      this.#chunks = chunks;
    });
    this.#subscriber.next({ status, headers, body });
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    if (!this.#open) return;
    if (this.#createDecompressor === undefined) {
      this.#chunks?.next(chunk);
      return;
    }
    this.#decompressor ??= this.#connect(this.#createDecompressor());
    if (this.#decompressor.write(chunk) || !this.#canPause) return;
    controller.pause();
    this.#decompressor.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    if (!this.#open) return;
    if (isEndOfReset) this.#fail(connectionReset());
    else if (this.#decompressor === null) this.#complete();
    else this.#decompressor.end();
  }

  onResponseError(_: Controller, error: Error): void {
    const failure = explainTls(origins.get(error) ?? error);
    const isReused = !this.#hasHead && (socketOf(error)?.bytesRead ?? 0) > 0;
    this.#fail(isReused ? Object.assign(failure as Error, { reusedSocket: true }) : failure);
  }

  #dispatch(): void {
    const { method, url, headers, endless } = this.#request;
    const slash = url.indexOf('/', url.indexOf('//') + 2);
    const options = {
      origin: slash === -1 ? url : url.slice(0, slash),
      path: slash === -1 ? '/' : url.slice(slash),
      method,
      // Compression would delay a feed's heartbeats.
      headers:
        endless === true
          ? headers
          : Object.assign({ 'accept-encoding': ACCEPTED_ENCODINGS }, headers),
      body: this.#upload ?? null,
      // Also for the dispatcher of the user.
      ...NO_TIMEOUTS,
    };
    this.#agent.dispatch(options, this);
  }

  #complete(): void {
    this.#open = false;
    this.#chunks?.complete();
    this.#subscriber.complete();
  }

  #fail(error: unknown): void {
    if (!this.#open) return;
    this.#open = false;
    this.#decompressor?.destroy();
    // After the head, an error concerns the body.
    (this.#chunks ?? this.#subscriber).error(error);
  }

  #connect(decompressor: Transform): Transform {
    return decompressor
      .on('data', (chunk: Uint8Array) => this.#chunks?.next(chunk))
      .once('end', () => this.#complete())
      .on('error', (error) => {
        const controller = this.#controller;
        this.#fail(error);
        controller?.abort(error);
      });
  }
}
