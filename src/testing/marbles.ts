import { TestScheduler } from 'rxjs/testing';
import type { RunHelpers } from 'rxjs/testing';
import type { Couch } from '../couch.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { marbleServer } from './marble-server.ts';
import type { MarbleServer } from './marble-server.ts';

/** The helpers of a marble test: those of RxJS, a server, and a `Couch` that reaches it. */
export interface MarbleHelpers extends RunHelpers {
  readonly server: MarbleServer;
  readonly couch: Couch;
  readonly scheduler: TestScheduler;
}

/** The options of {@link marbleTests}. */
export interface MarblesOptions {
  /**
   * The virtual time after which a test ends, in milliseconds. It matters if a stream never ends,
   * for example a feed that nothing unsubscribes from.
   * @defaultValue 600000
   */
  readonly duration?: number;
}

/** Wraps a marble test in a function that you can pass to `it`. */
export type Marbles = (test: (helpers: MarbleHelpers) => void) => () => void;

/**
 * Returns a function that wraps marble tests, for any test runner.
 *
 * @param assertDeepEqual - Throws if two values differ.
 * @throws TypeError if `assertDeepEqual` is not a function.
 * @throws RangeError for an invalid duration.
 * @example
 * const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));
 *
 * it('reads an order', marbles(({ server, couch, cold, expectObservable }) => {
 *   server.on('GET /orders/:id', cold('--a', { a: { _id: '17' } }));
 *   expectObservable(couch.use('orders').get('17')).toBe('--(a|)', { a: { _id: '17' } });
 * }));
 */
export function marbleTests(
  assertDeepEqual: (actual: unknown, expected: unknown) => void,
  options: MarblesOptions = {},
): Marbles {
  const { duration = 600_000 } = options;
  if (typeof assertDeepEqual !== 'function')
    throw invalidArgument(
      'marbleTests: assertDeepEqual',
      'a function that compares two values',
      assertDeepEqual,
    );
  if (typeof duration !== 'number' || !(duration >= 0))
    throw invalidArgument('marbleTests: duration', 'milliseconds from 0', duration, RangeError);
  return (test) => () => {
    const scheduler = new TestScheduler(assertDeepEqual);
    scheduler.run((helpers) => {
      scheduler.maxFrames = duration;
      const server = marbleServer(helpers);
      test({ ...helpers, scheduler, server, couch: server.couch() });
    });
  };
}
