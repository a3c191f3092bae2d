import { HttpClient, HttpErrorResponse } from '@angular/common/http';
import type { HttpHeaders, HttpResponse } from '@angular/common/http';
import { inject } from '@angular/core';
import { Observable, catchError, map, mergeMap, of, throwError } from 'rxjs';
import { fetchTransport, hasForeignCredentials, wholeBody } from '../http/fetch-transport.ts';
import type {
  RequestBody,
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from '../http/transport.ts';

/** How the transport over `HttpClient` asks. */
export interface HttpClientTransportOptions {
  /** @defaultValue that of the injection context */
  readonly http?: HttpClient | undefined;
  /**
   * What carries feeds, which `HttpClient` would read to their end before it says anything.
   * @defaultValue `fetchTransport()`
   */
  readonly feeds?: Transport | undefined;
}

/**
 * Returns the transport over Angular's `HttpClient`: interceptors see each request, and so does
 * `HttpTestingController`.
 *
 * Not what goes on for ever, feeds, which go over `feeds` and which no interceptor sees: their
 * credentials are those of the `Couch`. Answers are read whole before any of them is passed on, and
 * bodies that are streams before they are sent. JSON is asked for as text, anything else as bytes. A
 * redirect that credentials other than `authorization` must not follow is refused with `withFetch()`;
 * without it browsers follow.
 *
 * @example
 * provideCorduroy(() => ({ url: 'https://couch.example.org', transport: httpClientTransport() }))
 *
 * @throws Error outside an injection context, where no `http` is given.
 */
export function httpClientTransport(options: HttpClientTransportOptions = {}): Transport {
  const { http = inject(HttpClient), feeds = fetchTransport() } = options;
  return {
    send: (request) => (request.endless === true ? feeds.send(request) : exchange(http, request)),
  };
}

function exchange(http: HttpClient, request: TransportRequest): Observable<TransportResponse> {
  const { method, url, headers, cookies = false } = request;
  return gather(request.body).pipe(
    mergeMap((body) => {
      const common = {
        ...(body !== undefined && { body }),
        headers: { ...headers },
        observe: 'response',
        withCredentials: cookies,
        // As in `fetchTransport`: they must not follow to another origin. It takes `withFetch()`.
        ...(hasForeignCredentials(headers) && { redirect: 'error' as const }),
        // Should the page be written by a server, this transport's own answers are in it already.
        transferCache: false,
      } as const;
      const response$: Observable<HttpResponse<string | ArrayBuffer>> =
        headers['accept'] === 'application/json'
          ? http.request(method, url, { ...common, responseType: 'text' })
          : http.request(method, url, { ...common, responseType: 'arraybuffer' });
      return response$;
    }),
    map((response) => answer(response, response.body)),
    catchError((error: unknown) => {
      if (!(error instanceof HttpErrorResponse)) return throwError(() => error);
      // Without a status nobody answered.
      if (error.status === 0) return throwError(() => causeOf(error));
      if (error.status < 200 || error.status >= 300) return of(answer(error, error.error));
      // The head has come, and the body has not, or not whole.
      return of({ ...answer(error, null), body: throwError(() => causeOf(error)) });
    }),
  );
}

function answer(
  { status, headers }: { readonly status: number; readonly headers: HttpHeaders },
  body: unknown,
): TransportResponse {
  return { status, headers: record(headers), body: of(toBytes(body)) };
}

/** An interceptor may have made anything of a body. */
function toBytes(body: unknown): Uint8Array {
  if (body === null || body === undefined) return new Uint8Array();
  if (body instanceof Uint8Array) return body;
  if (typeof body === 'string') return new TextEncoder().encode(body);
  // Not `instanceof`: it may come from another realm.
  if (Object.prototype.toString.call(body) === '[object ArrayBuffer]') {
    return new Uint8Array(body as ArrayBuffer);
  }
  return new TextEncoder().encode(JSON.stringify(body));
}

function causeOf({ error, message }: HttpErrorResponse): unknown {
  return error instanceof Error ? error : new TypeError(message);
}

function record(headers: HttpHeaders): ResponseHeaders {
  const plain: Record<string, string> = {};
  for (const name of headers.keys()) {
    plain[name.toLowerCase()] = (headers.getAll(name) ?? []).join(', ');
  }
  return plain;
}

/** `HttpClient` takes strings and buffers. */
function gather(body: RequestBody | undefined): Observable<string | ArrayBuffer | undefined> {
  if (body === undefined || typeof body === 'string') return of(body);
  return new Observable((subscriber) => {
    const aborter = new AbortController();
    wholeBody(body, aborter.signal).then(
      (all) => {
        subscriber.next(typeof all === 'string' ? all : all.slice().buffer);
        subscriber.complete();
      },
      (error: unknown) => subscriber.error(error),
    );
    return () => aborter.abort();
  });
}
