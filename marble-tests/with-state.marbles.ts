import { describe, expect, it } from '@jest/globals';
import { distinctUntilChanged, filter, map, of, scan, share, switchMap } from 'rxjs';
import type { Observable } from 'rxjs';
import { withState } from 'corduroy';
import type { AnyFields, WithState } from 'corduroy';
import { liveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

const loading = { value: undefined, loading: true, error: null, stale: false, since: null };
const ready = { ...loading, loading: false };

describe('withState', () => {
  it(
    'emits loading, the values, and an error as the last value',
    marbles(({ cold, expectObservable }) => {
      const source = '        --a-----b---#';
      const expected = '      l-a-----b---(e|)';
      expectObservable(cold(source).pipe(withState())).toBe(expected, {
        l: loading,
        a: { ...ready, value: 'a' },
        b: { ...ready, value: 'b' },
        e: { ...ready, value: 'b', error: 'error', stale: true, since: expect.any(Number) },
      });
    }),
  );

  it(
    'emits stale values only while the feed is down',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      server.at(10, () => server.cut());
      server.at(15, () => server.restore());
      const describeState = ({
        value,
        loading: waits,
        stale,
      }: WithState<AnyFields | null>): string =>
        `${waits ? 'loading' : String(value?.['n'])}${stale ? ' stale' : ''}`;
      expectObservable(server.db.doc$('a').pipe(withState(), map(describeState)), '60ms !').toBe(
        'l--1------s---------1',
        { l: 'loading', 1: '1', s: '1 stale' },
      );
    }),
  );

  it(
    'knows the connection behind other operators',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      server.at(10, () => server.cut());
      const live = server.db.doc$('a');
      const piped = {
        map: live.pipe(map((doc) => doc?.['n'])),
        filter: live.pipe(filter((doc) => doc !== null)),
        distinct: live.pipe(
          map((doc) => doc?.['n']),
          distinctUntilChanged(),
        ),
        shared: live.pipe(share()),
        switched: live.pipe(switchMap((doc) => of(doc))),
        scanned: live.pipe(scan((count) => count + 1, 0)),
      };
      for (const [, source] of Object.entries<Observable<unknown>>(piped)) {
        const stale$ = source.pipe(
          withState(),
          map(({ stale }) => stale),
        );
        expectObservable(stale$, '12ms !').toBe('f--f------t', { f: false, t: true });
      }
    }),
  );

  it(
    'works with any Observable, and completes with it',
    marbles(({ expectObservable }) => {
      expectObservable(of(1).pipe(withState())).toBe('(lv|)', {
        l: loading,
        v: { ...ready, value: 1 },
      });
    }),
  );
});
