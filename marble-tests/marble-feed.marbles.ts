import { describe, expect, it } from '@jest/globals';
import { map, mergeMap } from 'rxjs';
import type { Observable } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import type { ChangesBatch, ChangesFeedOptions, FeedKind } from 'corduroy';
import { fault, marbleServer, marbleTests, status } from 'corduroy/testing';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

const options: ChangesFeedOptions = {
  latency: 0,
  backoff: { initialDelay: 5, random: () => 0.8 },
};
const ids = (feed: Observable<ChangesBatch>): Observable<string> =>
  feed.pipe(map(({ changes }) => changes.map(({ id }) => id).join('')));

describe('a marble feed', () => {
  it.each<FeedKind>(['continuous', 'longpoll', 'eventsource', 'auto'])(
    'serves %s feeds the same changes at the same time',
    (feed) =>
      marbles(({ server, couch, hot, expectObservable }) => {
        server.feed('orders', hot('      -a-b----(cd)--'));
        const changes = couch.use('orders').changes$({ ...options, feed });
        expectObservable(ids(changes), ' --------------!').toBe('-a-b----(cd)--');
      })(),
  );

  it(
    'completes a normal feed and a one-shot request after the existing changes',
    marbles(({ server, couch, hot, cold, expectObservable }) => {
      server.feed('orders', hot('-a-b--c'));
      const db = couch.use('orders');
      const drained = db.changes$({ ...options, feed: 'normal', since: 0 });
      const once = db.changes({ since: '1', limit: 1 });
      expectObservable(ids(cold('----(d|)').pipe(mergeMap(() => drained)))).toBe('----(ab|)');
      const read = cold('-------(o|)').pipe(mergeMap(() => once));
      expectObservable(read).toBe('-------(r|)', {
        r: {
          lastSeq: '2',
          pending: 1,
          results: [{ seq: '2', id: 'b', changes: [{ rev: '1-2' }] }],
        },
      });
    }),
  );

  it(
    'starts at the since of the feed, and ends at its limit',
    marbles(({ server, couch, hot, expectObservable }) => {
      const feed = server.feed('orders', hot('-a-b-c'));
      const db = couch.use('orders');
      expectObservable(ids(db.changes$(options)), '    ----^---!').toBe('-----c---');
      const after = db.changes$({ ...options, since: '1', limit: 2 });
      expectObservable(ids(after), '                   --^').toBe('      ---b-(c|)');
      expectObservable(feed.requests$.pipe(map(({ query }) => query['since']))).toBe('--1-2', {
        1: '1',
        2: '2',
      });
      expectObservable(server.requests$).toBe('-');
    }),
  );

  it(
    'sends heartbeats at the requested interval',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      const feed = server.feed('orders', hot('5ms a'));
      const changes = couch.use('orders').changes$({ ...options, heartbeat: 1000 });
      expectObservable(ids(changes), '60s !').toBe('5ms a');
      expectSubscriptions(feed.subscriptions).toBe('^ 59999ms !');
    }),
  );

  it(
    'drops the connection at a #; the feed reconnects, and receives the missed changes',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      const feed = server.feed('orders', hot('-a-#'), hot('-----b----c-'));
      const changes = couch.use('orders').changes$(options);
      // 5 ms of backoff: floor(0.8 × 5) + 1.
      expectObservable(ids(changes), ' ------------!').toBe('-a------b-c-');
      expectSubscriptions(feed.subscriptions).toBe([' ^--!', '--------^---!']);
      expectObservable(changes.state$.pipe(map(({ status: is }) => is)), '-^---------!').toBe(
        '-l-w----(cl)',
        { l: 'live', w: 'waiting', c: 'connecting' },
      );
    }),
  );

  it(
    'continues after a fault.cut in the same stream',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a-x------b-', { a: 'a', b: 'b', x: fault.cut }));
      expectObservable(ids(couch.use('orders').changes$(options)), '------------!').toBe(
        '                        -a--------b-',
      );
    }),
  );

  it(
    'sends nothing after a fault.silence, until the feed notices and reconnects',
    marbles(({ server, couch, hot, expectObservable, expectSubscriptions }) => {
      const feed = server.feed('orders', hot('-a-x-b', { a: 'a', b: 'b', x: fault.silence }));
      const changes = couch.use('orders').changes$({ ...options, heartbeat: 10 });
      // The feed waits twice the heartbeat after the last bytes, then 5 ms of backoff.
      expectObservable(ids(changes), '40ms !').toBe('-a 24ms b');
      expectSubscriptions(feed.subscriptions).toBe(['^ 20ms !', '26ms ^ 13ms !']);
    }),
  );

  it(
    'answers with a status: the feed retries a transient one, and ends after a permanent one',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a-#', undefined, status(503)), hot('12ms b'));
      server.feed('refused', hot('-a-x', { a: 'a', x: status(401) }));
      const waits = couch.use('orders').changes$(options);
      const ends = couch.use('refused').changes$(options);
      expectObservable(ids(waits), '30ms !').toBe('-a 15ms b');
      const error = expect.objectContaining({ name: 'Unauthorized' });
      expectObservable(ids(ends)).toBe('-a------#', undefined, error);
    }),
  );

  it(
    'replaces the database at a fault.replaced, which ends the feed',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a-x', { a: 'a', x: fault.replaced }));
      const error = expect.objectContaining({ name: 'DatabaseReplaced' });
      expectObservable(ids(couch.use('orders').changes$(options))).toBe(
        '-a------#',
        undefined,
        error,
      );
    }),
  );

  it(
    'lets routes of the test answer for the database itself',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-'));
      server.on('GET /orders', status(404));
      const error = expect.objectContaining({ name: 'NotFound' });
      expectObservable(couch.use('orders').changes$(options)).toBe('#', undefined, error);
      expectObservable(couch.use('orders').info()).toBe('#', undefined, error);
    }),
  );

  it(
    'ends a test with an open feed at the duration',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed('orders', hot('-a'));
      expectObservable(ids(couch.use('orders').changes$(options))).toBe('-a');
    }),
  );

  it('fails a test with an open feed in a plain TestScheduler after an hour of virtual time', () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    expect(() =>
      scheduler.run(({ cold, hot, expectObservable }) => {
        const server = marbleServer({ cold });
        server.feed('orders', hot('-a'));
        expectObservable(ids(server.couch().use('orders').changes$(options))).toBe('-a');
      }),
    ).toThrow(/the feed of orders has been open for an hour of virtual time/i);
  });

  it('rejects marbles that are not changes', () => {
    const test = marbles(({ server, couch, hot }) => {
      server.feed('orders', hot('-a', { a: 42 as never }));
      couch.use('orders').changes$(options).subscribe();
    });
    expect(test).toThrow(/feed: a marble must be a document/);
  });

  it(
    'accepts documents, ids, and changes as CouchDB writes them',
    marbles(({ server, couch, hot, expectObservable }) => {
      server.feed(
        'orders',
        hot<string | object>('-a-b-c-d', {
          a: 'one',
          b: { _id: 'two', _rev: '2-b', total: 3 },
          c: { _id: 'one', _rev: '2-c', _deleted: true },
          d: { id: 'four', seq: '9-x', changes: [{ rev: '1-d' }, { rev: '1-e' }] },
        }),
      );
      const feed = couch.use('orders').changes$({ ...options, includeDocs: true });
      const changes = feed.pipe(mergeMap((batch) => batch.changes));
      expectObservable(changes, '--------!').toBe('-a-b-c-d', {
        a: { seq: '1', id: 'one', changes: [{ rev: '1-1' }], doc: { _id: 'one', _rev: '1-1' } },
        b: {
          seq: '2',
          id: 'two',
          changes: [{ rev: '2-b' }],
          doc: { _id: 'two', _rev: '2-b', total: 3 },
        },
        c: {
          seq: '3',
          id: 'one',
          changes: [{ rev: '2-c' }],
          deleted: true,
          doc: { _id: 'one', _rev: '2-c', _deleted: true },
        },
        d: { seq: '9-x', id: 'four', changes: [{ rev: '1-d' }, { rev: '1-e' }], doc: null },
      });
    }),
  );
});
