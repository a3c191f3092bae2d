import { describe, it } from '@jest/globals';
import { filter, ignoreElements, map, merge, mergeMap, takeUntil, timer, toArray } from 'rxjs';
import { exactIntegers } from 'corduroy/exact-integers';
import { memoryServer } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';
import { Browser } from './helpers/tabs.ts';

const LARGE = 9_223_372_036_854_775_807n;

describe('an integer beyond 2⁵³', () => {
  it(
    'passes from the tab with the connection to other tabs',
    marbles(({ expectObservable }, scheduler) => {
      const server = memoryServer({ databases: { orders: [] }, codec: exactIntegers() });
      const browser = new Browser(scheduler);
      const orders = () => server.couch().use<{ n: bigint }>('orders');
      const follow = () =>
        orders()
          .changes$({
            latency: 0,
            heartbeat: 100,
            includeDocs: true,
            selector: { n: { $gt: LARGE - 1n } },
            crossTab: browser.tab(),
          })
          .pipe(map(({ changes }) => changes.map(({ doc }) => (doc as { n?: bigint }).n)));
      const write = timer(20).pipe(
        mergeMap(() => orders().save({ _id: 'a', n: LARGE })),
        ignoreElements(),
      );
      const end = timer(50);
      const connections = server.requestLines$.pipe(
        filter((line) => line.includes('feed=continuous')),
      );
      expectObservable(merge(follow(), follow(), write).pipe(takeUntil(end), toArray())).toBe(
        '50ms (x|)',
        { x: [[LARGE], [LARGE]] },
      );
      expectObservable(
        connections.pipe(
          takeUntil(end),
          toArray(),
          map(({ length }) => length),
        ),
      ).toBe('50ms (n|)', { n: 1 });
    }),
  );
});
