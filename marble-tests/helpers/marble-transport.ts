import { Observable, defer, finalize } from 'rxjs';
import type { Transport, TransportRequest, TransportResponse } from 'corduroy';

/** Encodes text as the bytes of a body. */
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Returns a response whose body is this stream of chunks. */
export function response(
  body: Observable<Uint8Array>,
  status = 200,
  headers: Record<string, string> = {},
): TransportResponse {
  return { status, headers, body };
}

/** Returns a transport whose answers the test writes as marbles, for each request. */
export function marbleTransport(
  answer: (request: TransportRequest, count: number) => Observable<TransportResponse>,
): Transport & { readonly requests: TransportRequest[] } {
  const requests: TransportRequest[] = [];
  return {
    requests,
    send: (request) =>
      defer(() => {
        requests.push(request);
        return keepOpen(answer(request, requests.length));
      }),
  };
}

/** Completes only after the body has been read, as real transports do. */
function keepOpen(source: Observable<TransportResponse>): Observable<TransportResponse> {
  return new Observable((subscriber) =>
    source.subscribe({
      next: (one) =>
        subscriber.next({
          ...one,
          body: one.body.pipe(finalize(() => subscriber.complete())),
        }),
      error: (error: unknown) => subscriber.error(error),
    }),
  );
}
