import { describe, expect, it } from '@jest/globals';
import { NEVER, map, tap } from 'rxjs';
import { Couch } from 'corduroy';
import type { ChangesBatch, ChangesFeedOptions } from 'corduroy';
import { fault, raw, status } from 'corduroy/testing';
import type { ServerRequest } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';

const feedOptions: ChangesFeedOptions = {
  latency: 0,
  heartbeat: 10,
  backoff: { initialDelay: 5, maxDelay: 20, random: () => 0.8 },
};
const CONNECT = 'GET /orders/_changes?feed=continuous';

const ids = map(({ changes }: { changes: readonly { id: string }[] }) =>
  changes.map(({ id }) => id).join(''),
);
const since = map(({ query }: ServerRequest) => query['since']);

describe('changes$', () => {
  it(
    'emits each change at once with a latency of 0, and nothing for heartbeats',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('---a----(bc) 20ms a--'));
      const expected = '         ---a----(bc) 20ms a--';
      const feed = couch.use('orders').changes$(feedOptions);
      expectObservable(feed.pipe(ids), '35ms !').toBe(expected);
    }),
  );

  it(
    'batches by the latency of each feed, over one connection',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      const feed = server.feed('orders', hot('-a--b-------c---------'));
      const unsub1 = '                         --------------------!';
      const often = '                          ---x-y--------z------';
      const unsub2 = '                         ----------------------!';
      const seldom = '                         -----------p---------q-';
      const db = couch.use('orders');
      expectObservable(db.changes$({ ...feedOptions, latency: 2 }).pipe(ids), unsub1).toBe(often, {
        x: 'a',
        y: 'b',
        z: 'c',
      });
      const slow = db.changes$({ ...feedOptions, latency: 10 });
      expectObservable(slow.pipe(ids), unsub2).toBe(seldom, { p: 'ab', q: 'c' });
      expectSubscriptions(feed.subscriptions).toBe('^---------------------!');
    }),
  );

  it(
    'buffers once for all subscribers with the same latency, and gives late subscribers only later changes',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a--b-c-------d----------'));
      const first = '            ^-----------------------!';
      const shown1 = '           -------x------------z----';
      const later = '            -----^------------------!';
      const shown2 = '           -------y------------z----';
      const last = '             ------- ^---------------!';
      const shown3 = '           --------------------z----';
      const options = { ...feedOptions, latency: 6 };
      const feed = couch.use('orders').changes$(options);
      const values = { x: 'abc', y: 'c', z: 'd' };
      const batched = new Set<unknown>();
      const recordBatch = tap(({ changes }: ChangesBatch) => batched.add(changes));
      expectObservable(feed.pipe(recordBatch, ids), first).toBe(shown1, values);
      expectObservable(feed.pipe(ids), later).toBe(shown2, values);
      expectObservable(feed.pipe(ids), last).toBe(shown3, values);
      const other = couch.use('orders').changes$(options);
      expectObservable(other.pipe(recordBatch, ids), first).toBe(shown1, values);
      hot('------------------------x').subscribe(() => expect(batched.size).toBe(2));
    }),
  );

  it(
    'gives a subscriber every change after the last subscriber left in the middle of a window',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-ab----cde-------------f--------'));
      const feed = couch.use('orders').changes$({ ...feedOptions, latency: 6 });
      const first = '            ^---!';
      const next = '             -----^-------------------------!';
      const shown = '            -------------x---------------y-';
      expectObservable(feed.pipe(ids), first).toBe('-');
      expectObservable(feed.pipe(ids), next).toBe(shown, { x: 'cde', y: 'f' });
    }),
  );

  it(
    'reports the last sequence of each feed object, while others receive more',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('--a-b-c-d-e-'));
      const db = couch.use('orders');
      const feed = db.changes$(feedOptions);
      const others = db.changes$(feedOptions);
      const seqOf = (of: typeof feed) => map(() => of.seq?.split('-')[0]);
      const looks$ = hot('       -x---x-x----x-');
      const unsub = '            -----!        ';
      const first = '            -n---2-2----2-';
      const second = '           -n---2-3----5-';
      expectObservable(others.pipe(ids), '---------------!').toBe('--a-b-c-d-e-');
      expectObservable(feed.pipe(ids), unsub).toBe('--a-b-------');
      expectObservable(looks$.pipe(seqOf(feed))).toBe(first, { n: undefined, 2: '2' });
      const values = { n: undefined, 2: '2', 3: '3', 5: '5' };
      expectObservable(looks$.pipe(seqOf(others))).toBe(second, values);
    }),
  );

  it(
    'opens with the first subscriber and closes with the last',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      const { subscriptions } = server.feed('orders', hot('--a-b-c-d-e-'));
      const feed = couch.use('orders').changes$(feedOptions).pipe(ids);
      expectObservable(feed, '-^----!').toBe('             --a-b-');
      expectObservable(feed, '---^------!').toBe('         ----b-c-d-');
      expectSubscriptions(subscriptions).toBe('            -^--------!');
    }),
  );

  it(
    'resolves `now` once, and continues after the last change when the connection breaks',
    marbles(({ server, couch, hot, expectObservable }) => {
      const feed = server.feed('orders', hot('-a-#'), hot('----b'));
      // 3 frames until it breaks, 5 of backoff (floor(0.8 × 5) + 1).
      const changes = couch.use('orders').changes$(feedOptions);
      expectObservable(changes.pipe(ids), '------------!').toBe('-a------b---');
      expectObservable(feed.requests$.pipe(since)).toBe('        0-------1');
    }),
  );

  it(
    'retries a body that ends without last_seq as an error, and reconnects after one with it',
    marbles(({ server, couch, hot, cold, expectObservable, flush }) => {
      const row = '{"seq":"1","id":"a","changes":[{"rev":"1-a"}]}\n';
      const end = '{"last_seq":"2","pending":0}\n';
      const states: string[] = [];
      const feed = server.feed('orders', hot('-ab-------c'));
      const cut = server.once(CONNECT, raw(cold('-a|', { a: row })));
      const ended = server.once(CONNECT, raw(cold('-(e|)', { e: end })));
      const changes = couch.use('orders').changes$(feedOptions);
      changes.state$.subscribe((state) =>
        states.push(state.status === 'waiting' ? `waiting: ${state.error.name}` : state.status),
      );
      expectObservable(cut.requests$.pipe(since)).toBe('                  0');
      expectObservable(ended.requests$.pipe(since)).toBe('                -------1');
      expectObservable(feed.requests$.pipe(since)).toBe('                 --------2');
      expectObservable(changes.pipe(ids), '---------------------!').toBe('-a--------c');
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
    }),
  );

  it(
    'closes a connection on which nothing arrives for two heartbeats',
    marbles(({ server, couch, hot, expectSubscriptions, expectObservable }) => {
      const feed = server.feed('orders', hot('-x', { x: fault.silence }));
      expectObservable(couch.use('orders').changes$(feedOptions), '23ms !').toBe('-');
      expectSubscriptions(feed.subscriptions).toBe('^-------------------!');
    }),
  );

  it(
    'keeps a connection open on which only heartbeats arrive',
    marbles(({ server, couch, hot, expectSubscriptions, expectObservable }) => {
      const feed = server.feed('orders', hot('-'));
      expectObservable(couch.use('orders').changes$(feedOptions), '60ms !').toBe('-');
      expectSubscriptions(feed.subscriptions).toBe('^ 59ms !');
    }),
  );

  it(
    'emits its state, also to late subscribers',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-------#'));
      const feed = couch.use('orders').changes$(feedOptions);
      const state = feed.state$.pipe(map(({ status: name }) => name));
      const values = { i: 'idle', c: 'connecting', l: 'live', w: 'waiting' };
      expectObservable(state).toBe('         i-(cl)-w----(cl)---i', values);
      expectObservable(state, '----^-!').toBe('----l--', values);
      expectObservable(feed, '              --^----------------!').toBe('-');
    }),
  );

  it(
    'backs off with full jitter, doubles the cap up to maxDelay, and resets it after a success',
    marbles(({ server, couch, hot, cold, expectObservable }) => {
      const feed = server.feed('orders', hot('a'));
      const refusals = [1, 2, 3, 4].map(() =>
        server.once(CONNECT, cold('#', undefined, new Error('refused'))),
      );
      const reset = new Error('cut');
      const row = '{"seq":"1","id":"a","changes":[{"rev":"1-a"}]}\n';
      const cut = server.once(CONNECT, raw(cold('(a#)', { a: row }, reset)));
      const again = server.once(CONNECT, cold('#', undefined, reset));
      const changes = couch.use('orders').changes$({ ...feedOptions, since: 0 });
      expectObservable(changes.pipe(ids), '80ms !').toBe('48ms a');
      // Caps of 5, 10, 20, 20: floor(0.8 × cap) + 1 each; after the change, 5 and 10 again.
      const requestedAt = ['x', '5ms x', '14ms x', '31ms x', '48ms x', '53ms x', '62ms x'];
      [...refusals, cut, again, feed].forEach(({ requests$ }, i) =>
        expectObservable(requests$.pipe(map(() => 'x'))).toBe(requestedAt[i] as string),
      );
    }),
  );

  it(
    'errors with an error that is not transient, and reconnects for the next subscriber',
    marbles(({ server, couch, hot, expectObservable, flush }) => {
      server.feed('orders', hot('-a-'));
      server.once(CONNECT, status(401));
      const feed = couch.use('orders').changes$(feedOptions);
      const failures: string[] = [];
      feed.subscribe({ error: (error: Error) => failures.push(error.name) });
      expectObservable(feed.pipe(ids), '-----!').toBe('-a');
      flush();
      expect(failures).toEqual(['Unauthorized']);
    }),
  );

  it(
    'completes after `limit` changes, counted across reconnections',
    marbles(({ server, couch, hot, expectObservable }) => {
      const feed = server.feed('orders', hot('-a#'), hot('---------(bc)-'));
      const changes = couch.use('orders').changes$({ ...feedOptions, limit: 3 });
      const limits = feed.requests$.pipe(map(({ query }) => query['limit']));
      expectObservable(changes.pipe(ids)).toBe('-a-------(bc|)');
      expectObservable(limits).toBe('           3------2');
    }),
  );

  it(
    'shares a connection only between equal parameters',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      const { subscriptions } = server.feed('orders', hot('-'));
      const behaviours = [{ latency: 5 }, { linger: 5 }, { backoff: { initialDelay: 9 } }];
      for (const options of [{}, ...behaviours, { includeDocs: true }, { filter: 'a/b' }, {}]) {
        const feed = couch.use('orders').changes$({ ...feedOptions, ...options });
        expectObservable(feed, '---!').toBe('-');
      }
      expectSubscriptions(subscriptions).toBe(['^--!', '^--!', '^--!']);
    }),
  );

  it(
    'cancels the wait before a retry when it is unsubscribed',
    marbles(({ server, couch, hot, cold, expectObservable, expectSubscriptions }) => {
      const feed = server.feed('orders', hot('-'));
      server.once(CONNECT, cold('-#', undefined, new Error('refused')));
      const late = server.once(CONNECT, cold('-----h', { h: raw(NEVER) }));
      expectObservable(couch.use('orders').changes$(feedOptions), '---!').toBe('----');
      expectSubscriptions(late.subscriptions).toBe([]);
      expectSubscriptions(feed.subscriptions).toBe([]);
    }),
  );

  it('throws at the call for invalid options', () => {
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
