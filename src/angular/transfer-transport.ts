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
 * Which answers a server writes into the page, so that the browser need not ask again:
 * `'public'`: those to requests without credentials; `'all'`: those with credentials, too; `'none'`.
 */
export type Transfer = 'public' | 'all' | 'none';

interface Stored {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly text: string;
}

/** What an answer is understood by; the rest of its head is nobody's business. */
const HEADERS = ['content-type', 'etag'];

/** Writes what is read into the page. For the server that renders it. */
export function recordingTransport(
  carrier: Transport,
  state: TransferState,
  urls: readonly string[],
  transfer: Transfer,
): Transport {
  return {
    send(request) {
      const exchange$ = carrier.send(request);
      const key = keyOf(request, urls);
      if (key === null || transfer === 'none' || !isOfDatabase(request, urls)) return exchange$;
      if (transfer === 'public' && hasCredentials(request)) return exchange$;
      return exchange$.pipe(
        mergeMap((response) => {
          const { status, headers } = response;
          if (status !== 200 || !/\bjson\b/.test(headers['content-type'] ?? ''))
            return of(response);
          return readText(response.body).pipe(
            map((text) => {
              const kept = Object.entries(headers).filter(([name]) => HEADERS.includes(name));
              const stored: Stored = { status, headers: Object.fromEntries(kept), text };
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
 * Answers from the page what the server wrote there, until hydration is over, or until something is written:
 * what was read before that may have changed. A feed goes on from the sequence that the server read.
 */
export function replayingTransport(
  carrier: Transport,
  state: TransferState,
  urls: readonly string[],
  hydration: { readonly isOver: boolean },
): Transport {
  let written = false;
  return {
    send: (request) =>
      new Observable((subscriber) => {
        const key = keyOf(request, urls);
        if (key === null && request.endless !== true) written = true;
        const stored = key === null || written || hydration.isOver ? null : state.get(key, null);
        const exchange$ = stored === null ? carrier.send(request) : of(replay(stored));
        return exchange$.subscribe(subscriber);
      }),
  };
}

function replay({ status, headers, text }: Stored): TransportResponse {
  return { status, headers, body: of(new TextEncoder().encode(text)) };
}

/** What is asked with POST, and only reads. */
const READS = /\/_(?:all_docs|bulk_get|changes|find|view\/[^/]+)(?:\/queries)?$/;

/**
 * The name of an answer; null for requests that may write. The server that renders a page
 * may know CouchDB by another URL than the browser does.
 */
function keyOf(request: TransportRequest, urls: readonly string[]): StateKey<Stored | null> | null {
  const { method, url, body, endless } = request;
  if (endless === true || (body !== undefined && typeof body !== 'string')) return null;
  const path = pathOf(url, urls);
  const isRead = method === 'POST' && READS.test(path.split('?')[0] ?? '');
  if (method !== 'GET' && !isRead) return null;
  return makeStateKey(`corduroy ${method} ${path} ${body ?? ''}`);
}

function hasCredentials({ headers, cookies }: TransportRequest): boolean {
  return cookies === true || CREDENTIAL_HEADERS.some((name) => name in headers);
}

/** What concerns the server as a whole, sessions above all, may be another matter in the browser. */
function isOfDatabase({ url }: TransportRequest, urls: readonly string[]): boolean {
  return !pathOf(url, urls).startsWith('/_');
}

function pathOf(url: string, urls: readonly string[]): string {
  const base = urls.find((one) => url.startsWith(one)) ?? '';
  return url.slice(base.length);
}
