import { Readable } from 'node:stream';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { Agent, buildConnector } from 'undici';
import type { Dispatcher } from 'undici';
import { joinHeaders, toUpload } from './node-http.ts';
import type { Upload } from './node-http.ts';
import { redirectedRequest, switchedProtocols } from './redirect.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';

/** The options of {@link undiciTransport}. */
export interface UndiciTransportOptions {
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
 * Returns the transport over `undici`, for Node programs that send many requests: it uses a fraction
 * of the processor time of the other transports. Install undici in addition to Corduroy.
 *
 * It has one pool of kept-alive sockets, and a separate socket for each feed, as `gotTransport` has.
 *
 * @example
 * new Couch(url, { transport: undiciTransport() });
 */
export function undiciTransport(options: UndiciTransportOptions = {}): Transport {
  const { maxSockets = 64, ca, rejectUnauthorized = true } = options;
  // The connection applies timeouts, on its scheduler.
  const noTimeouts = { headersTimeout: 0, bodyTimeout: 0 };
  const connect = observeResets(
    buildConnector({
      timeout: 0,
      rejectUnauthorized,
      ...(ca !== undefined && { ca: [ca].flat() }),
    }),
  );
  const pooled = new Agent({ ...noTimeouts, connect, connections: maxSockets });
  // With `pipelining: 0` a socket serves one request, and is then closed.
  const endless = new Agent({ ...noTimeouts, connect, pipelining: 0 });
  return {
    send: (request) =>
      new Observable((subscriber) => {
        const agent = request.endless === true ? endless : pooled;
        const exchange = new UndiciExchange(agent, request, subscriber);
        return () => exchange.abort();
      }),
  };
}

type Controller = Dispatcher.DispatchController;

/** The requests that were redirected and aborted. Their exchanges ignore further callbacks. */
const redirected = new WeakSet<Controller>();

/** Whether a socket is reporting an error at this moment. */
let isResetting = false;

/**
 * Returns a connector whose sockets report errors here first. For a response without a length undici
 * takes a reset for the end, and ends the response while it handles the error.
 */
function observeResets(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...result) => {
      const [, socket] = result;
      socket?.on('error', () => {
        isResetting = true;
        process.nextTick(() => (isResetting = false));
      });
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
  readonly #agent: Dispatcher;
  readonly #subscriber: Subscriber<TransportResponse>;
  #request: TransportRequest;
  #upload: Upload;
  #redirects = 0;
  #open = true;
  #controller: Controller | null = null;
  #chunks: Subscriber<Uint8Array> | null = null;
  #createDecompressor: (() => Transform) | undefined;
  #decompressor: Transform | null = null;
  #canPause = false;

  constructor(
    agent: Dispatcher,
    request: TransportRequest,
    subscriber: Subscriber<TransportResponse>,
  ) {
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
    let next: TransportRequest | null;
    try {
      if (status === 101) throw switchedProtocols();
      next = redirectedRequest(status, headers['location'], this.#request, this.#redirects);
    } catch (error) {
      this.#fail(error);
      controller.abort(new Error('The exchange was aborted'));
      return;
    }
    if (next !== null) {
      // Its body may never end.
      redirected.add(controller);
      controller.abort(new Error('The request was redirected'));
      this.#follow(next);
      return;
    }
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
    if (!this.#open || redirected.has(controller)) return;
    if (this.#createDecompressor === undefined) {
      this.#chunks?.next(chunk);
      return;
    }
    this.#decompressor ??= this.#connect(this.#createDecompressor());
    if (this.#decompressor.write(chunk) || !this.#canPause) return;
    controller.pause();
    this.#decompressor.once('drain', () => controller.resume());
  }

  onResponseEnd(controller: Controller): void {
    if (!this.#open || redirected.has(controller)) return;
    if (isResetting) this.#fail(new Error('the connection was reset'));
    else if (this.#decompressor === null) this.#complete();
    else this.#decompressor.end();
  }

  onResponseError(controller: Controller, error: Error): void {
    if (!redirected.has(controller)) this.#fail(error);
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

  #follow(request: TransportRequest): void {
    this.#redirects += 1;
    this.#request = request;
    this.#upload = toUpload(request.body);
    this.#dispatch();
  }
}
