import { Observable } from 'rxjs';
import type { Observer, SchedulerLike, Subscriber, Subscription, Unsubscribable } from 'rxjs';
import { isHTTPError, rawAnswer } from '../errors/http-error.ts';
import { invalidArgument, unknownOption } from '../model/invalid-argument.ts';
import { retryAfter } from '../operators/retry-policy.ts';
import { guarded } from '../operators/to-observable.ts';
import { AdaptiveLimit, FixedLimit } from './adaptive-limit.ts';
import type { Sent } from './adaptive-limit.ts';
import type { Link, LinkRequest, Next } from './link.ts';
import type { TransportResponse } from './transport.ts';

/** The options of an adaptive limit. */
export interface AdaptiveConcurrency {
  readonly limit: 'adaptive';
  /**
   * The limit at the start, and the largest one: a whole number from 1. A larger one than the number of
   * sockets only moves the queue into the transport.
   * @defaultValue 64
   */
  readonly max?: number;
}

/** The largest number of requests in flight: a whole number from 1, `Infinity`, or adaptive. */
export type Concurrency = number | 'adaptive' | AdaptiveConcurrency;

/** The present state of the limit of concurrency. Its properties are live. */
export interface ConcurrencyState {
  /** The largest number of requests in flight. */
  readonly limit: number;
  /** The largest number of requests in a second, learned from answers with status 429, or `Infinity`. */
  readonly rate: number;
  /** The number of requests that hold a slot. */
  readonly inFlight: number;
  /** The number of requests in the queue. */
  readonly waiting: number;
}

/** A link that limits concurrency, with its state. */
export type ConcurrencyLink = Link & { readonly state: ConcurrencyState };

/**
 * Returns the link that limits the number of requests in flight. All requests of the link share one
 * queue.
 *
 * - A request takes a slot when it is subscribed, or waits for one in the queue. It returns its slot
 *   when its body has been read, when it errors, or when it is unsubscribed.
 * - The queue sends `high` before `normal` before `low`. Within a priority it sends retries before
 *   first attempts, each in the order of their subscriptions. Every sixteenth request that leaves the
 *   queue is the oldest one of all priorities, so that none starves.
 * - A streamed upload, and a response after its head, may depend on a request that waits, as in
 *   `rows.pipe(concatMap((row) => db.get(row.id)))`. If such a transfer and the queue last longer than
 *   1 s, the transfer returns its slot early.
 * - Endless requests take no slot and never wait.
 *
 * With `'adaptive'` the limit starts at 64. The link has no effect until 64 requests are in flight, or
 * until the server refuses a request with status 429 or 503. All requests that were sent before a
 * refusal count as one round, and their answers change nothing more. Then:
 *
 * - The first refusal sets the limit to 1. The limit grows by 1 with each answer, up to half of the
 *   requests that were in flight, and then by 1 with each round. Later ones with status 503 halve it.
 * - No request leaves before the time in `retry-after`. If that is more than 30 s, no request waits for
 *   it, and the server refuses them.
 * - A 429 reveals a limit of the rate. The requests then leave evenly, at 90 % of the answers of the
 *   last second. This rate doubles every 500 ms until the next 429 corrects it. After that it doubles
 *   within 20 s. It ends after 30 s without a 429.
 * - If no answer comes between two 429, the limit is 1 again. Without `retry-after`, the queue pauses
 *   as long as the server has refused requests, from 250 ms up to 8 s.
 * - While a refusal is likely, first attempts precede retries, which have fewer attempts left: during
 *   the 16 answers after a refusal, and until a 429 has corrected the rate.
 * - If most answers of a round take more than twice the average of their route, the limit decreases
 *   by a tenth, down to a quarter of its maximum.
 * - If no request reaches the limit for 60 s, the limit starts again.
 *
 * - **Temperature:** cold. Each subscription is one request.
 * - **Emits, completes, errors** as the following link does. Errors also with anything that it throws.
 * - **On unsubscribe** a waiting request leaves the queue, and is not sent. A request in flight is
 *   aborted. No timer outlives the last subscriber.
 *
 * @param random - The source of the jitter, which prolongs pauses by up to a tenth.
 * @throws TypeError or RangeError for an invalid option.
 */
export function concurrencyLink(
  option: Concurrency,
  scheduler: SchedulerLike,
  random: () => number = Math.random,
): ConcurrencyLink {
  const limiter = new Limiter(parseLimit(option, scheduler, random), scheduler);
  const link: Link = (request, next) =>
    request.endless
      ? next(request)
      : new Observable((subscriber) => limiter.add(new Slot(limiter, request, next, subscriber)));
  return Object.assign(link, { state: limiter });
}

function parseLimit(option: unknown, scheduler: SchedulerLike, random: () => number): FixedLimit {
  if (typeof option === 'number') {
    if (option !== Infinity) requireWhole(option, 'concurrency');
    return new FixedLimit(option);
  }
  if (option === 'adaptive') return new AdaptiveLimit(DEFAULT_MAX, scheduler, random);
  if (typeof option !== 'object' || option === null)
    throw invalidArgument('concurrency', "a whole number from 1, 'adaptive', or options", option);
  const { limit, max = DEFAULT_MAX, ...unknown } = option as Partial<AdaptiveConcurrency>;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw unknownOption('concurrency', name, ['limit', 'max']);
  if (limit !== 'adaptive') throw invalidArgument('concurrency: limit', "'adaptive'", limit);
  requireWhole(max, 'concurrency: max');
  return new AdaptiveLimit(max, scheduler, random);
}

function requireWhole(value: unknown, name: string): void {
  if (Number.isSafeInteger(value) && Number(value) >= 1) return;
  const ErrorClass = typeof value === 'number' ? RangeError : TypeError;
  throw invalidArgument(name, 'a whole number from 1', value, ErrorClass);
}

/** The largest adaptive limit: the number of sockets of the transports for Node. */
const DEFAULT_MAX = 64;

/** Every request of this number that leaves the queue is the oldest one. */
const OLDEST_EVERY = 16;

/** The interval in which transfers return their slots to waiting requests, in milliseconds. */
const SWEEP_INTERVAL = 500;

/** Holds the queue and the slots. */
class Limiter implements ConcurrencyState {
  inFlight = 0;
  waiting = 0;
  readonly #policy: FixedLimit;
  readonly #scheduler: SchedulerLike;
  /** For each priority a list of retries and a list of first attempts. */
  readonly #queues: readonly SlotList[] = Array.from({ length: 6 }, () => new SlotList());
  readonly #holders = new SlotList();
  #arrivals = 0;
  #departures = 0;
  #isDraining = false;
  #wake: Subscription | undefined;
  #sweep: Subscription | undefined;

  constructor(policy: FixedLimit, scheduler: SchedulerLike) {
    this.#policy = policy;
    this.#scheduler = scheduler;
  }

  get limit(): number {
    return this.#policy.limit;
  }

  get rate(): number {
    return this.#policy.rate;
  }

  /** Sends a request, or appends it to the queue. */
  add(slot: Slot): Slot {
    if (this.waiting === 0 && this.inFlight < this.#policy.limit && this.#policy.delay() === 0) {
      this.#start(slot);
      return slot;
    }
    const { priority, attempt } = slot.request;
    const level = priority === 'high' ? 0 : priority === 'low' ? 4 : 2;
    slot.arrival = this.#arrivals += 1;
    (this.#queues[attempt > 1 ? level : level + 1] as SlotList).push(slot);
    this.waiting += 1;
    this.#drain();
    return slot;
  }

  /** Ends a request that waits or is in flight. */
  remove(slot: Slot): void {
    if (slot.list === this.#holders) this.inFlight -= 1;
    else if (slot.list !== null) this.waiting -= 1;
    slot.list?.delete(slot);
    if (this.waiting > 0) {
      this.#drain();
      return;
    }
    this.#wake?.unsubscribe();
    this.#wake = undefined;
    // Else the sweep ends by itself: a timer for each request that waits shortly would be expensive.
    if (this.inFlight > 0) return;
    this.#sweep?.unsubscribe();
    this.#sweep = undefined;
  }

  /** Records an answer: the status of a response, or of an error. */
  answered(slot: Slot, status: number, retryAfterHeader: string | undefined): void {
    if (status === 429 || status === 503) {
      const pause = retryAfter(retryAfterHeader, this.#scheduler);
      this.#policy.refused(slot, status, pause, this.inFlight);
    } else {
      this.#policy.answered(slot, this.#isInUse());
    }
  }

  #isInUse(): boolean {
    return this.waiting > 0 || this.inFlight >= this.#policy.limit;
  }

  #start(slot: Slot): void {
    this.inFlight += 1;
    this.#holders.push(slot);
    this.#policy.sent(slot, this.#isInUse());
    slot.send();
  }

  /** Sends waiting requests. A loop, because each of them may end at once. */
  #drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    while (this.waiting > 0 && this.inFlight < this.#policy.limit) {
      const delay = this.#policy.delay();
      if (delay > 0) {
        this.#wake ??= this.#scheduler.schedule(() => {
          this.#wake = undefined;
          this.#drain();
        }, delay);
        break;
      }
      const slot = this.#choose();
      slot.list?.delete(slot);
      this.waiting -= 1;
      this.#start(slot);
    }
    this.#isDraining = false;
    if (this.waiting > 0 && this.inFlight > 0)
      this.#sweep ??= this.#scheduler.schedule(() => this.#returnSlots(), SWEEP_INTERVAL);
  }

  /** Returns the next request: the oldest one at times, else the first one of the first queue. */
  #choose(): Slot {
    this.#departures += 1;
    const isOldest = this.#departures % OLDEST_EVERY === 0;
    // A request that may be refused must not be the last attempt.
    const swap = this.#policy.isUnstable ? 1 : 0;
    let chosen: Slot | null = null;
    for (let i = 0; i < this.#queues.length; i++) {
      const first = this.#queues[i ^ swap]?.first ?? null;
      if (first === null) continue;
      if (chosen === null || (isOldest && first.arrival < chosen.arrival)) chosen = first;
    }
    return chosen as Slot;
  }

  /** Returns the slots of transfers, and of requests that precede a refusal, at the second sweep. */
  #returnSlots(): void {
    this.#sweep = undefined;
    if (this.waiting === 0) return;
    let slot = this.#holders.first;
    while (slot !== null) {
      const { following } = slot;
      const isMarked = slot.isMarked;
      slot.isMarked = slot.isTransferring || slot.round !== this.#policy.round;
      if (isMarked) {
        this.#holders.delete(slot);
        this.inFlight -= 1;
      }
      slot = following;
    }
    this.#drain();
  }
}

/** The request of one subscription. A class, because each request is one: its methods are no closures. */
class Slot implements Sent, Observer<TransportResponse>, Unsubscribable {
  readonly request: LinkRequest;
  readonly route: string;
  /** The list that holds it: a queue, or the requests in flight. */
  list: SlotList | null = null;
  preceding: Slot | null = null;
  following: Slot | null = null;
  arrival = 0;
  sentAt = -1;
  round = 0;
  /** Whether it may wait for its producer or its consumer. */
  isTransferring: boolean;
  /** Whether a sweep has met it while it was transferring. */
  isMarked = false;
  readonly #limiter: Limiter;
  readonly #next: Next;
  readonly #subscriber: Subscriber<TransportResponse>;
  #exchange: Subscription | undefined;

  constructor(
    limiter: Limiter,
    request: LinkRequest,
    next: Next,
    subscriber: Subscriber<TransportResponse>,
  ) {
    this.request = request;
    const { body, route } = request;
    this.route = route;
    this.isTransferring = typeof body === 'object' && Symbol.asyncIterator in body;
    this.#limiter = limiter;
    this.#next = next;
    this.#subscriber = subscriber;
  }

  send(): void {
    try {
      this.#exchange = this.#next(this.request).subscribe(guarded(this.#subscriber, this));
    } catch (thrown) {
      this.#subscriber.error(thrown);
    }
    if (this.#subscriber.closed) this.#exchange?.unsubscribe();
  }

  next(exchange: TransportResponse): void {
    this.isTransferring = true;
    const { status, headers } = exchange;
    this.#limiter.answered(this, status, headers['retry-after']);
    this.#subscriber.next(exchange);
  }

  error(failure: unknown): void {
    if (isHTTPError(failure))
      this.#limiter.answered(this, failure.status, rawAnswer(failure).retryAfter);
    this.#subscriber.error(failure);
  }

  complete(): void {
    this.#subscriber.complete();
  }

  /** The subscriber calls it in all cases: on completion, on an error, and when it unsubscribes. */
  unsubscribe(): void {
    this.#exchange?.unsubscribe();
    this.#limiter.remove(this);
  }
}

/** A linked list: the cost of removing a request from the queue is independent of its length. */
class SlotList {
  first: Slot | null = null;
  #last: Slot | null = null;

  push(slot: Slot): void {
    slot.list = this;
    slot.preceding = this.#last;
    if (this.#last === null) this.first = slot;
    else this.#last.following = slot;
    this.#last = slot;
  }

  delete(slot: Slot): void {
    const { preceding, following } = slot;
    if (preceding === null) this.first = following;
    else preceding.following = following;
    if (following === null) this.#last = preceding;
    else following.preceding = preceding;
    slot.list = slot.preceding = slot.following = null;
  }
}
