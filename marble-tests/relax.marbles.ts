import { describe, expect, it } from '@jest/globals';
import { Observable, of } from 'rxjs';
import { lastOf, relax } from 'corduroy';
import type { RelaxedMethod } from 'corduroy';
import { marbles } from './helpers/run.ts';

describe('relax', () => {
  it(
    'waits at each yield, emits what is returned, and completes',
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
    'throws a failure at its yield, where it can be caught',
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
    'errors with what is not caught',
    marbles(({ cold, expectObservable }) => {
      const result = relax(function* () {
        return yield* lastOf(cold('--#'));
      });
      expectObservable(result).toBe('--#');
    }),
  );

  it(
    'aborts what it waits for on unsubscribe, at every frame, and runs finally once',
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
    'still waits for what finally yields after it was unsubscribed',
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
    'runs the generator anew at each subscription',
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

  it('does nothing until it is subscribed to', () => {
    let ran = false;
    relax(function* () {
      ran = true;
      yield* lastOf(of(1));
    });
    expect(ran).toBe(false);
  });

  it('takes a hundred thousand values that are there at once', () => {
    let sum = 0;
    relax(function* () {
      for (let i = 0; i < 100_000; i++) sum += yield* lastOf(of(1));
    }).subscribe();
    expect(sum).toBe(100_000);
  });

  it('throws EmptyError at a yield that gets no value', () => {
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

  it('tells somebody who yields what is no Observable', () => {
    let message = '';
    relax(function* () {
      yield 42;
    }).subscribe({ error: (error: Error) => (message = error.message) });
    expect(message).toContain('lastOf');
  });

  it('can be left by what it does itself', () => {
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
      'makes a method that returns a cold Observable, with this and arguments',
      marbles(({ expectObservable }) => {
        expectObservable(new Greeter().greet('ada')).toBe('(x|)', { x: 'hello ada ada' });
      }),
    );

    it('lets a relaxed method be yielded to', () => {
      const greeter = new Greeter();
      const said: string[] = [];
      relax(function* () {
        return yield* lastOf(greeter.greet('bob'));
      }).subscribe((value) => said.push(value));
      expect(said).toEqual(['hello bob bob']);
    });
  });
});
