import { Observable } from 'rxjs';
import type { SchedulerLike, Subject, Subscriber } from 'rxjs';
import { clock } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { databaseOf } from './link.ts';
import type { Activity, Exchange, Link, LinkRequest, Next } from './link.ts';
import type { RequestBody, TransportResponse } from './transport.ts';

/** Something that happened to a request: an event of `couch.requests$`. It has no secret and no document. */
export interface RequestEvent {
  /**
   * - `start`: the request was subscribed to.
   * - `response`: the head of a response arrived, with any status. Each attempt can have one.
   * - `retry`: an attempt failed, and the next one follows after `delay`.
   * - `end`: the response was read.
   * - `error`: the request failed with `error`.
   * - `abort`: the caller unsubscribed before the end.
   */
  readonly type: 'start' | 'response' | 'retry' | 'end' | 'error' | 'abort';
  /** The same number for all events of one request. */
  readonly id: number;
  readonly method: string;
  /** The path with names in place of values: `/{db}/{docid}`. */
  readonly route: string;
  /** The name of the database; null for requests to the server itself. */
  readonly database: string | null;
  /** The URL of the server, or of the node that the last attempt was sent to. */
  readonly server: string;
  /** The number of the present attempt, from 1. */
  readonly attempt: number;
  /** The status of the last response; null before the first one. */
  readonly status: number | null;
  /** The error of `error` and `retry`; null for other events. */
  readonly error: unknown;
  /** The time before the next attempt, in milliseconds; null unless the event is `retry`. */
  readonly delay: number | null;
  /** The time since `start`, in milliseconds. */
  readonly elapsed: number;
  /** The size of the request's body, in bytes; null for a stream. */
  readonly sent: number | null;
  /** The size of the response's body so far, in bytes, decompressed. */
  readonly received: number;
}

/** Reports what happens to requests while anybody listens. Without listeners it does nothing. */
export function eventsLink(events: Subject<RequestEvent>, scheduler: SchedulerLike): Link {
  let count = 0;
  return (request, next) => {
    if (!events.observed) return next(request);
    return new Observable((subscriber) => {
      count += 1;
      new Report(count, request, events, scheduler).send(next, subscriber);
    });
  };
}

/** Reports the events of one request. */
class Report implements Activity {
  readonly #id: number;
  readonly #request: LinkRequest;
  readonly #events: Subject<RequestEvent>;
  readonly #now: () => number;
  readonly #start: number;
  readonly #database: string | null;
  #server: string;
  #attempt = 1;
  #status: number | null = null;
  #received = 0;
  #isOver = false;

  constructor(
    id: number,
    request: LinkRequest,
    events: Subject<RequestEvent>,
    scheduler: SchedulerLike,
  ) {
    this.#id = id;
    this.#request = request;
    this.#events = events;
    this.#now = clock(scheduler);
    this.#start = this.#now();
    this.#server = request.server;
    this.#database = databaseOf(request);
  }

  send(next: Next, subscriber: Subscriber<TransportResponse>): void {
    this.#request.context.observe(this);
    this.#report('start');
    subscriber.add(() => this.#finish('abort'));
    subscriber.add(
      next(this.#request).subscribe(
        guarded(subscriber, {
          next: (response) => subscriber.next(this.#count(response)),
          error: (error: unknown) => {
            this.#finish('error', error);
            subscriber.error(error);
          },
          complete: () => {
            this.#finish('end');
            subscriber.complete();
          },
        }),
      ),
    );
  }

  sent({ server, attempt }: LinkRequest): void {
    this.#server = server;
    this.#attempt = attempt;
  }

  answered(status: number): void {
    this.#status = status;
    this.#report('response');
  }

  retry(error: unknown, delay: number): void {
    this.#report('retry', error, delay);
  }

  #finish(type: 'end' | 'error' | 'abort', error: unknown = null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#request.context.unobserve(this);
    this.#report(type, error);
  }

  #count(response: TransportResponse): TransportResponse {
    const { bytes } = response as Exchange;
    if (bytes !== undefined) {
      this.#received = bytes.length;
      // Errors of its reader are not part of the request.
      this.#finish('end');
      return response;
    }
    const body = new Observable<Uint8Array>((chunks) =>
      response.body.subscribe(
        guarded(chunks, {
          next: (chunk) => {
            this.#received += chunk.length;
            chunks.next(chunk);
          },
          error: (error: unknown) => {
            this.#finish('error', error);
            chunks.error(error);
          },
          complete: () => chunks.complete(),
        }),
      ),
    );
    return Object.assign({}, response, { body });
  }

  #report(type: RequestEvent['type'], error: unknown = null, delay: number | null = null): void {
    const { method, route, body } = this.#request;
    this.#events.next({
      type,
      id: this.#id,
      method,
      route,
      database: this.#database,
      server: this.#server,
      attempt: this.#attempt,
      status: this.#status,
      error,
      delay,
      elapsed: this.#now() - this.#start,
      sent: sizeOf(body),
      received: this.#received,
    });
  }
}

function sizeOf(body: RequestBody | undefined): number | null {
  if (body === undefined) return 0;
  if (typeof body === 'string') return new TextEncoder().encode(body).length;
  return body instanceof Uint8Array ? body.length : null;
}

/**
 * Returns an observer of `couch.requests$` that writes a line for each request that has ended, and for
 * each retry.
 *
 * @param write - Receives the lines. @defaultValue `console.log`
 * @example
 * const subscription = couch.requests$.subscribe(logRequests());
 * // GET /{db}/{docid} orders 200 4 ms 312 bytes
 */
export function logRequests(
  // oxlint-disable-next-line no-console -- the purpose of this function
  write: (line: string) => void = (line) => console.log(line),
): (event: RequestEvent) => void {
  return ({ type, method, route, database, status, error, delay, elapsed, received, attempt }) => {
    if (type === 'start' || type === 'response') return;
    const time = `${Math.round(elapsed)} ms`;
    const outcome = {
      end: `${status} ${time} ${received} bytes`,
      abort: `aborted after ${time}`,
      error: `failed after ${time}: ${messageOf(error)}`,
      retry: `attempt ${attempt} failed, next in ${Math.round(delay ?? 0)} ms: ${messageOf(error)}`,
    }[type];
    write([method, route, database, outcome].filter((part) => part !== null).join(' '));
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
