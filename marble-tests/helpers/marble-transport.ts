import { Observable, defer, finalize } from 'rxjs';
import type { Transport, TransportRequest, TransportResponse } from 'corduroy';

/** Turns text into the bytes of a body. */
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A response whose body is the given stream of chunks. */
export function response(
  body: Observable<Uint8Array>,
  status = 200,
  headers: Record<string, string> = {},
): TransportResponse {
  return { status, headers, body };
}

/** A transport whose answers the test writes as marbles, request by request. */
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

/** As real transports do, stays subscribed until the body has been read, and completes then. */
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
