import { describe, expect, it } from '@jest/globals';
import { asyncScheduler } from 'rxjs';
import { after, bufferLatency, clock } from '../src/operators/time.ts';
import { marbles } from './helpers/run.ts';

const DAY = 86_400_000;

describe('after', () => {
  it(
    'emits once after a delay of any length, and never after Infinity',
    marbles(({ expectObservable, flush }, scheduler) => {
      scheduler.maxFrames = 100 * DAY;
      const seen: number[] = [];
      for (const delay of [0, 5, 2 ** 31 - 1, 2 ** 31, 60 * DAY, Infinity])
        after(delay, scheduler).subscribe(() => seen.push(scheduler.now()));
      expectObservable(after(5, scheduler)).toBe('-----(0|)', { 0: 0 });
      flush();
      expect(seen).toEqual([0, 5, 2 ** 31 - 1, 2 ** 31, 60 * DAY]);
    }),
  );

  it(
    'stops its timer on unsubscribe, also the second one of a long delay',
    marbles(({ flush }, scheduler) => {
      scheduler.maxFrames = 100 * DAY;
      let emitted = false;
      const subscription = after(60 * DAY, scheduler).subscribe(() => (emitted = true));
      after(40 * DAY, scheduler).subscribe(() => subscription.unsubscribe());
      flush();
      expect(emitted).toBe(false);
    }),
  );
});

describe('clock', () => {
  it(
    'is the virtual time of a scheduler, also of asyncScheduler in a test',
    marbles(({ flush }, scheduler) => {
      const [virtual, platform] = [clock(scheduler), clock(asyncScheduler)];
      after(7, scheduler).subscribe(() => expect([virtual(), platform()]).toEqual([7, 7]));
      expect([virtual(), platform()]).toEqual([0, 0]);
      flush();
      expect(virtual()).toBe(7);
    }),
  );

  it('is independent of the time of day outside tests', () => {
    expect(clock(asyncScheduler)()).toBeLessThan(Date.now() / 2);
  });
});

describe('bufferLatency', () => {
  it(
    'emits its window at the end of the source if the latency is Infinity',
    marbles(({ cold, expectObservable }, scheduler) => {
      const source = cold('-a-b-|', { a: ['a'], b: ['b'] });
      const result = source.pipe(bufferLatency(Infinity, scheduler));
      expectObservable(result).toBe('-----(x|)', { x: ['a', 'b'] });
    }),
  );
});
