import { describe, expect, it } from '@jest/globals';
import { EMPTY, NEVER, map, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch } from 'corduroy';
import type { ChangesFeedOptions, Database, TransportRequest, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const change = (seq: string): string =>
  `${JSON.stringify({ seq, id: `doc-${seq}`, changes: [{ rev: '1-a' }] })}\n`;
const text: Record<string, string> = {
  a: change('1'),
  b: change('2'),
  c: change('3'),
  h: '\n',
  e: '{"last_seq":"9","pending":0}\n',
};
const wire = Object.fromEntries(Object.entries(text).map(([key, value]) => [key, bytes(value)]));

type Serve = (request: TransportRequest, count: number) => Observable<TransportResponse>;

/** A database whose feed connections the test serves; what `now` is, is known at once. */
function database(
  scheduler: TestScheduler,
  serve: Serve,
): { readonly db: Database; readonly asked: string[] } {
  const asked: string[] = [];
  const transport = marbleTransport((request) => {
    const { search, searchParams } = new URL(request.url);
    if (searchParams.get('feed') !== 'continuous') {
      return of(response(of(bytes('{"results":[],"last_seq":"0","pending":0}'))));
    }
    asked.push(search);
    return serve(request, asked.length);
  });
  return { db: new Couch(undefined, { transport, scheduler }).use('orders'), asked };
}

const feedOptions: ChangesFeedOptions = {
  latency: 0,
  heartbeat: 10,
  backoff: { initialDelay: 5, maxDelay: 20, random: () => 0.8 },
};

const ids = map(({ changes }: { changes: readonly { id: string }[] }) =>
  changes.map(({ id }) => id.slice(4)).join(''),
);

describe('changes$', () => {
  it(
    'passes on each change at once with a latency of 0, and nothing for heartbeats',
    marbles(({ cold, expectObservable }, scheduler) => {
      const body = cold('-h-a--h-(bc)-', wire);
      const { db } = database(scheduler, () => of(response(body)));
      const expected = ' ---1----(23)-';
      expectObservable(db.changes$(feedOptions).pipe(ids), '-------------!').toBe(expected);
    }),
  );

  it(
    'batches by latency, each subscriber by its own, over one connection',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const body = cold('   -a--b-------c---------', wire);
      const { db, asked } = database(scheduler, () => of(response(body)));
      const unsub = '       --------------------!';
      const often = '       ---x-y--------z------';
      const seldom = '      -----------p---------q-';
      expectObservable(db.changes$({ ...feedOptions, latency: 2 }).pipe(ids), unsub).toBe(often, {
        x: '1',
        y: '2',
        z: '3',
      });
      expectObservable(
        db.changes$({ ...feedOptions, latency: 10 }).pipe(ids),
        '                   ----------------------!',
      ).toBe(seldom, { p: '12', q: '3' });
      expectSubscriptions(body.subscriptions).toBe('^---------------------!');
      flush();
      expect(asked).toHaveLength(1);
    }),
  );

  it(
    'opens with the first subscriber and closes with the last',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const body = cold('            -a-b-c-a-b-', wire);
      const { db } = database(scheduler, () => of(response(body)));
      const feed = db.changes$(feedOptions).pipe(ids);
      expectObservable(feed, '-^----!').toBe('          --1-2-');
      expectObservable(feed, '---^------!').toBe('      ----2-3-1-');
      expectSubscriptions(body.subscriptions).toBe('    -^--------!');
    }),
  );

  it(
    'makes `now` concrete once, and goes on after the last change when the connection breaks',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const bodies = [cold('-a-#', wire, new Error('reset')), cold('--b-------', wire)];
      const { db, asked } = database(scheduler, (_, count) =>
        of(response(bodies[count - 1] ?? NEVER)),
      );
      // 3 frames until it breaks, 5 of backoff (floor(0.8 × 5) + 1).
      expectObservable(db.changes$(feedOptions).pipe(ids), '------------!').toBe('-1--------2--');
      flush();
      expect(asked.map((search) => new URLSearchParams(search).get('since'))).toEqual(['0', '1']);
    }),
  );

  it(
    'takes a body that ends without last_seq for a failure, and one with it for an end',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const states: string[] = [];
      const bodies = [cold('-a|', wire), cold('-(e|)', wire), cold('-b----------', wire)];
      const { db, asked } = database(scheduler, (_, count) =>
        of(response(bodies[count - 1] ?? NEVER)),
      );
      const feed = db.changes$(feedOptions);
      feed.state$.subscribe((state) =>
        states.push(state.status === 'waiting' ? `waiting: ${state.error.name}` : state.status),
      );
      expectObservable(feed.pipe(ids), '---------------------!').toBe('-1-------2-----');
      flush();
      expect(states).toEqual([
        'idle',
        'connecting',
        'live',
        'waiting: ProtocolError',
        'connecting',
        'live',
        'connecting',
        'live',
        'idle',
      ]);
      expect(asked.map((search) => new URLSearchParams(search).get('since'))).toEqual([
        '0',
        '1',
        '9',
      ]);
    }),
  );

  it(
    'drops a connection on which nothing comes for twice the heartbeat',
    marbles(({ cold, expectSubscriptions, expectObservable }, scheduler) => {
      const silent = cold('-h-------------------', wire);
      const { db } = database(scheduler, (_, count) => of(response(count === 1 ? silent : NEVER)));
      expectObservable(db.changes$(feedOptions), '25ms !').toBe('-');
      expectSubscriptions(silent.subscriptions).toBe('^--------------------!');
    }),
  );

  it(
    'is kept alive by heartbeats alone',
    marbles(({ cold, expectSubscriptions, expectObservable }, scheduler) => {
      const body = cold('9ms h 9ms h 9ms h 9ms h 9ms h', wire);
      const { db } = database(scheduler, () => of(response(body)));
      expectObservable(db.changes$(feedOptions), '60ms !').toBe('-');
      expectSubscriptions(body.subscriptions).toBe('^ 59ms !');
    }),
  );

  it(
    'tells its state, to those who come late as well',
    marbles(({ cold, expectObservable }, scheduler) => {
      const bodies = [cold('-----#', wire, new Error('reset')), cold('----------', wire)];
      const { db } = database(scheduler, (_, count) => of(response(bodies[count - 1] ?? NEVER)));
      const feed = db.changes$(feedOptions);
      const state = feed.state$.pipe(map(({ status }) => status));
      expectObservable(state).toBe('      i-(cl)-w----(cl)---i', {
        i: 'idle',
        c: 'connecting',
        l: 'live',
        w: 'waiting',
      });
      expectObservable(state, '----^-!').toBe('----l--', { l: 'live' });
      expectObservable(feed, '           --^----------------!').toBe('-');
    }),
  );

  it(
    'backs off with full jitter, doubling up to the cap, and starts again after a success',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const at: number[] = [];
      const { db } = database(scheduler, (_, count) => {
        at.push(scheduler.now());
        if (count === 5) return of(response(cold('(a#)', wire, new Error('cut'))));
        return cold('#', undefined, new Error('refused'));
      });
      expectObservable(db.changes$(feedOptions).pipe(ids), '80ms !').toBe('48ms 1');
      flush();
      // Caps of 5, 10, 20, 20: floor(0.8 × cap) + 1 each; after the change, 5 and 10 again.
      expect(at.slice(0, 7)).toEqual([0, 5, 14, 31, 48, 53, 62]);
    }),
  );

  it(
    'ends with what cannot pass by itself, and begins anew for the next subscriber',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const refusal = bytes('{"error":"unauthorized","reason":"no"}');
      const { db, asked } = database(scheduler, (_, count) =>
        count === 1 ? of(response(of(refusal), 401)) : of(response(cold('-a-', wire))),
      );
      const feed = db.changes$(feedOptions);
      const failures: string[] = [];
      feed.subscribe({ error: (error: Error) => failures.push(error.name) });
      expectObservable(feed.pipe(ids), '-----!').toBe('-1');
      flush();
      expect(failures).toEqual(['Unauthorized']);
      expect(asked).toHaveLength(2);
    }),
  );

  it(
    'completes after `limit` changes, over reconnections',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const bodies = [cold('-a#', wire, new Error('cut')), cold('-(bc)-', wire)];
      const { db, asked } = database(scheduler, (_, count) =>
        of(response(bodies[count - 1] ?? NEVER)),
      );
      expectObservable(db.changes$({ ...feedOptions, limit: 3 }).pipe(ids)).toBe('-1------(23|)');
      flush();
      expect(asked.map((search) => new URLSearchParams(search).get('limit'))).toEqual(['3', '2']);
    }),
  );

  it(
    'shares a connection only between equal parameters',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, asked } = database(scheduler, () => of(response(NEVER)));
      for (const options of [{}, { latency: 5 }, { includeDocs: true }, { filter: 'a/b' }, {}]) {
        expectObservable(db.changes$({ ...feedOptions, ...options }), '---!').toBe('-');
      }
      flush();
      expect(asked).toHaveLength(3);
    }),
  );

  it(
    'leaves nothing behind when it is unsubscribed from, whatever it is doing',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const head = cold('-----h', { h: response(EMPTY) });
      const { db, asked } = database(scheduler, (_, count) =>
        count === 1 ? cold('-#', undefined, new Error('refused')) : head,
      );
      expectObservable(db.changes$(feedOptions), '---!').toBe('----');
      flush();
      expect(asked).toHaveLength(1);
      expectSubscriptions(head.subscriptions).toBe([]);
    }),
  );

  it('refuses options that make no sense when it is called', () => {
    const db = new Couch().use('orders');
    expect(() => db.changes$({ latency: -1 })).toThrow(RangeError);
    expect(() => db.changes$({ heartbeat: 0 })).toThrow(RangeError);
    expect(() => db.changes$({ heartbeat: 61_000 })).toThrow(RangeError);
    expect(() => db.changes$({ docIds: ['a'], filter: 'a/b' })).toThrow(
      /docIds and filter exclude/,
    );
    expect(() => db.changes$({ include_docs: true } as never)).toThrow(
      /did you mean 'includeDocs'/,
    );
  });
});
