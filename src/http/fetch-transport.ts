import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import { hasExplicitCredentials } from './auth.ts';
import { observePolicy, policyReported } from './browser-causes.ts';
import { isBrowser, platformBudget } from './connection-budget.ts';
import { oneOf, toBody } from './query.ts';
import type { Parameters } from './query.ts';
import { hiddenRedirect, requireSameOrigin } from './redirect.ts';
import type {
  RequestBody,
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from './transport.ts';
import { takeBlob } from './transport.ts';

/** The options of {@link fetchTransport}. */
export interface FetchTransportOptions {
  /**
   * The fetch function: a stub for tests, or a wrapper.
   * @defaultValue the global `fetch`, which is looked up at each request
   */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Whether the browser sends its cookies; use `'include'` for a server of another origin. The cookie
   * of a session is always sent.
   * @defaultValue 'same-origin'
   */
  readonly credentials?: 'include' | 'same-origin' | 'omit';
  /**
   * How many connections the feeds of all tabs may hold to one server, from 1. Other feeds poll in turn
   * every two seconds, and `state$` shows their `pollInterval`. Without it, feeds could occupy the six
   * connections that browsers open over HTTP/1.1. It does not apply if the browser tells that the server
   * uses HTTP/2 or HTTP/3. A relay of another origin than CouchDB (`changesUrl`) may have two more.
   * @defaultValue 3 in pages and workers of browsers, else Infinity
   */
  readonly feedConnections?: number;
}

const OPTIONS: Parameters = {
  fetch: (value, name) => {
    if (typeof value === 'function') return '';
    throw invalidArgument(name, 'a function', value);
  },
  credentials: oneOf('include', 'same-origin', 'omit'),
  feedConnections: (value, name) => {
    if (value === Infinity || (Number.isSafeInteger(value) && Number(value) > 0)) return '';
    throw invalidArgument(name, 'a whole number from 1, or Infinity', value, RangeError);
  },
};

/**
 * Returns the transport over `fetch`: the default in browsers and workers. It also runs in Node, Deno
 * and Bun.
 *
 * - **Streams as bodies** are read whole before they are sent. Browsers stream uploads only over
 *   HTTP/2, which CouchDB does not support. Blobs and files are sent as they are.
 * - **Headers** that `fetch` computes or forbids, such as `content-length` and `host`, are not passed to it.
 * - **Redirects:** browsers hide where a redirect leads. A request with a body, cookies or own headers
 *   therefore errors with a `RedirectRefused`.
 * - **Truncated bodies:** an answer that is shorter than its `content-length` errors. `fetch` hides the
 *   truncation of a compressed body, and of a body without a length that ends by a reset. Node's `fetch`
 *   also hides it in chunks with `connection: close`. Outside of browsers Corduroy therefore requests
 *   attachments uncompressed.
 *
 * @throws TypeError for unknown and invalid options.
 */
export function fetchTransport(options: FetchTransportOptions = {}): Transport {
  toBody(OPTIONS, options, 'fetchTransport');
  observePolicy();
  const { credentials = 'same-origin', feedConnections = isBrowser() ? 3 : Infinity } = options;
  return {
    budget: platformBudget(feedConnections),
    send: (request) =>
      new Observable((subscriber) => {
        const aborter = new AbortController();
        // Looked up at each request, because tests and zone.js replace the global.
        const { fetch = globalThis.fetch } = options;
        let open = true;
        const onSettled = (): void => {
          open = false;
        };
        exchange(fetch, request, credentials, aborter.signal, subscriber, onSettled).catch(
          (error: unknown) => subscriber.error(error),
        );
        // Aborting after the end has no effect, and costs as much as a request.
        return () => {
          if (open) aborter.abort();
        };
      }),
  };
}

async function exchange(
  fetch: typeof globalThis.fetch,
  request: TransportRequest,
  credentials: RequestCredentials,
  signal: AbortSignal,
  subscriber: Subscriber<TransportResponse>,
  onSettled: () => void,
): Promise<void> {
  const upload: WholeUpload =
    request.body === undefined ? {} : await openUpload(request.body, signal);
  let response: Response;
  try {
    // The subscriber may have unsubscribed while the body was read.
    if (signal.aborted) return;
    response = await follow(fetch, request, upload.body, credentials, signal);
  } catch (failure) {
    await upload.explain?.();
    await policyReported();
    throw withReuse(failure);
  } finally {
    await upload.close?.();
  }
  const headers = toRecord(response.headers);
  // Browsers hide a redirect that they do not follow: its status, its headers and its body.
  const status = response.type === 'opaqueredirect' ? 302 : response.status;
  // The length counts compressed bytes, and is that of the body which HEAD omits.
  const isCounted =
    !('content-encoding' in headers) &&
    request.method !== 'HEAD' &&
    status !== 204 &&
    status !== 304;
  const length = isCounted ? Number(headers['content-length'] ?? NaN) : NaN;
  subscriber.next({
    status,
    headers,
    body: new Observable((chunks) => {
      pump(response.body, length, chunks).then(
        () => {
          if (!chunks.closed) onSettled();
          chunks.complete();
          subscriber.complete();
        },
        (error: unknown) => chunks.error(error),
      );
    }),
  });
}

/**
 * Sends a request. Browsers hide redirects: a request that shows nothing to another origin is sent again,
 * and the browser follows.
 */
async function follow(
  fetch: typeof globalThis.fetch,
  request: TransportRequest,
  body: WholeBody | undefined,
  credentials: RequestCredentials,
  signal: AbortSignal,
): Promise<Response> {
  const { method, url, cookies, endless } = request;
  const own = fetchHeaders(request.headers);
  const send = (redirect: RequestRedirect): Promise<Response> =>
    fetch(url, {
      method,
      // The length of a compressed body is hidden. Browsers send their own header.
      headers: isJson(request) ? own : { 'accept-encoding': 'identity', ...own },
      body: body ?? null,
      signal,
      // Explicit credentials decide: a cookie of the browser would overrule them.
      credentials: hasExplicitCredentials(request.headers)
        ? 'omit'
        : cookies === true
          ? 'include'
          : credentials,
      redirect,
      cache: endless === true ? 'no-store' : 'default',
    });
  const response = await send('manual');
  if (response.type !== 'opaqueredirect' || request.followRedirects === false) return response;
  if (!isHarmless(request, credentials)) throw hiddenRedirect(request);
  const followed = await send('follow');
  try {
    requireSameOrigin(followed.url, request);
  } catch (refused) {
    void followed.body?.cancel().catch(() => {});
    throw refused;
  }
  return followed;
}

/** Marks a failure of a kept-alive connection, as Node's fetch describes it. Browsers send again themselves. */
function withReuse(failure: unknown): unknown {
  const { cause } = Object(failure) as {
    readonly cause?: { readonly socket?: { readonly bytesRead?: number } };
  };
  const isReused = (cause?.socket?.bytesRead ?? 0) > 0;
  return isReused ? Object.assign(failure as Error, { reusedSocket: true }) : failure;
}

async function pump(
  body: ReadableStream<Uint8Array> | null,
  length: number,
  chunks: Subscriber<Uint8Array>,
): Promise<void> {
  if (body === null) return;
  const reader = body.getReader();
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (chunks.closed) return;
    if (done) {
      if (received < length) throw new Error(`received ${received} of ${length} bytes`);
      return;
    }
    received += value.length;
    chunks.next(value);
  }
}

/** A body that can be sent as a whole. */
export type WholeBody = string | Uint8Array<ArrayBuffer> | Blob;

/** The body of a request, and its source. */
export interface WholeUpload {
  readonly body?: WholeBody | undefined;
  /** Throws the error of the source, if that is why the body could not be sent. */
  readonly explain?: () => Promise<void>;
  /** Releases the source. */
  readonly close?: () => Promise<void>;
}

/** Larger bodies are sent as Blobs, in bytes: Chromium copies all others in the thread of the page. */
const LARGE = 1_048_576;

/** Opens a body. Reads a stream completely, unless `signal` aborts; its result is partial then. */
export async function openUpload(
  body: RequestBody | undefined,
  signal: AbortSignal,
): Promise<WholeUpload> {
  if (body === undefined) return { body };
  if (typeof body === 'string' || body instanceof Uint8Array) return { body: compact(body) };
  const iterator = body[Symbol.asyncIterator]();
  const close = async (): Promise<void> => {
    await iterator.return?.();
  };
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (;;) {
    const { done = false, value } = await iterator.next();
    if (done) break;
    const chunk = value as Uint8Array<ArrayBuffer>;
    const blob = takeBlob(chunk);
    if (blob !== undefined) {
      // The source reports its progress.
      await iterator.next();
      const explain = async (): Promise<void> => {
        if (!signal.aborted) await iterator.next();
      };
      return { body: blob, explain, close };
    }
    if (signal.aborted) {
      await close();
      break;
    }
    parts.push(chunk);
  }
  const all = new Blob(parts);
  return { body: all.size < LARGE ? new Uint8Array(await all.arrayBuffer()) : all };
}

/** Returns a body in the form that a browser copies fastest. */
function compact(body: string | Uint8Array): WholeBody {
  if (body.length < LARGE) return body as string | Uint8Array<ArrayBuffer>;
  if (typeof body !== 'string') return new Blob([body as Uint8Array<ArrayBuffer>]);
  // The type that fetch sends with a string, unless a header replaces it.
  return new Blob([new TextEncoder().encode(body)], { type: 'text/plain;charset=UTF-8' });
}

/** The headers that fetch computes, or does not allow. */
const COMPUTED_HEADERS = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Removes the headers that fetch computes, or does not allow. */
export function fetchHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !COMPUTED_HEADERS.has(name.toLowerCase())),
  );
}

/** Tells whether a truncated body cannot be taken for a whole one, because its end shows in its text. */
function isJson({ headers, endless }: TransportRequest): boolean {
  return headers['accept'] === 'application/json' && endless !== true;
}

/** Headers that a redirect may take anywhere, or that fetch keeps from other origins. */
const HARMLESS_HEADERS = new Set(['accept', 'authorization', 'range']);

/** Tells whether a browser may follow a redirect of a request that leads anywhere. */
export function isHarmless(
  { method, headers, body, cookies }: TransportRequest,
  credentials: RequestCredentials = 'same-origin',
): boolean {
  const isRead = (method === 'GET' || method === 'HEAD') && body === undefined;
  const hasCookies = cookies === true || credentials === 'include';
  return isRead && !hasCookies && Object.keys(headers).every((name) => HARMLESS_HEADERS.has(name));
}

function toRecord(headers: Headers): ResponseHeaders {
  const plain: Record<string, string> = {};
  headers.forEach((value, name) => {
    // Each cookie is an entry; the values of other repeated headers are joined.
    const before = name === 'set-cookie' ? plain[name] : undefined;
    plain[name] = before === undefined ? value : `${before}, ${value}`;
  });
  return plain;
}

let createDefault: () => Transport = fetchTransport;

/** Makes the transport of a connection without a `transport` option. */
export function defaultTransport(): Transport {
  return createDefault();
}

/**
 * Sets the default transport. Only Node's entry point calls it, so package.json lists that file under
 * `sideEffects`. All other entry points keep fetch.
 */
export function setDefaultTransport(factory: () => Transport): void {
  createDefault = factory;
}
