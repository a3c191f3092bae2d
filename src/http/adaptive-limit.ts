import type { SchedulerLike } from 'rxjs';
import { clock } from '../operators/time.ts';

/** A request in flight, with what the limit records of it. */
export interface Sent {
  readonly route: string;
  /** The time of sending, in milliseconds; negative if it is not measured. */
  sentAt: number;
  /** The number of refusals before it was sent. */
  round: number;
}

/** A limit that never changes. */
export class FixedLimit {
  limit: number;
  /** The number of refusals. */
  round = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get rate(): number {
    return Infinity;
  }

  /** Whether the next requests are likely to be refused. */
  get isUnstable(): boolean {
    return false;
  }

  /** Returns the time until the next request may leave, in milliseconds. */
  delay(): number {
    return 0;
  }

  /** Records that a request leaves. */
  sent(_request: Sent, _isInUse: boolean): void {}

  /** Records an answer other than 429 and 503. */
  answered(_request: Sent, _isInUse: boolean): void {}

  /** Records a 429 or 503. `requested` is the time in `retry-after`, in milliseconds. */
  refused(_request: Sent, _status: number, _pause: number, _inFlight: number): void {}
}

/** The rate is measured over a second, in tenths of it, in milliseconds. */
const TENTHS = 10;
const TENTH = 100;
/** The time after which an unused limit is forgotten, in milliseconds. */
const FORGET_AFTER = 60_000;
/** The time after which a rate ends, in milliseconds. */
const RATE_LIFETIME = 30_000;
/** The time in which a rate doubles, in milliseconds: before a refusal has confirmed it, and after. */
const FAST_DOUBLING = 500;
const SLOW_DOUBLING = 20_000;
/** The number of answers after a refusal until the limit is stable. */
const PROBES = 16;
/** The learned rate, as a share of the answers of the last second. */
const RATE_SHARE = 0.9;
/** The same if the rate was too high soon after it was corrected, in milliseconds. */
const RATE_SHARE_AGAIN = 0.75;
const SOON = 4_000;
/** The lateness of timers that later requests make up for, in milliseconds. */
const CATCH_UP = 10;
/**
 * The longest pause that a server can request, in milliseconds. For a longer one no request waits: the
 * server refuses it, and its caller knows.
 */
const LONGEST_PAUSE = 30_000;
/** The limits of pauses without `retry-after`, in milliseconds, and the largest part added to a pause. */
const MIN_PAUSE = 250;
const MAX_PAUSE = 8_000;
const PAUSE_JITTER = 0.1;
/** The number of answers of a route over which its latency is averaged. */
const AVERAGE_OVER = 256;
/** The largest number of routes whose latencies are kept. */
const MAX_ROUTES = 256;

/** Learns a limit, and a rate if the server limits the rate. */
export class AdaptiveLimit extends FixedLimit {
  readonly #max: number;
  readonly #scheduler: SchedulerLike;
  readonly #random: () => number;
  #clock: (() => number) | undefined;
  /** Below it the limit grows with each answer, above it with each round. */
  #threshold: number;
  /** The time before which no request leaves; negative if there is none. */
  #nextAt = -1;
  /** The rate in requests per second at `#rateFrom`. */
  #baseRate = Infinity;
  #rateFrom = 0;
  #isRateConfirmed = false;
  /** The round in which the rate was learned. */
  #rateRound = -1;
  /** The number of requests after a refusal that still may be refused. */
  #probes = 0;
  /** The time of the first refusal since an answer; negative if there is none. */
  #refusedSince = -1;
  #usedAt = 0;
  /** The numbers of answers in the last tenths of a second, and the index of the present one. */
  readonly #counts: number[] = Array.from({ length: TENTHS + 1 }, () => 0);
  #tenth = 0;
  #answers = 0;
  /** The number of answers in this round, and of slow ones. */
  #judged = 0;
  #slow = 0;
  readonly #latencies = new Map<string, { count: number; average: number }>();

  constructor(max: number, scheduler: SchedulerLike, random: () => number) {
    super(max);
    this.#max = this.#threshold = max;
    this.#scheduler = scheduler;
    this.#random = random;
  }

  override get rate(): number {
    const now = this.#baseRate === Infinity ? Infinity : this.#now();
    return now - this.#rateFrom > RATE_LIFETIME ? Infinity : this.#rateAt(now);
  }

  override get isUnstable(): boolean {
    const isSearching = this.#baseRate !== Infinity && !this.#isRateConfirmed;
    return this.#probes > 0 || isSearching;
  }

  override delay(): number {
    if (this.#nextAt < 0) return 0;
    return Math.max(0, Math.ceil(this.#nextAt - this.#now()));
  }

  override sent(request: Sent, isInUse: boolean): void {
    if (isInUse || this.limit < this.#max || this.#nextAt >= 0) {
      const now = this.#now();
      if (now - this.#usedAt > FORGET_AFTER) this.#forget(now);
      if (now - this.#rateFrom > RATE_LIFETIME) this.#baseRate = Infinity;
      this.#nextAt =
        this.#baseRate === Infinity
          ? -1
          : Math.max(this.#nextAt, now - CATCH_UP) + 1000 / this.#rateAt(now);
      request.sentAt = now;
    }
    request.round = this.round;
  }

  override answered(request: Sent, isInUse: boolean): void {
    // A clock is expensive: a part of the answers is enough for those below the limit.
    const isMeasured = request.sentAt >= 0;
    this.#answers += 1;
    const now = isMeasured || this.#answers % 16 === 0 ? this.#countUntil(this.#now()) : 0;
    if (request.round !== this.round) {
      // It was sent before the refusal that revealed the rate.
      if (this.#rateRound === this.round) this.#baseRate += RATE_SHARE;
      return;
    }
    this.#refusedSince = -1;
    if (this.#probes > 0) this.#probes -= 1;
    if (!isMeasured || !isInUse) return;
    this.#usedAt = now;
    if (this.limit < this.#threshold) this.limit += 1;
    else this.#judge(request.route, now - request.sentAt);
  }

  override refused(request: Sent, status: number, requested: number, inFlight: number): void {
    const pause = requested <= LONGEST_PAUSE ? requested : 0;
    // Virtual time may have begun.
    this.#clock = clock(this.#scheduler);
    const now = this.#countUntil(this.#now());
    if (request.round === this.round) this.#slowDown(now, status, pause, inFlight);
    if (pause > 0) this.#pause(now, pause);
  }

  #slowDown(now: number, status: number, pause: number, inFlight: number): void {
    this.round += 1;
    this.#probes = PROBES;
    this.#usedAt = Math.max(this.#usedAt, now);
    const wasRefused = this.#refusedSince >= 0;
    if (!wasRefused) this.#refusedSince = now;
    const isPaced = this.#baseRate !== Infinity;
    const isRate = status === 429;
    if (isRate && !(isPaced && wasRefused)) this.#learnRate(now, isPaced);
    if (isRate && wasRefused && pause === 0)
      this.#pause(now, Math.min(Math.max(now - this.#refusedSince, MIN_PAUSE), MAX_PAUSE));
    // A rate that was a little too high is no reason to lower the limit.
    if (!(isRate && isPaced) || wasRefused) this.#decrease(inFlight);
  }

  #now(): number {
    return (this.#clock ??= clock(this.#scheduler))();
  }

  #rateAt(now: number): number {
    const age = Math.max(0, now - this.#rateFrom);
    const doublings = this.#isRateConfirmed ? (age / SLOW_DOUBLING) ** 2 : age / FAST_DOUBLING;
    return this.#baseRate * 2 ** doublings;
  }

  /** Counts the new answers as of this moment. */
  #countUntil(now: number): number {
    const tenth = Math.floor(now / TENTH);
    const { length } = this.#counts;
    for (let i = Math.max(this.#tenth + 1, tenth - TENTHS); i <= tenth; i++)
      this.#counts[i % length] = 0;
    this.#counts[tenth % length] = (this.#counts[tenth % length] ?? 0) + this.#answers;
    this.#tenth = tenth;
    this.#answers = 0;
    return now;
  }

  /** Returns the number of answers in the last second. */
  #answersPerSecond(now: number): number {
    const oldest = this.#counts[(this.#tenth + 1) % this.#counts.length] ?? 0;
    const partOfTenth = now / TENTH - this.#tenth;
    return this.#counts.reduce((sum, count) => sum + count, 0) - oldest * partOfTenth;
  }

  #learnRate(now: number, isPaced: boolean): void {
    const measured = Math.min(this.#answersPerSecond(now), this.#rateAt(now));
    const isSoon = this.#isRateConfirmed && now - this.#rateFrom < SOON;
    this.#baseRate = Math.max(1, (isSoon ? RATE_SHARE_AGAIN : RATE_SHARE) * measured);
    this.#rateFrom = Math.max(this.#rateFrom, now);
    this.#isRateConfirmed = isPaced;
    if (!isPaced) this.#rateRound = this.round;
  }

  #pause(now: number, pause: number): void {
    const until = now + pause * (1 + PAUSE_JITTER * this.#random());
    this.#nextAt = Math.max(this.#nextAt, until);
    this.#rateFrom = Math.max(this.#rateFrom, until);
    this.#usedAt = Math.max(this.#usedAt, until);
  }

  #decrease(inFlight: number): void {
    if (this.limit > 1) this.#threshold = Math.max(1, Math.floor(inFlight / 2));
    const isUnknown = this.limit === this.#max || this.#nextAt >= 0;
    this.limit = isUnknown ? 1 : Math.min(this.limit, this.#threshold);
    this.#judged = this.#slow = 0;
    this.#latencies.clear();
  }

  /** Changes the limit at the end of a round of answers. */
  #judge(route: string, latency: number): void {
    let known = this.#latencies.get(route);
    if (known === undefined) {
      if (this.#latencies.size === MAX_ROUTES) this.#latencies.clear();
      this.#latencies.set(route, (known = { count: 0, average: 0 }));
    }
    // The first answers of a burst arrive early.
    if (known.count > this.limit && latency > 2 * known.average) this.#slow += 1;
    known.count = Math.min(known.count + 1, AVERAGE_OVER);
    known.average += (latency - known.average) / known.count;
    this.#judged += 1;
    if (this.#judged < this.limit) return;
    if (2 * this.#slow <= this.#judged) this.limit = Math.min(this.#max, this.limit + 1);
    else if (4 * this.limit > this.#max)
      this.limit = this.#threshold = Math.max(1, Math.floor(0.9 * this.limit));
    this.#judged = this.#slow = 0;
  }

  #forget(now: number): void {
    this.limit = this.#threshold = this.#max;
    this.#baseRate = Infinity;
    this.#refusedSince = -1;
    this.#usedAt = now;
    this.#latencies.clear();
  }
}
