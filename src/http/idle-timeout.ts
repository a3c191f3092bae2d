import { Observable } from 'rxjs';
import type { SchedulerLike, Subscriber, Subscription } from 'rxjs';
import { LONGEST_TIMER, clock } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import type { RequestBody, Transport, TransportRequest, TransportResponse } from './transport.ts';

/** The limit of an exchange, and the conversion of its errors. */
export interface IdleTimeoutOptions {
  /** The longest time without data, in milliseconds; 0 disables it. */
  readonly timeout: number;
  readonly scheduler: SchedulerLike;
  /** Makes the error of a timeout. */
  readonly timeoutError: () => Error;
  /** Converts an error before the head of the response. */
  readonly explainFailure: (cause: unknown) => unknown;
  /** Converts an error within the body. */
  readonly explainTruncation: (cause: unknown) => unknown;
}

/**
 * Sends a request. Errors if no data flows for too long: before the head of the response, or within
 * its body. A chunk of a streamed upload is data too. Converts the platform's errors as well.
 *
 * All requests pass here, so it is a single Observable with a single timer.
 */
export function withIdleTimeout(
  request: TransportRequest,
  transport: Transport,
  options: IdleTimeoutOptions,
): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    let bodySubscriber: Subscriber<Uint8Array> | undefined;
    const idle = new IdleTimeout(options, () =>
      (bodySubscriber ?? subscriber).error(options.timeoutError()),
    );
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
            error: (error: unknown) => chunks.error(options.explainTruncation(error)),
            complete: () => chunks.complete(),
          }),
        );
      });
    subscriber.add(() => idle.stop());
    return transport.send(watchUpload(request, () => idle.recordActivity())).subscribe(
      guarded(subscriber, {
        next: ({ status, headers, body }) => {
          idle.recordActivity();
          subscriber.next({ status, headers, body: watchBody(body) });
          // Without a subscriber the body has no deadline.
          if (bodySubscriber === undefined) idle.stop();
        },
        error: (error: unknown) => subscriber.error(options.explainFailure(error)),
        complete: () => subscriber.complete(),
      }),
    );
  });
}

/** Calls back for each chunk that the transport takes. It takes text and bytes as a whole. */
function watchUpload(request: TransportRequest, onChunk: () => void): TransportRequest {
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
  readonly #options: IdleTimeoutOptions;
  readonly #onTimeout: () => void;
  readonly #now: () => number;
  #timer: Subscription | undefined;
  #lastActivity = 0;

  constructor(options: IdleTimeoutOptions, onTimeout: () => void) {
    this.#options = options;
    this.#onTimeout = onTimeout;
    this.#now = clock(options.scheduler);
  }

  start(): void {
    const { timeout } = this.#options;
    if (timeout === 0 || timeout === Infinity) return;
    this.recordActivity();
    this.#timer ??= this.#schedule(timeout);
  }

  recordActivity(): void {
    this.#lastActivity = this.#now();
  }

  stop(): void {
    this.#timer?.unsubscribe();
    this.#timer = undefined;
  }

  #check(): void {
    const remaining = this.#lastActivity + this.#options.timeout - this.#now();
    if (remaining > 0) this.#timer = this.#schedule(remaining);
    else this.#onTimeout();
  }

  #schedule(delay: number): Subscription {
    return this.#options.scheduler.schedule(() => this.#check(), Math.min(delay, LONGEST_TIMER));
  }
}
