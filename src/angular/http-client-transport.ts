import { HttpClient, HttpErrorResponse } from '@angular/common/http';
import type { HttpHeaders, HttpResponse } from '@angular/common/http';
import { inject } from '@angular/core';
import { Observable, catchError, map, of, throwError } from 'rxjs';
import { fetchHeaders, fetchTransport, isHarmless, openUpload } from '../http/fetch-transport.ts';
import { hasExplicitCredentials } from '../http/auth.ts';
import type { WholeBody } from '../http/fetch-transport.ts';
import { toBody } from '../http/query.ts';
import type { Parameter } from '../http/query.ts';
import { hiddenRedirect, requireSameOrigin } from '../http/redirect.ts';
import type {
  RequestBody,
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** The options of {@link httpClientTransport}. */
export interface HttpClientTransportOptions {
  /** The `HttpClient`. @defaultValue that of the injection context */
  readonly http?: HttpClient | undefined;
  /**
   * The transport for feeds. `HttpClient` emits a response only at its end, so it cannot carry
   * them.
   * @defaultValue `fetchTransport()`
   */
  readonly feeds?: Transport | undefined;
}

const has =
  (method: string, expectation: string): Parameter =>
  (value, name) => {
    if (typeof Object(value)[method] === 'function') return '';
    throw invalidArgument(name, expectation, value);
  };

const OPTIONS = { http: has('request', 'an HttpClient'), feeds: has('send', 'a Transport') };

/**
 * Returns a transport over Angular's `HttpClient`. Interceptors and `HttpTestingController` see
 * each request.
 *
 * - **Feeds** use the transport in `feeds`. Interceptors do not see them; they use the credentials
 *   of the `Couch`.
 * - **Bodies** are buffered: Corduroy reads responses completely before it emits, and streams
 *   completely before it sends. It requests JSON as text, and all else as bytes.
 * - **Redirects and cookies:** with `withFetch()`, as for `fetchTransport`. Without it, browsers follow
 *   redirects, also to another origin, and send their cookies along with explicit credentials.
 *
 * @example
 * provideCorduroy(() => ({ url: 'https://couch.example.org', transport: httpClientTransport() }))
 * @throws Error outside an injection context without `http`; TypeError for unknown and invalid options.
 */
export function httpClientTransport(options: HttpClientTransportOptions = {}): Transport {
  toBody(OPTIONS, options, 'httpClientTransport');
  const { http = inject(HttpClient), feeds = fetchTransport() } = options;
  return {
    budget: feeds.budget ?? null,
    send: (request) => (request.endless === true ? feeds.send(request) : exchange(http, request)),
  };
}

function exchange(http: HttpClient, request: TransportRequest): Observable<TransportResponse> {
  const { method, url, headers, cookies = false } = request;
  // Without `withFetch()` Angular ignores these two options.
  const isOpen = isHarmless(request);
  const isExplicit = hasExplicitCredentials(headers);
  const send = (
    body: string | ArrayBuffer | Blob | undefined,
  ): Observable<HttpResponse<string | ArrayBuffer>> => {
    const common = {
      ...(body !== undefined && { body }),
      headers: fetchHeaders(headers),
      observe: 'response',
      ...(isExplicit ? { credentials: 'omit' as const } : { withCredentials: cookies }),
      ...(!isOpen && { redirect: 'manual' as const }),
      // Corduroy writes responses into the page itself, so Angular must not write them again.
      transferCache: false,
    } as const;
    return headers['accept'] === 'application/json'
      ? http.request(method, url, { ...common, responseType: 'text' })
      : http.request(method, url, { ...common, responseType: 'arraybuffer' });
  };
  return withBody(request.body, send).pipe(
    map((response) => {
      requireSameOrigin(response.url, request);
      return toResponse(response, response.body);
    }),
    catchError((error: unknown) => {
      if (!(error instanceof HttpErrorResponse)) return throwError(() => error);
      // Status 0 without an error is a redirect that the browser hides.
      if (error.status === 0 && !isOpen && error.error === null) throw hiddenRedirect(request);
      // Status 0 means that no response arrived.
      if (error.status === 0) return throwError(() => causeOf(error));
      requireSameOrigin(error.url, request);
      if (error.status < 200 || error.status >= 300) return of(toResponse(error, error.error));
      // The head arrived, but the body was cut off.
      return of({ ...toResponse(error, null), body: throwError(() => causeOf(error)) });
    }),
  );
}

function toResponse(
  { status, headers }: { readonly status: number; readonly headers: HttpHeaders },
  body: unknown,
): TransportResponse {
  return { status, headers: toRecord(headers), body: of(toBytes(body)) };
}

/** Converts a body of any type, because interceptors can replace it. */
function toBytes(body: unknown): Uint8Array {
  if (body === null || body === undefined) return new Uint8Array();
  if (body instanceof Uint8Array) return body;
  if (typeof body === 'string') return new TextEncoder().encode(body);
  // `instanceof` fails for an ArrayBuffer of another realm.
  if (Object.prototype.toString.call(body) === '[object ArrayBuffer]') {
    return new Uint8Array(body as ArrayBuffer);
  }
  return new TextEncoder().encode(JSON.stringify(body));
}

function causeOf({ error, message }: HttpErrorResponse): unknown {
  return error instanceof Error ? error : new TypeError(message);
}

function toRecord(headers: HttpHeaders): ResponseHeaders {
  const plain: Record<string, string> = {};
  for (const name of headers.keys()) {
    plain[name.toLowerCase()] = (headers.getAll(name) ?? []).join(', ');
  }
  return plain;
}

/** Opens a body for each subscription. `HttpClient` sends strings, buffers and Blobs. */
function withBody<T>(
  body: RequestBody | undefined,
  send: (body: string | ArrayBuffer | Blob | undefined) => Observable<T>,
): Observable<T> {
  if (body === undefined || typeof body === 'string') return send(body);
  return new Observable((subscriber) => {
    const aborter = new AbortController();
    subscriber.add(() => aborter.abort());
    const start = async (): Promise<void> => {
      const upload = await openUpload(body, aborter.signal);
      subscriber.add(() => void upload.close?.().catch(() => {}));
      const ready = await toHttpBody(upload.body);
      const fail = (failure: unknown): void => {
        Promise.resolve(upload.explain?.()).then(
          () => subscriber.error(failure),
          (reason: unknown) => subscriber.error(reason),
        );
      };
      subscriber.add(
        send(ready).subscribe({
          next: (value) => subscriber.next(value),
          error: fail,
          complete: () => subscriber.complete(),
        }),
      );
    };
    start().catch((error: unknown) => subscriber.error(error));
  });
}

async function toHttpBody(body: WholeBody | undefined): Promise<string | ArrayBuffer | Blob> {
  if (body === undefined || typeof body === 'string') return body ?? '';
  if (body instanceof Uint8Array) return body.slice().buffer;
  // The XMLHttpRequest of Angular's server-side rendering sends no Blobs.
  return typeof XMLHttpRequest === 'undefined' ? body.arrayBuffer() : body;
}
