import { describe, expect, it } from '@jest/globals';
import { VirtualTimeScheduler } from 'rxjs';
import { AdaptiveLimit, FixedLimit } from '../src/http/adaptive-limit.ts';
import type { Sent } from '../src/http/adaptive-limit.ts';

// What the limit of concurrent requests learns from answers and refusals, step by step.

const MAX = 64;

interface Stage {
  readonly limit: AdaptiveLimit;
  readonly at: (time: number) => void;
  /** Sends a request. */
  readonly send: (isInUse?: boolean, route?: string) => Sent;
  /** Sends a request, and answers it after a time. */
  readonly exchange: (latency?: number, route?: string) => void;
}

function stage(random = 0, max = MAX): Stage {
  const scheduler = new VirtualTimeScheduler();
  const limit = new AdaptiveLimit(max, scheduler, () => random);
  const send = (isInUse = true, route = '/{db}'): Sent => {
    const request = { route, sentAt: -1, round: -1 };
    limit.sent(request, isInUse);
    return request;
  };
  return {
    limit,
    at: (time) => (scheduler.frame = time),
    send,
    exchange(latency = 0, route = '/{db}') {
      const request = send(true, route);
      scheduler.frame += latency;
      limit.answered(request, true);
    },
  };
}

/** Sends a request, and refuses it. */
function refuse({ limit, send }: Stage, status: number, pause = 0, inFlight = 20): void {
  limit.refused(send(), status, pause, inFlight);
}

describe('a limit that nothing has refused', () => {
  it('is the maximum, without a rate or a delay', () => {
    const { limit, send, exchange } = stage();
    for (let n = 0; n < 200; n++) exchange(5);
    expect([limit.limit, limit.rate, limit.delay(), limit.round]).toEqual([MAX, Infinity, 0, 0]);
    expect(limit.isUnstable).toBe(false);
    // A request below the limit is not measured.
    expect(send(false)).toMatchObject({ sentAt: -1, round: 0 });
    expect(send(true).sentAt).toBeGreaterThanOrEqual(1000);
  });

  it('that is fixed never changes', () => {
    const fixed = new FixedLimit(5);
    const request = { route: '/', sentAt: -1, round: 0 };
    fixed.sent(request, true);
    fixed.refused(request, 503, 5, 5);
    fixed.answered(request, true);
    expect([fixed.limit, fixed.rate, fixed.delay(), fixed.isUnstable]).toEqual([
      5,
      Infinity,
      0,
      false,
    ]);
  });
});

describe('a 503', () => {
  it('begins with one request again, and grows with each answer to half of those in flight', () => {
    const all = stage();
    refuse(all, 503);
    expect([all.limit.limit, all.limit.round, all.limit.isUnstable]).toEqual([1, 1, true]);
    const limits: number[] = [];
    for (let n = 0; n < 40; n++) {
      all.exchange(5);
      limits.push(all.limit.limit);
      expect(all.limit.isUnstable).toBe(n < 15);
    }
    // 10 is half of 20. From there, each round of as many answers adds one.
    expect(limits.slice(0, 10)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 10]);
    expect(limits.slice(17, 22)).toEqual([10, 11, 11, 11, 11]);
    expect(limits.at(-1)).toBe(12);
  });

  it('halves a limit that is known, to at least one', () => {
    const all = stage();
    refuse(all, 503);
    for (let n = 0; n < 12; n++) all.exchange(5);
    expect(all.limit.limit).toBe(10);
    refuse(all, 503, 0, 8);
    expect(all.limit.limit).toBe(4);
    for (let n = 0; n < 3; n++) refuse(all, 503, 0, 1);
    expect(all.limit.limit).toBe(1);
    all.exchange(5);
    expect(all.limit.limit).toBe(2);
  });

  it('of a request from before another refusal changes nothing', () => {
    const all = stage();
    const [one, two] = [all.send(), all.send()];
    all.limit.refused(one, 503, 0, 20);
    all.limit.refused(two, 503, 0, 19);
    expect([all.limit.round, all.limit.limit]).toEqual([1, 1]);
    all.exchange(5);
    all.limit.answered(two, true);
    expect(all.limit.limit).toBe(2);
  });

  it.each([
    [0, 2000],
    [1, 2200],
  ])(
    'with retry-after delays all requests, by a tenth more at most (random %d)',
    (random, delay) => {
      const all = stage(random);
      all.at(500);
      refuse(all, 503, 2000);
      expect(all.limit.delay()).toBe(delay);
      all.at(500 + delay - 1);
      expect(all.limit.delay()).toBe(1);
      all.at(500 + delay);
      expect(all.limit.delay()).toBe(0);
      all.send();
      all.at(10_000);
      expect(all.limit.delay()).toBe(0);
    },
  );

  it('with a retry-after of more than half a minute delays none', () => {
    const all = stage();
    refuse(all, 503, 30_001);
    expect(all.limit.delay()).toBe(0);
    refuse(all, 503, 30_000);
    expect(all.limit.delay()).toBe(30_000);
  });

  it('is forgotten after a minute without requests', () => {
    const all = stage();
    all.at(1000);
    refuse(all, 503);
    all.at(61_000);
    all.send();
    expect(all.limit.limit).toBe(1);
    all.at(61_001);
    all.send();
    expect(all.limit.limit).toBe(MAX);
  });
});

describe('a 429', () => {
  /** Answers as many requests in a second as the rate of the server, evenly. */
  const second = (all: Stage, from: number, answers: number): void => {
    for (let n = 0; n < answers; n++) {
      all.at(from + Math.floor((n * 1000) / answers));
      all.limit.answered(all.send(), true);
    }
  };

  it('teaches nine tenths of the answers of the last second as the rate', () => {
    const all = stage();
    second(all, 1000, 100);
    all.at(2000);
    refuse(all, 429);
    expect(all.limit.rate).toBeCloseTo(0.9 * 100, 0);
    expect(all.limit.isUnstable).toBe(true);
    // Until another refusal confirms it, it doubles every half second.
    all.at(2500);
    expect(all.limit.rate).toBeCloseTo(2 * 0.9 * 100, 0);
    all.at(3000);
    expect(all.limit.rate).toBeCloseTo(4 * 0.9 * 100, 0);
    all.at(32_000);
    expect(all.limit.rate).toBeGreaterThan(1000);
    all.at(32_001);
    expect(all.limit.rate).toBe(Infinity);
  });

  it('counts an answer to an earlier request into the rate', () => {
    const all = stage();
    second(all, 1000, 100);
    const early = all.send();
    all.at(2000);
    refuse(all, 429);
    const before = all.limit.rate;
    all.limit.answered(early, true);
    expect(all.limit.rate - before).toBeCloseTo(0.9);
  });

  it('confirms a rate, which then grows slowly, and lowers it further soon after', () => {
    const all = stage();
    second(all, 1000, 100);
    all.at(2000);
    refuse(all, 429);
    second(all, 2000, 50);
    all.at(3000);
    refuse(all, 429);
    const confirmed = all.limit.rate;
    expect(confirmed).toBeCloseTo(0.9 * 50, 0);
    all.at(3500);
    expect(all.limit.rate).toBeLessThan(1.01 * confirmed);
    all.at(23_000);
    expect(all.limit.rate).toBeCloseTo(2 * confirmed);
    // The limit of requests stays: only the rate was too high.
    const { limit } = all.limit;
    second(all, 3000, 40);
    all.at(4000);
    refuse(all, 429);
    expect(all.limit.rate).toBeCloseTo(0.75 * 40, 0);
    expect(all.limit.limit).toBeGreaterThanOrEqual(limit);
  });

  it('spaces requests by the rate, and lets them catch up 10 ms', () => {
    const all = stage();
    second(all, 1000, 100);
    all.at(2000);
    refuse(all, 429);
    second(all, 2000, 50);
    all.at(3000);
    refuse(all, 429);
    const space = 1000 / all.limit.rate;
    all.at(3100);
    all.send();
    expect(all.limit.delay()).toBe(Math.max(0, Math.ceil(space - 10)));
    all.send();
    expect(all.limit.delay()).toBe(Math.ceil(2 * space - 10));
  });

  it('pauses if nothing was answered since the last one, for as long as that lasts', () => {
    const all = stage();
    second(all, 1000, 100);
    all.at(2000);
    refuse(all, 429);
    all.at(2010);
    refuse(all, 429);
    expect(all.limit.delay()).toBe(250);
    all.at(3000);
    refuse(all, 429);
    expect(all.limit.delay()).toBe(1000);
    all.at(20_000);
    refuse(all, 429);
    expect(all.limit.delay()).toBe(8000);
    expect(all.limit.limit).toBe(1);
  });

  it('learns at least one request per second', () => {
    const all = stage();
    refuse(all, 429);
    expect(all.limit.rate).toBe(1);
  });
});

describe('answers that become slow', () => {
  /** A limit that grows by rounds from here. */
  function grown(): Stage {
    const all = stage();
    refuse(all, 503, 0, 128);
    for (let n = 0; n < 63; n++) all.exchange(10);
    expect(all.limit.limit).toBe(MAX);
    return all;
  }

  it('lower the limit by a tenth a round', () => {
    const all = grown();
    for (let n = 0; n < 2 * MAX; n++) all.exchange(10);
    expect(all.limit.limit).toBe(MAX);
    for (let n = 0; n < MAX; n++) all.exchange(100);
    expect(all.limit.limit).toBe(57);
  });

  it('leave the limit if half of them are as fast as before, or other routes are slow', () => {
    const all = grown();
    for (let n = 0; n < 2 * MAX; n++) all.exchange(10);
    for (let n = 0; n < MAX; n++) all.exchange(n % 2 === 0 ? 10 : 100);
    expect(all.limit.limit).toBe(MAX);
    for (let n = 0; n < MAX; n++) all.exchange(100, `/route-${n}`);
    expect(all.limit.limit).toBe(MAX);
  });

  it('are averaged from the start if there are too many routes', () => {
    const all = grown();
    for (let n = 0; n < 2 * MAX; n++) all.exchange(10);
    for (let n = 0; n < 256; n++) all.exchange(10, `/route-${n}`);
    for (let n = 0; n < MAX; n++) all.exchange(100);
    expect(all.limit.limit).toBe(MAX);
  });

  it('leave a limit that is small', () => {
    const all = stage();
    refuse(all, 503, 0, 20);
    for (let n = 0; n < 60; n++) all.exchange(10);
    const { limit } = all.limit;
    expect(4 * limit).toBeLessThanOrEqual(MAX);
    for (let n = 0; n < 3 * limit; n++) all.exchange(1000);
    expect(all.limit.limit).toBeGreaterThanOrEqual(limit);
  });
});
