import { Readable } from 'node:stream';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import { CREDENTIAL_HEADERS } from './auth.ts';
import { joinHeaders, toUpload } from './node-http.ts';
import type { Upload } from './node-http.ts';
import type {
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from './transport.ts';

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
  const connect = { timeout: 0, rejectUnauthorized, ...(ca !== undefined && { ca: [ca].flat() }) };
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

/** The parts of a request that a redirect can change. */
interface Target extends Pick<TransportRequest, 'method' | 'url' | 'headers'> {
  readonly upload: Upload;
}

const MAX_REDIRECTS = 10;
const ACCEPTED_ENCODINGS = 'gzip, deflate, br';

const DECOMPRESSORS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * Handles one exchange over undici. It implements the handler interface, because undici's `request`
 * would create a promise and a stream for each response.
 */
export class UndiciExchange implements Dispatcher.DispatchHandler {
  readonly #agent: Dispatcher;
  readonly #subscriber: Subscriber<TransportResponse>;
  readonly #endless: boolean;
  readonly #followsRedirects: boolean;
  #target: Target;
  #next: Target | null = null;
  #redirects = 0;
  #open = true;
  #controller: Controller | null = null;
  #chunks: Subscriber<Uint8Array> | null = null;
  #createDecompressor: (() => Transform) | undefined;
  #decompressor: Transform | null = null;

  constructor(
    agent: Dispatcher,
    request: TransportRequest,
    subscriber: Subscriber<TransportResponse>,
  ) {
    this.#agent = agent;
    this.#subscriber = subscriber;
    this.#endless = request.endless === true;
    this.#followsRedirects = request.followRedirects !== false;
    const { method, url, headers, body } = request;
    this.#target = { method, url, headers, upload: toUpload(body) };
    this.#dispatch();
  }

  /** Closes the socket at once, unless the exchange is over. */
  abort(): void {
    const { upload } = this.#target;
    if (upload instanceof Readable) upload.destroy();
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
    _controller: Controller,
    status: number,
    raw: Parameters<typeof joinHeaders>[0],
  ): void {
    // Informational responses, such as 100 and 103, precede the response.
    if (status < 200 || !this.#open) return;
    const headers = joinHeaders(raw);
    this.#next = this.#redirectTarget(status, headers);
    if (this.#next !== null) return;
    this.#createDecompressor = DECOMPRESSORS[headers['content-encoding'] ?? ''];
    const body = new Observable<Uint8Array>((chunks) => {
      this.#chunks = chunks;
    });
    this.#subscriber.next({ status, headers, body });
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    if (this.#next !== null || !this.#open) return;
    if (this.#createDecompressor === undefined) {
      this.#chunks?.next(chunk);
      return;
    }
    this.#decompressor ??= this.#connect(this.#createDecompressor());
    if (this.#decompressor.write(chunk)) return;
    controller.pause();
    this.#decompressor.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    if (!this.#open) return;
    if (this.#next !== null) this.#follow(this.#next);
    else if (this.#decompressor === null) this.#complete();
    else this.#decompressor.end();
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fail(error);
  }

  #dispatch(): void {
    const { method, url, headers, upload } = this.#target;
    const slash = url.indexOf('/', url.indexOf('//') + 2);
    const options = {
      origin: slash === -1 ? url : url.slice(0, slash),
      path: slash === -1 ? '/' : url.slice(slash),
      method,
      // Compression would delay a feed's heartbeats.
      headers: this.#endless
        ? headers
        : Object.assign({ 'accept-encoding': ACCEPTED_ENCODINGS }, headers),
      body: upload ?? null,
    };
    this.#agent.dispatch(options, this);
  }

  #complete(): void {
    this.#open = false;
    this.#chunks?.complete();
    this.#subscriber.complete();
  }

  #fail(error: Error): void {
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

  /** Returns the target of a redirect, or null if the response is none. */
  #redirectTarget(status: number, headers: ResponseHeaders): Target | null {
    const { location } = headers;
    if (
      !this.#followsRedirects ||
      location === undefined ||
      status > 308 ||
      (status < 307 && (status < 301 || status > 303))
    )
      return null;
    const { method, url, headers: original, upload } = this.#target;
    // A stream cannot be sent twice.
    if (upload instanceof Readable) return null;
    const from = new URL(url);
    const to = new URL(location, from);
    const kept = { ...original };
    if (to.origin !== from.origin) for (const name of CREDENTIAL_HEADERS) delete kept[name];
    const seeOther = status === 303 && method !== 'GET' && method !== 'HEAD';
    return {
      method: seeOther ? 'GET' : method,
      url: to.origin + to.pathname + to.search,
      headers: kept,
      upload: seeOther ? undefined : upload,
    };
  }

  #follow(target: Target): void {
    this.#redirects += 1;
    if (this.#redirects > MAX_REDIRECTS) {
      this.#fail(new Error(`Redirected more than ${MAX_REDIRECTS} times`));
      return;
    }
    this.#next = null;
    this.#target = target;
    this.#dispatch();
  }
}
