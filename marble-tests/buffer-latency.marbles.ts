import { describe, it } from '@jest/globals';
import { bufferLatency } from '../src/operators/time.ts';
import { marbles } from './helpers/run.ts';

const blocks: Record<string, readonly string[]> = {
  a: ['a'],
  b: ['b'],
  c: ['c'],
  m: ['m', 'n', 'o'],
  e: [],
};

describe('bufferLatency', () => {
  it(
    'opens a window at the first item after an idle period, and emits one array',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const source = cold('-a--b---------c-------|', blocks);
      const sourceSubs = ' ^---------------------!';
      const expected = '  ------x------------y--|';
      const result = source.pipe(bufferLatency(5, scheduler));
      expectObservable(result).toBe(expected, { x: ['a', 'b'], y: ['c'] });
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    }),
  );

  it(
    'opens one window after another while items arrive',
    marbles(({ cold, expectObservable }, scheduler) => {
      const source = cold('-a--b--c--a-----------', blocks);
      const expected = '  ------x----y----------';
      const result = source.pipe(bufferLatency(5, scheduler));
      expectObservable(result).toBe(expected, { x: ['a', 'b'], y: ['c', 'a'] });
    }),
  );

  it(
    'emits the items of the open window before it completes',
    marbles(({ cold, expectObservable }, scheduler) => {
      const source = cold('-a-|   ', blocks);
      const expected = '  ---(x|)';
      expectObservable(source.pipe(bufferLatency(5, scheduler))).toBe(expected, { x: ['a'] });
    }),
  );

  it(
    'emits the items of the open window before it errors',
    marbles(({ cold, expectObservable }, scheduler) => {
      const source = cold('-a-#   ', blocks);
      const expected = '  ---(x#)';
      expectObservable(source.pipe(bufferLatency(5, scheduler))).toBe(expected, { x: ['a'] });
    }),
  );

  it(
    'emits each item alone and at once, with a latency of 0',
    marbles(({ cold, expectObservable }, scheduler) => {
      const source = cold('-a--m-----e|', blocks);
      const expected = '  -a--(mno)--|';
      const values = { a: ['a'], m: ['m'], n: ['n'], o: ['o'] };
      expectObservable(source.pipe(bufferLatency(0, scheduler))).toBe(expected, values);
    }),
  );

  it(
    'emits nothing for no items or empty arrays, and passes an error on',
    marbles(({ cold, expectObservable }, scheduler) => {
      for (const source of ['------', '|     ', '---|  ', '#     ']) {
        expectObservable(cold(source, blocks).pipe(bufferLatency(5, scheduler))).toBe(source);
      }
    }),
  );

  it(
    'stops its timer on unsubscribe',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const source = cold('-a-----b---', blocks);
      const unsub = '      -------!';
      const sourceSubs = ' ^------!';
      const expected = '  ------x';
      const result = source.pipe(bufferLatency(5, scheduler));
      expectObservable(result, unsub).toBe(expected, { x: ['a'] });
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    }),
  );
});
