import { makeStateKey } from '@angular/core';
import type { StateKey, TransferState } from '@angular/core';
import { Observable, map, mergeMap, of } from 'rxjs';
import { CREDENTIAL_HEADERS } from '../http/auth.ts';
import { readText } from '../http/exchange.ts';
import type {
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from '../http/transport.ts';

/**
 * Which responses SSR writes into the page, so that the browser does not request them again.
 * `'public'`: responses to requests without credentials. `'all'`: also those with credentials.
 * `'none'`: no responses.
 */
export type Transfer = 'public' | 'all' | 'none';

interface StoredResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly text: string;
}

/** The headers that decoding needs. All others stay out of the page. */
const HEADERS = ['content-type', 'etag'];

/** Writes responses into the page. SSR uses it. */
export function recordingTransport(
  transport: Transport,
  state: TransferState,
  urls: readonly string[],
  transfer: Transfer,
): Transport {
  return {
    budget: transport.budget ?? null,
    send(request) {
      const exchange$ = transport.send(request);
      const key = keyOf(request, urls);
      if (key === null || transfer === 'none' || !isDatabaseRequest(request, urls))
        return exchange$;
      if (transfer === 'public' && hasCredentials(request)) return exchange$;
      return exchange$.pipe(
        mergeMap((response) => {
          const { status, headers } = response;
          if (status !== 200 || !/\bjson\b/.test(headers['content-type'] ?? ''))
            return of(response);
          return readText(response.body).pipe(
            map((text) => {
              const storedHeaders = Object.entries(headers).filter(([name]) =>
                HEADERS.includes(name),
              );
              const stored: StoredResponse = {
                status,
                headers: Object.fromEntries(storedHeaders),
                text,
              };
              state.set(key, stored);
              return replay(stored);
            }),
          );
        }),
      );
    },
  };
}

/**
 * Answers requests with the responses in the page, until hydration ends or the application writes.
 * After a write they may be out of date. Feeds continue from the sequence that SSR read.
 */
export function replayingTransport(
  transport: Transport,
  state: TransferState,
  urls: readonly string[],
  hydration: { readonly isOver: boolean },
): Transport {
  let hasWritten = false;
  return {
    budget: transport.budget ?? null,
    send: (request) =>
      new Observable((subscriber) => {
        const key = keyOf(request, urls);
        if (!isRead(request)) hasWritten = true;
        const stored = key === null || hasWritten || hydration.isOver ? null : state.get(key, null);
        const exchange$ = stored === null ? transport.send(request) : of(replay(stored));
        return exchange$.subscribe(subscriber);
      }),
  };
}

function replay({ status, headers, text }: StoredResponse): TransportResponse {
  return { status, headers, body: of(new TextEncoder().encode(text)) };
}

/** Tells whether a request changes nothing. */
function isRead({
  method,
  reads = method === 'GET' || method === 'HEAD',
}: TransportRequest): boolean {
  return reads;
}

/**
 * Returns the key of a response; null for a request that may write, and for one whose response the page
 * does not hold. The key contains the path and no origin, because SSR may reach CouchDB under another URL
 * than the browser.
 */
function keyOf(
  request: TransportRequest,
  urls: readonly string[],
): StateKey<StoredResponse | null> | null {
  const { method, url, body, endless } = request;
  if (!isRead(request) || endless === true || method === 'HEAD') return null;
  if (body !== undefined && typeof body !== 'string') return null;
  const path = pathOf(url, urls);
  return makeStateKey(`corduroy ${method} ${path} ${body ?? ''}`);
}

function hasCredentials({ headers, cookies }: TransportRequest): boolean {
  return cookies === true || CREDENTIAL_HEADERS.some((name) => name in headers);
}

/** Excludes requests to the server itself: a session of SSR is not that of the browser. */
function isDatabaseRequest({ url }: TransportRequest, urls: readonly string[]): boolean {
  return !pathOf(url, urls).startsWith('/_');
}

function pathOf(url: string, urls: readonly string[]): string {
  const base = urls.find((one) => url.startsWith(one)) ?? '';
  return url.slice(base.length);
}
