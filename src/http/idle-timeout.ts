import { Observable } from 'rxjs';
import type { SchedulerLike, Subscriber, Subscription } from 'rxjs';
import { TimeoutError } from '../errors/connection-error.ts';
import { LONGEST_TIMER, clock } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { SentRequest } from './link.ts';
import type { Link, LinkRequest, Next } from './link.ts';
import type { RequestBody, TransportResponse } from './transport.ts';

/**
 * Errors if no data flows for too long: before the head of the response, or within its body. A chunk of
 * a streamed upload is data too.
 *
 * All requests pass here, so it is a single Observable with a single timer.
 */
export function idleTimeoutLink(scheduler: SchedulerLike): Link {
  return (request, next) =>
    request.timeout === 0 || request.timeout === Infinity
      ? next(request)
      : watched(request, next, scheduler);
}

function watched(
  request: LinkRequest,
  send: Next,
  scheduler: SchedulerLike,
): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    let bodySubscriber: Subscriber<Uint8Array> | undefined;
    const idle = new IdleTimeout(request.timeout, scheduler, () => {
      const mayBeWritten = !request.reads;
      const error = new TimeoutError(request.timeout, new SentRequest(request), mayBeWritten);
      (bodySubscriber ?? subscriber).error(error);
    });
    idle.start();
    const watchBody = (body: Observable<Uint8Array>): Observable<Uint8Array> =>
      new Observable((chunks) => {
        bodySubscriber = chunks;
        idle.start();
        chunks.add(() => idle.stop());
        return body.subscribe(
          guarded(chunks, {
            next: (chunk) => {
              idle.recordActivity();
              chunks.next(chunk);
            },
            complete: () => chunks.complete(),
          }),
        );
      });
    subscriber.add(() => idle.stop());
    return send(watchUpload(request, () => idle.recordActivity())).subscribe(
      guarded(subscriber, {
        next: ({ status, headers, body }) => {
          idle.recordActivity();
          subscriber.next({ status, headers, body: watchBody(body) });
          // Without a subscriber the body has no deadline.
          if (bodySubscriber === undefined) idle.stop();
        },
        complete: () => subscriber.complete(),
      }),
    );
  });
}

/** Calls back for each chunk that the transport takes. It takes text and bytes as a whole. */
function watchUpload(request: LinkRequest, onChunk: () => void): LinkRequest {
  const { body } = request;
  if (typeof body !== 'object' || !(Symbol.asyncIterator in body)) return request;
  return { ...request, body: { [Symbol.asyncIterator]: () => watchChunks(body, onChunk) } };
}

async function* watchChunks(
  body: Exclude<RequestBody, string | Uint8Array>,
  onChunk: () => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    onChunk();
    yield chunk;
    onChunk();
  }
}

/** Calls back after a time without activity. Activity does not reset its timer, which would cost time. */
class IdleTimeout {
  readonly #timeout: number;
  readonly #scheduler: SchedulerLike;
  readonly #onTimeout: () => void;
  readonly #now: () => number;
  #timer: Subscription | undefined;
  #lastActivity = 0;

  constructor(timeout: number, scheduler: SchedulerLike, onTimeout: () => void) {
    this.#timeout = timeout;
    this.#scheduler = scheduler;
    this.#onTimeout = onTimeout;
    this.#now = clock(scheduler);
  }

  start(): void {
    this.recordActivity();
    this.#timer ??= this.#schedule(this.#timeout);
  }

  recordActivity(): void {
    this.#lastActivity = this.#now();
  }

  stop(): void {
    this.#timer?.unsubscribe();
    this.#timer = undefined;
  }

  #check(): void {
    const remaining = this.#lastActivity + this.#timeout - this.#now();
    if (remaining > 0) this.#timer = this.#schedule(remaining);
    else this.#onTimeout();
  }

  #schedule(delay: number): Subscription {
    return this.#scheduler.schedule(() => this.#check(), Math.min(delay, LONGEST_TIMER));
  }
}
