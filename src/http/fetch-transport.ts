import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { CREDENTIAL_HEADERS } from './auth.ts';
import type {
  RequestBody,
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from './transport.ts';

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
}

/**
 * Returns the transport over `fetch`: the default in browsers and workers. It also runs in Node, Deno
 * and Bun.
 *
 * It reads a body that is a stream whole before it sends it. Browsers stream uploads only over
 * HTTP/2, which CouchDB does not support.
 */
export function fetchTransport(options: FetchTransportOptions = {}): Transport {
  const { credentials = 'same-origin' } = options;
  return {
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
  const body = request.body === undefined ? null : await wholeBody(request.body, signal);
  // The subscriber may have unsubscribed while the body was read.
  if (signal.aborted) return;
  const response = await fetch(request.url, {
    method: request.method,
    headers: { ...request.headers },
    body,
    signal,
    credentials: request.cookies === true ? 'include' : credentials,
    redirect: redirectMode(request),
    cache: request.endless === true ? 'no-store' : 'default',
  });
  subscriber.next({
    // Browsers hide a redirect that they do not follow: its status, its headers and its body.
    status: response.type === 'opaqueredirect' ? 302 : response.status,
    headers: toRecord(response.headers),
    body: new Observable((chunks) => {
      pump(response.body, chunks).then(
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

function redirectMode({ followRedirects, headers }: TransportRequest): RequestRedirect {
  if (followRedirects === false) return 'manual';
  return hasForeignCredentials(headers) ? 'error' : 'follow';
}

async function pump(
  body: ReadableStream<Uint8Array> | null,
  chunks: Subscriber<Uint8Array>,
): Promise<void> {
  if (body === null) return;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done || chunks.closed) return;
    chunks.next(value);
  }
}

/** Reads a body that is a stream. If `signal` aborts, it stops early, and its result is partial. */
export async function wholeBody(
  body: RequestBody,
  signal: AbortSignal,
): Promise<string | Uint8Array<ArrayBuffer>> {
  if (typeof body === 'string') return body;
  if (body instanceof Uint8Array) return body as Uint8Array<ArrayBuffer>;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of body) {
    // `break` releases the source.
    if (signal.aborted) break;
    parts.push(part as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * Tells whether headers hold credentials other than `authorization`. fetch would send those to another
 * origin on a redirect, and cannot refuse only that, so every redirect is refused.
 */
export function hasForeignCredentials(headers: Readonly<Record<string, string>>): boolean {
  return CREDENTIAL_HEADERS.some((name) => name !== 'authorization' && name in headers);
}

function toRecord(headers: Headers): ResponseHeaders {
  const plain: Record<string, string> = {};
  headers.forEach((value, name) => {
    plain[name] = value;
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
