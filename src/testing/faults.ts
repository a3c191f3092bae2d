import {
  NEVER,
  Observable,
  asyncScheduler,
  defer,
  map,
  mergeMap,
  of,
  throwError,
  timer,
} from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import type { Link, LinkRequest, Next } from '../http/link.ts';
import { count, flag, oneOf, text, toBody } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import type { TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { couchError, status as reply } from './reply.ts';

/** How a connection fails: see {@link FaultsOptions.fail}. */
export type ConnectionFault = 'refused' | 'reset' | 'stale' | 'lost';

/** The options of {@link faults}. At least one of `status`, `fail`, `truncate` and `delay` is required. */
export interface FaultsOptions {
  /** Whether a request can fail. It must be pure. @defaultValue every request */
  readonly match?: ((request: LinkRequest) => boolean) | undefined;
  /** Whether reads can fail. @defaultValue true */
  readonly reads?: boolean | undefined;
  /** Whether writes can fail: all requests that are no reads. @defaultValue true */
  readonly writes?: boolean | undefined;
  /** The number of matching requests that pass before the first fault. @defaultValue 0 */
  readonly after?: number | undefined;
  /** 2 lets every second matching request fail, and so on. Excludes `rate`. @defaultValue 1 */
  readonly every?: number | undefined;
  /** The share of matching requests that fail, from 0 to 1. Excludes `every`. @defaultValue 1 */
  readonly rate?: number | undefined;
  /**
   * The source of chance for `rate`: a function that returns a number from 0 up to 1, without 1.
   * @defaultValue a generator with a fixed seed, so that each run has the same faults
   */
  readonly random?: (() => number) | undefined;
  /** The maximum number of faults; later requests pass. @defaultValue no maximum */
  readonly times?: number | undefined;
  /** Answers with this status, from 400 to 599. The request does not reach the server. */
  readonly status?: number | undefined;
  /** The `error` in the body of `status`. @defaultValue that of CouchDB */
  readonly error?: string | undefined;
  /** The `reason` in the body of `status`. @defaultValue that of CouchDB */
  readonly reason?: string | undefined;
  /** The header `retry-after` of `status`, in whole seconds. @defaultValue no header */
  readonly retryAfter?: number | undefined;
  /**
   * Breaks the connection:
   *
   * - `'refused'`: there is no connection (`ECONNREFUSED`). The request does not reach the server.
   * - `'reset'`: the connection breaks (`ECONNRESET`) before the request reaches the server. Corduroy
   *   cannot know that.
   * - `'stale'`: like `'reset'`, on a kept-alive connection: `reusedSocket` of the error is true.
   * - `'lost'`: the connection breaks after the server has carried out the request. The response is lost.
   */
  readonly fail?: ConnectionFault | undefined;
  /** Breaks the connection after this number of bytes of the response's body, or at its end. */
  readonly truncate?: number | undefined;
  /**
   * The time before the request is sent or fails, in milliseconds, below 2³¹. With `Infinity` it never does.
   * As one of the `networkLinks`, a delay longer than `timeout` causes a `TimeoutError`.
   * @defaultValue 0
   */
  readonly delay?: number | undefined;
  /**
   * The scheduler of `delay`. `TestScheduler.run` makes the default virtual.
   * @defaultValue `asyncScheduler`
   */
  readonly scheduler?: SchedulerLike | undefined;
}

/** A link that injects faults: the result of {@link faults}. */
export interface FaultsLink extends Link {
  /** The number of faults so far. A test that expects some can compare it with 0. */
  readonly injected: number;
}

const call: Parameter = (value, name) => {
  if (typeof value === 'function') return '';
  throw invalidArgument(name, 'a function', value);
};

const numeric =
  (what: string, isValid: (value: number) => boolean): Parameter =>
  (value, name) => {
    if (typeof value === 'number' && isValid(value)) return '';
    throw invalidArgument(name, what, value, typeof value === 'number' ? RangeError : TypeError);
  };

const OPTIONS: Parameters = {
  match: call,
  reads: flag,
  writes: flag,
  after: count,
  every: numeric('a whole number from 1', (value) => Number.isSafeInteger(value) && value > 0),
  rate: numeric('a number from 0 to 1', (value) => value >= 0 && value <= 1),
  random: call,
  times: count,
  status: numeric(
    'an HTTP status from 400 to 599',
    (value) => Number.isInteger(value) && value >= 400 && value < 600,
  ),
  error: text,
  reason: text,
  retryAfter: count,
  fail: oneOf('refused', 'reset', 'stale', 'lost'),
  truncate: count,
  delay: numeric(
    'milliseconds from 0 to 2147483647, or Infinity',
    (value) => value >= 0 && (value < 2 ** 31 || value === Infinity),
  ),
  scheduler: (value, name) => {
    if (typeof value === 'object' && value !== null && 'schedule' in value) return '';
    throw invalidArgument(name, 'a scheduler of RxJS', value);
  },
};

/** Pairs of options that exclude each other. */
const EXCLUSIVE = [
  ['status', 'fail'],
  ['status', 'truncate'],
  ['fail', 'truncate'],
  ['rate', 'every'],
] as const;

/** Options without effect unless another one is set. */
const DEPENDENT = [
  ['error', 'status'],
  ['reason', 'status'],
  ['retryAfter', 'status'],
  ['random', 'rate'],
  ['scheduler', 'delay'],
] as const;

function requireOptions(options: FaultsOptions): void {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument('faults: options', 'an object', options);
  toBody(OPTIONS, options, 'faults');
  const has = (name: keyof FaultsOptions): boolean => options[name] !== undefined;
  for (const [one, other] of EXCLUSIVE)
    if (has(one) && has(other))
      throw new TypeError(`faults: ${one} and ${other} exclude each other: omit one of them`);
  for (const [name, needed] of DEPENDENT)
    if (has(name) && !has(needed))
      throw new TypeError(`faults: ${name} has no effect without ${needed}: add ${needed}`);
  if (!(['status', 'fail', 'truncate', 'delay'] as const).some(has))
    throw new TypeError('faults: no fault is set: add status, fail, truncate or delay');
  if (options.reads === false && options.writes === false)
    throw new TypeError('faults: reads and writes are both false: no request can fail');
}

/**
 * Returns a link that lets requests fail, to test how a program copes with a bad network.
 *
 * - As one of the `links` of a `Couch` it tests your program: Corduroy does not retry these faults.
 * - As one of the `networkLinks` it tests the retries of Corduroy too: each attempt can fail, and also the
 *   login of a cookie session.
 *
 * Without `rate`, `every`, `after` and `times`, each request fails. The link counts the requests that match,
 * when they are subscribed to, so make a new link for each test. Two links with different faults can be
 * combined. A link waits and sends only while it is subscribed to; unsubscribing ends a `delay`.
 *
 * @throws TypeError for unknown, useless or contradictory options.
 * @throws RangeError for a number out of range.
 * @example
 * // The first two requests meet a busy server.
 * const busy = faults({ status: 503, retryAfter: 1, times: 2 });
 * // One write in ten is carried out, but its response is lost.
 * const lossy = faults({ fail: 'lost', reads: false, rate: 0.1 });
 * const couch = new Couch(url, { networkLinks: [busy, lossy] });
 */
export function faults(options: FaultsOptions): FaultsLink {
  requireOptions(options);
  const { match = () => true, reads = true, writes = true } = options;
  const { after = 0, every = 1, rate = 1, random = seeded(), times = Infinity } = options;
  const { delay = 0, scheduler = asyncScheduler } = options;
  let matched = 0;
  let injected = 0;
  const isHit = (request: LinkRequest): boolean => {
    if (!(request.reads ? reads : writes) || !match(request)) return false;
    matched += 1;
    const nth = matched - after;
    if (injected >= times || nth < 1 || nth % every !== 0) return false;
    if (rate < 1 && random() >= rate) return false;
    injected += 1;
    return true;
  };
  const link: Link = (request, next) =>
    defer(() => {
      if (!isHit(request)) return next(request);
      if (delay === 0) return inject(options, request, next);
      const start = delay === Infinity ? NEVER : timer(delay, scheduler);
      return start.pipe(mergeMap(() => inject(options, request, next)));
    });
  return Object.defineProperty(link, 'injected', { get: () => injected }) as FaultsLink;
}

function inject(
  { status, error, reason, retryAfter, fail, truncate }: FaultsOptions,
  request: LinkRequest,
  next: Next,
): Observable<TransportResponse> {
  if (status !== undefined) {
    const [usualError, usualReason] = couchError(status, 'A fault of the test.');
    const body = { error: error ?? usualError, reason: reason ?? usualReason };
    const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
    return of(reply(status, body, headers));
  }
  if (truncate !== undefined)
    return next(request).pipe(map((response) => truncated(response, truncate)));
  if (fail === undefined) return next(request);
  const failure = throwError(() => broken(fail));
  // CouchDB sends the head after it has carried out the request.
  return fail === 'lost' ? next(request).pipe(mergeMap(() => failure)) : failure;
}

/** Makes the error that a transport throws. */
function broken(fail: ConnectionFault): Error {
  const code = fail === 'refused' ? 'ECONNREFUSED' : 'ECONNRESET';
  const error = new Error(`${code}, injected by faults()`);
  return Object.assign(error, { code, reusedSocket: fail === 'stale' });
}

/** Returns a response without what Corduroy may have read of it, and with a body that breaks. */
function truncated({ status, headers, body }: TransportResponse, max: number): TransportResponse {
  const part = new Observable<Uint8Array>((subscriber) => {
    let left = max;
    const cut = (): void => subscriber.error(broken('reset'));
    return body.subscribe({
      next: (chunk) => {
        if (left > 0) subscriber.next(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) cut();
      },
      error: (error: unknown) => subscriber.error(error),
      complete: cut,
    });
  });
  return { status, headers, body: part };
}

/** Returns a generator of numbers from 0 up to 1, without 1, that are the same in each run. */
function seeded(): () => number {
  let state = 1;
  return () => {
    // The multiplier and the increment of Numerical Recipes. The products are exact below 2 ** 53.
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
