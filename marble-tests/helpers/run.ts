import { expect } from '@jest/globals';
import type { TestScheduler } from 'rxjs/testing';
import { marbleTests } from 'corduroy/testing';
import type { MarbleHelpers } from 'corduroy/testing';

const run = marbleTests((actual, expected) => expect(actual).toEqual(expected), {
  duration: 7_200_000,
});

/** Runs a marble test in virtual time. Jest compares the frames, so that a failure shows a diff. */
export function marbles(
  test: (helpers: MarbleHelpers, scheduler: TestScheduler) => void,
): () => void {
  return run((helpers) => test(helpers, helpers.scheduler));
}
