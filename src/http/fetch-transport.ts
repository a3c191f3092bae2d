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

/** How the transport over fetch asks. */
export interface FetchTransportOptions {
  /**
   * The function to call; for tests, or for a platform whose fetch is to be wrapped.
   * @defaultValue the global `fetch`
   */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Whether the browser sends its own cookies: `'include'` for a server of another origin. Cookie
   * sessions are always sent.
   * @defaultValue 'same-origin'
   */
  readonly credentials?: 'include' | 'same-origin' | 'omit';
}

/**
 * Returns the transport over `fetch`: the default in browsers and workers, and usable in Node,
 * Deno and Bun.
 *
 * A body that is given as a stream is read whole before it is sent: browsers stream uploads only
 * over HTTP/2, which CouchDB does not speak.
 */
export function fetchTransport(options: FetchTransportOptions = {}): Transport {
  const { credentials = 'same-origin' } = options;
  return {
    send: (request) =>
      new Observable((subscriber) => {
        const aborter = new AbortController();
        // Looked up at each request: tests and zone.js replace the global.
        const { fetch = globalThis.fetch } = options;
        let open = true;
        const settle = (): void => {
          open = false;
        };
        exchange(fetch, request, credentials, aborter.signal, subscriber, settle).catch(
          (error: unknown) => subscriber.error(error),
        );
        // To abort what has ended changes nothing, and is as dear as a request.
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
  settle: () => void,
): Promise<void> {
  const body = request.body === undefined ? null : await wholeBody(request.body, signal);
  // The subscriber may have left while the body was being gathered.
  if (signal.aborted) return;
  const response = await fetch(request.url, {
    method: request.method,
    headers: { ...request.headers },
    body,
    signal,
    credentials: request.cookies === true ? 'include' : credentials,
    redirect: hasForeignCredentials(request.headers) ? 'error' : 'follow',
    cache: request.endless === true ? 'no-store' : 'default',
  });
  subscriber.next({
    status: response.status,
    headers: record(response.headers),
    body: new Observable((chunks) => {
      pump(response.body, chunks).then(
        () => {
          if (!chunks.closed) settle();
          chunks.complete();
          subscriber.complete();
        },
        (error: unknown) => chunks.error(error),
      );
    }),
  });
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

/** Gathers a body that is a stream; when `signal` aborts, it is left, and what there is, is nothing. */
export async function wholeBody(
  body: RequestBody,
  signal: AbortSignal,
): Promise<string | Uint8Array<ArrayBuffer>> {
  if (typeof body === 'string') return body;
  if (body instanceof Uint8Array) return body as Uint8Array<ArrayBuffer>;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of body) {
    // Leaving the loop releases the source.
    if (signal.aborted) break;
    parts.push(part as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * On a redirect to another origin fetch drops `authorization`, and no other header: where there are
 * other credentials, a redirect is refused.
 */
export function hasForeignCredentials(headers: Readonly<Record<string, string>>): boolean {
  return CREDENTIAL_HEADERS.some((name) => name !== 'authorization' && name in headers);
}

function record(headers: Headers): ResponseHeaders {
  const plain: Record<string, string> = {};
  headers.forEach((value, name) => {
    plain[name] = value;
  });
  return plain;
}

let make: () => Transport = fetchTransport;

/** Makes the transport for a connection that names none. */
export function defaultTransport(): Transport {
  return make();
}

/**
 * Chooses the transport of connections that name none. Only Node's door calls it, which
 * package.json therefore lists under `sideEffects`; every other door leaves fetch in place.
 */
export function setDefaultTransport(factory: () => Transport): void {
  make = factory;
}
