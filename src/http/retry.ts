import { Observable } from 'rxjs';
import type { SchedulerLike, Subscriber } from 'rxjs';
import { isConnectionError, isProtocolError, wasNotSent } from '../errors/connection-error.ts';
import { isTransient } from '../errors/corduroy-error.ts';
import { isAccountLocked, isHTTPError, rawAnswer } from '../errors/http-error.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff, retryAfter } from '../operators/retry-policy.ts';
import type { RetryOptions } from '../operators/retry-policy.ts';
import { schedule } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { isRepeatableBody } from './transport.ts';
import type { Link, LinkRequest, Next } from './link.ts';
import { requireBackoff } from './query.ts';
import type { TransportResponse } from './transport.ts';

/**
 * Validates the `retry` option of a connection, a database or a request.
 *
 * @throws TypeError or RangeError for an invalid option.
 */
export function requireRetry(option: RetryOptions | false, name: string): RetryOptions | false {
  if (option === false) return false;
  if (typeof option !== 'object' || option === null)
    throw invalidArgument(name, 'false, or options', option);
  const { attempts = 3, ...delays } = option;
  requireBackoff(delays, name);
  if (attempts !== Infinity && !(Number.isSafeInteger(attempts) && attempts > 0))
    throw invalidArgument(`${name}: attempts`, 'a whole number from 1', attempts, RangeError);
  return option;
}

/** Sends a request again after a temporary failure, if nothing can be done twice. */
export function retryLink(scheduler: SchedulerLike): Link {
  return (request, next) =>
    request.context.retry === false || request.endless
      ? next(request)
      : new Observable((subscriber) => {
          new Attempts(request, next, scheduler, subscriber).send(request);
        });
}

/** The attempts of one request. A class, because every request passes it: its methods are no closures. */
class Attempts {
  readonly #next: Next;
  readonly #scheduler: SchedulerLike;
  readonly #subscriber: Subscriber<TransportResponse>;
  #request: LinkRequest;
  #hasResponse = false;

  constructor(
    request: LinkRequest,
    next: Next,
    scheduler: SchedulerLike,
    subscriber: Subscriber<TransportResponse>,
  ) {
    this.#request = request;
    this.#next = next;
    this.#scheduler = scheduler;
    this.#subscriber = subscriber;
  }

  send(request: LinkRequest): void {
    this.#request = request;
    this.#subscriber.add(this.#next(request).subscribe(guarded(this.#subscriber, this)));
  }

  next(response: TransportResponse): void {
    this.#hasResponse = true;
    this.#subscriber.next(response);
  }

  complete(): void {
    this.#subscriber.complete();
  }

  error(error: unknown): void {
    const { attempt, context } = this.#request;
    // The reader has the head already: an error that follows concerns its body.
    const delay = this.#hasResponse ? null : delayOf(error, this.#request, this.#scheduler);
    if (delay === null) {
      this.#subscriber.error(error);
      return;
    }
    context.activity?.retry(error, delay);
    const again = { ...this.#request, attempt: attempt + 1 };
    this.#subscriber.add(schedule(() => this.send(again), delay, this.#scheduler));
  }
}

/** Returns the delay before the next attempt, in milliseconds; null if there is none. */
function delayOf(error: unknown, request: LinkRequest, scheduler: SchedulerLike): number | null {
  const { retry: options } = request.context;
  if (options === false) return null;
  const { attempts = 3, maxDelay = 30_000, random = Math.random } = options;
  if (request.attempt >= attempts || !isRepeatableBody(request.body)) return null;
  const isReset = isConnectionError(error) && error.reusedSocket;
  // The server closed an idle connection as the request was sent. A new connection is the remedy.
  if (isReset && request.repeatable && request.attempt === 1) return 0;
  if (!mayRetry(error, request)) return null;
  const header = isHTTPError(error) ? rawAnswer(error).retryAfter : undefined;
  const requested = retryAfter(header, scheduler);
  if (requested > maxDelay) return null;
  // Clients that were refused at the same time do not come back at the same time.
  const wait = requested === 0 ? 0 : requested + random() * Math.min(requested / 4, 1000);
  return Math.max(wait, backoff(request.attempt, options));
}

/** The code and the reason of a 500 for a failure of the moment. */
const TEMPORARY =
  /^(?:timeout|nodedown|no_majority|maintenance_mode|noproc)\b|timed out|No DB shards could be opened/;

function mayRetry(error: unknown, { reads }: LinkRequest): boolean {
  if (isConnectionError(error)) return error.transient && (reads || wasNotSent(error));
  // A response that was cut, or whose compression is damaged.
  if (isProtocolError(error)) return reads && isTransient(error) && error.limit === null;
  if (!isHTTPError(error)) return false;
  const { status } = error;
  const answer = rawAnswer(error);
  if (status === 429) return true;
  if (status === 503 && answer.retryAfter !== undefined) return true;
  if (!reads) return false;
  if (isAccountLocked(error)) return true;
  if (answer.error === 'nodedown' || (status >= 502 && status <= 504)) return true;
  return status === 500 && TEMPORARY.test(`${answer.error}: ${answer.reason}`);
}
