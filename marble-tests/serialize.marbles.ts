import { describe, it } from '@jest/globals';
import { Subscriber } from 'rxjs';
import { serialize } from '../src/operators/batcher.ts';
import { marbles } from './helpers/run.ts';

describe('serialize', () => {
  it(
    'subscribes to a source when the one before has completed, errored or been unsubscribed',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const inOrder = serialize<string>();
      const first = cold(' --a|      ');
      const second = cold('   --#    ');
      const third = cold('      -----');
      const fourth = cold('       -d|');
      expectObservable(first.pipe(inOrder)).toBe('       --a|');
      expectObservable(second.pipe(inOrder)).toBe('      -----#');
      expectObservable(third.pipe(inOrder), '^-----!').toBe('------');
      expectObservable(fourth.pipe(inOrder)).toBe('      -------d|');
      expectSubscriptions(first.subscriptions).toBe(' ^--!');
      expectSubscriptions(second.subscriptions).toBe('---^-!');
      expectSubscriptions(third.subscriptions).toBe(' -----^!');
      expectSubscriptions(fourth.subscriptions).toBe('------^-!');
    }),
  );

  it(
    'skips a source that was unsubscribed while it waited, and starts at once with an empty queue',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const inOrder = serialize<string>();
      const first = cold('---a|');
      const skipped = cold('-b|');
      const next = cold(' -c|');
      expectObservable(first.pipe(inOrder)).toBe('          ---a|');
      expectObservable(skipped.pipe(inOrder), '^-!').toBe(' ---');
      expectObservable(next.pipe(inOrder)).toBe('           -----c|');
      expectObservable(first.pipe(inOrder), '   ---------^-').toBe('------------a|');
      expectSubscriptions(skipped.subscriptions).toBe([]);
      // Leaving the queue starts nothing.
      expectSubscriptions(first.subscriptions).toBe(['^---!', '---------^---!']);
      expectSubscriptions(next.subscriptions).toBe('     ----^-!');
    }),
  );

  it(
    'ignores a subscriber that is closed already, and keeps its queue',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const inOrder = serialize<string>();
      const first = cold('--a|');
      const ignored = cold('b|');
      const next = cold(' -c|');
      const closed = new Subscriber<string>();
      closed.unsubscribe();
      ignored.pipe(inOrder).subscribe(closed);
      expectObservable(first.pipe(inOrder)).toBe('--a|');
      expectObservable(next.pipe(inOrder)).toBe(' ----c|');
      expectSubscriptions(ignored.subscriptions).toBe([]);
    }),
  );
});
