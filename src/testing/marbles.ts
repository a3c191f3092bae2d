import { TestScheduler } from 'rxjs/testing';
import type { RunHelpers } from 'rxjs/testing';
import type { Couch } from '../couch.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { marbleServer } from './marble-server.ts';
import type { MarbleServer } from './marble-server.ts';

/** What a marble test works with: RxJS's own helpers, a server, and a `Couch` that reaches it. */
export interface MarbleHelpers extends RunHelpers {
  readonly server: MarbleServer;
  readonly couch: Couch;
  readonly scheduler: TestScheduler;
}

/** How marble tests are run. */
export interface MarblesOptions {
  /**
   * When a test is over, in milliseconds of virtual time, where something in it goes on for ever, as
   * a feed does that nobody unsubscribes from.
   * @defaultValue 600000
   */
  readonly duration?: number;
}

/** Makes a test of a function: what `it` takes. */
export type Marbles = (test: (helpers: MarbleHelpers) => void) => () => void;

/**
 * Returns what makes marble tests, for the runner whose deep comparison it is given.
 *
 * @param assertDeepEqual - Throws where two values differ.
 * @throws TypeError and RangeError for what is neither a function nor a duration.
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
      'a function that compares',
      assertDeepEqual,
    );
  if (!(duration >= 0))
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
