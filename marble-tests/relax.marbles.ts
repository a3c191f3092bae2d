import { describe, expect, it } from '@jest/globals';
import { Observable, of } from 'rxjs';
import { lastOf, relax } from 'corduroy';
import type { RelaxedMethod } from 'corduroy';
import { marbles } from './helpers/run.ts';

describe('relax', () => {
  it(
    'waits at each yield, emits the return value, and completes',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const first = cold(' --a|      ');
      const second = cold('   -b--c|');
      const subs1 = '      ^--!      ';
      const subs2 = '      ---^----!';
      const expected = '   --------(x|)';
      const result = relax(function* () {
        const a = yield* lastOf(first);
        const c = yield* lastOf(second);
        return a + c;
      });
      expectObservable(result).toBe(expected, { x: 'ac' });
      expectSubscriptions(first.subscriptions).toBe(subs1);
      expectSubscriptions(second.subscriptions).toBe(subs2);
    }),
  );

  it(
    'throws an error at its yield, where try/catch works',
    marbles(({ cold, expectObservable }) => {
      const failing = cold('--#');
      const expected = '    --(x|)';
      const result = relax(function* () {
        try {
          return yield* lastOf(failing);
        } catch (error) {
          return `caught ${String(error)}`;
        }
      });
      expectObservable(result).toBe(expected, { x: 'caught error' });
    }),
  );

  it(
    'errors with an uncaught error',
    marbles(({ cold, expectObservable }) => {
      const result = relax(function* () {
        return yield* lastOf(cold('--#'));
      });
      expectObservable(result).toBe('--#');
    }),
  );

  it(
    'aborts the pending source on unsubscribe, at every frame, and runs finally once',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }) => {
      const left: string[] = [];
      const first = cold(' --(a|)   ');
      const second = cold('  --(b|)');
      const result = relax(function* () {
        try {
          yield* lastOf(first);
          yield* lastOf(second);
          return 'done';
        } finally {
          left.push('finally');
        }
      });
      expectObservable(result, '-!').toBe('--');
      expectObservable(result, '---!').toBe('----');
      expectSubscriptions(first.subscriptions).toBe(['^!', '^-!']);
      expectSubscriptions(second.subscriptions).toBe(['--^!']);
      flush();
      expect(left).toEqual(['finally', 'finally']);
    }),
  );

  it(
    'waits for the yields of finally after an unsubscribe',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const work = cold('   -------');
      const release = cold('--(r|)');
      const result = relax(function* () {
        try {
          yield* lastOf(work);
        } finally {
          yield* lastOf(release);
        }
      });
      expectObservable(result, '---!').toBe('----');
      expectSubscriptions(work.subscriptions).toBe('   ^--!');
      expectSubscriptions(release.subscriptions).toBe('---^-!');
    }),
  );

  it(
    'runs the generator again at each subscription',
    marbles(({ cold, expectObservable }) => {
      let runs = 0;
      const result = relax(function* () {
        runs += 1;
        yield* lastOf(cold('-(a|)'));
        return runs;
      });
      expectObservable(result).toBe('-(x|)', { x: 2 });
      expectObservable(result).toBe('-(x|)', { x: 2 });
    }),
  );

  it('does nothing before a subscription', () => {
    let ran = false;
    relax(function* () {
      ran = true;
      yield* lastOf(of(1));
    });
    expect(ran).toBe(false);
  });

  it('handles 100,000 synchronous values without a stack overflow', () => {
    let sum = 0;
    relax(function* () {
      for (let i = 0; i < 100_000; i++) sum += yield* lastOf(of(1));
    }).subscribe();
    expect(sum).toBe(100_000);
  });

  it('throws EmptyError at a yield without a value', () => {
    let name = '';
    relax(function* () {
      try {
        yield* lastOf(new Observable<number>((subscriber) => subscriber.complete()));
      } catch (error) {
        name = (error as Error).name;
      }
    }).subscribe();
    expect(name).toBe('EmptyError');
  });

  it('throws a TypeError that names lastOf at a yield of another value', () => {
    let message = '';
    relax(function* () {
      yield 42;
    }).subscribe({ error: (error: Error) => (message = error.message) });
    expect(message).toContain('lastOf');
  });

  it(
    'sends nothing after the generator has unsubscribed itself, and runs finally once',
    marbles(({ cold, expectSubscriptions, flush }) => {
      const events: string[] = [];
      const first = cold(' --(a|)');
      const second = cold('-----');
      const subscription = relax(function* () {
        try {
          yield* lastOf(first);
          subscription.unsubscribe();
          events.push('unsubscribed');
          yield* lastOf(second);
          events.push('continued');
        } finally {
          events.push('finally');
        }
      }).subscribe();
      expectSubscriptions(first.subscriptions).toBe('^-!');
      expectSubscriptions(second.subscriptions).toBe('--(^!)');
      flush();
      expect(events).toEqual(['unsubscribed', 'finally']);
    }),
  );

  it('stops if the generator itself unsubscribes', () => {
    const events: string[] = [];
    const subscription = relax(function* () {
      try {
        yield* lastOf(of(1).pipe());
        events.push('leaving');
        yield* lastOf(
          new Observable<number>(() => {
            queueMicrotask(() => subscription.unsubscribe());
            return () => events.push('aborted');
          }),
        );
      } finally {
        events.push('finally');
      }
    }).subscribe();
    return Promise.resolve().then(() => expect(events).toEqual(['leaving', 'aborted', 'finally']));
  });

  describe('as a decorator', () => {
    class Greeter {
      greeting = 'hello';
      greet(name: string): Observable<string>;
      @relax
      *greet(name: string): RelaxedMethod<string> {
        const twice = yield* lastOf(of(`${name} ${name}`));
        return `${this.greeting} ${twice}`;
      }
    }

    it(
      'returns a method that returns a cold Observable, with this and arguments',
      marbles(({ expectObservable }) => {
        expectObservable(new Greeter().greet('ada')).toBe('(x|)', { x: 'hello ada ada' });
      }),
    );

    it('returns a method whose result can be yielded with lastOf', () => {
      const greeter = new Greeter();
      const said: string[] = [];
      relax(function* () {
        return yield* lastOf(greeter.greet('bob'));
      }).subscribe((value) => said.push(value));
      expect(said).toEqual(['hello bob bob']);
    });
  });
});
