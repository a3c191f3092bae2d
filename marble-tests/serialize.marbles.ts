import { describe, it } from '@jest/globals';
import { serialize } from '../src/operators/batcher.ts';
import { marbles } from './helpers/run.ts';

describe('inTurn', () => {
  it(
    'subscribes to one after the other, whether it completes, errors or is left',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const turn = serialize<string>();
      const first = cold(' --a|      ');
      const second = cold('   --#    ');
      const third = cold('      -----');
      const fourth = cold('       -d|');
      expectObservable(first.pipe(turn)).toBe('       --a|');
      expectObservable(second.pipe(turn)).toBe('      -----#');
      expectObservable(third.pipe(turn), '^-----!').toBe('------');
      expectObservable(fourth.pipe(turn)).toBe('      -------d|');
      expectSubscriptions(first.subscriptions).toBe(' ^--!');
      expectSubscriptions(second.subscriptions).toBe('---^-!');
      expectSubscriptions(third.subscriptions).toBe(' -----^!');
      expectSubscriptions(fourth.subscriptions).toBe('------^-!');
    }),
  );

  it(
    'passes over what was left while it waited, and begins at once with nobody before it',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const turn = serialize<string>();
      const first = cold('---a|');
      const left = cold(' -b|');
      const next = cold(' -c|');
      expectObservable(first.pipe(turn)).toBe('          ---a|');
      expectObservable(left.pipe(turn), '^-!').toBe('    ---');
      expectObservable(next.pipe(turn)).toBe('           -----c|');
      expectObservable(first.pipe(turn), '   ---------^-').toBe(
        '------------a|'.replace('a', '-a').slice(1, 0) + '------------a|',
      );
      expectSubscriptions(left.subscriptions).toBe([]);
    }),
  );
});
