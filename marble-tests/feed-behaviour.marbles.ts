import { describe, expect, it } from '@jest/globals';
import { NEVER, defer, filter, map, of, throwError, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch, memoryCheckpoint } from 'corduroy';
import type {
  ChangesFeedOptions,
  CheckpointStore,
  Database,
  FeedState,
  TransportRequest,
  TransportResponse,
} from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const row = (seq: string): string =>
  JSON.stringify({ seq, id: `doc-${seq}`, changes: [{ rev: '1-a' }] });
const wire = Object.fromEntries(
  Object.entries({ a: `${row('1')}\n`, b: `${row('2')}\n`, c: `${row('3')}\n`, h: '\n' }).map(
    ([key, value]) => [key, bytes(value)],
  ),
);
const page = (lastSeq: string, rows: string[] = [], pending = 0): TransportResponse =>
  response(of(bytes(`{"results":[${rows.join()}],"last_seq":"${lastSeq}","pending":${pending}}`)));

interface Stage {
  readonly db: Database;
  /** The requests, in order: `feed@since`, `now`, or `info`. */
  readonly requests: string[];
}

/** A database whose feeds the test answers. All other requests are answered at once. */
function stage(
  scheduler: TestScheduler,
  serve: (kind: string, count: number, request: TransportRequest) => Observable<TransportResponse>,
  info: () => object = () => ({ instance_start_time: '1' }),
): Stage {
  const requests: string[] = [];
  let feeds = 0;
  const transport = marbleTransport((request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (!pathname.endsWith('/_changes')) {
      requests.push('info');
      return of(response(of(bytes(JSON.stringify(info())))));
    }
    const since = searchParams.get('since') ?? '';
    const kind = searchParams.get('feed') ?? 'normal';
    if (since === 'now') {
      requests.push('now');
      return of(page('0'));
    }
    requests.push(`${kind}@${since}`);
    feeds += 1;
    return serve(kind, feeds, request);
  });
  return { db: new Couch(undefined, { transport, scheduler }).use('orders'), requests };
}

const options: ChangesFeedOptions = {
  latency: 0,
  heartbeat: 100,
  backoff: { initialDelay: 5, maxDelay: 20, random: () => 0.8 },
};
const ids = map(({ changes }: { changes: readonly { id: string }[] }) =>
  changes.map(({ id }) => id.slice(4)).join(''),
);
const refused = (): Observable<never> => throwError(() => new Error('refused'));

describe('a feed', () => {
  it(
    'resolves `now` before it connects, and reads the identity of the database after that',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, requests } = stage(scheduler, () => of(response(NEVER)));
      expectObservable(db.changes$(options), '---!').toBe('-');
      flush();
      expect(requests).toEqual(['now', 'continuous@0', 'info']);
    }),
  );

  it(
    'errors with DatabaseReplaced if the database is another one after a cut',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      let time = 1;
      const { db } = stage(
        scheduler,
        () => of(response(cold('-a#', wire, new Error('cut')))),
        () => ({ instance_start_time: String(time++) }),
      );
      const feed = db.changes$(options);
      const names: string[] = [];
      feed.subscribe({ error: (error: Error) => names.push(error.name) });
      const status = feed.state$.pipe(map((state) => state.status));
      expectObservable(status, '------------!').toBe('l-w----(cf)', {
        l: 'live',
        w: 'waiting',
        c: 'connecting',
        f: 'failed',
      });
      flush();
      expect(names).toEqual(['DatabaseReplaced']);
    }),
  );

  it(
    'polls first without waiting, then waits with each poll, and stays live meanwhile',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, requests } = stage(scheduler, (_, count) =>
        count === 1
          ? of(page('1', [row('1')]))
          : cold('50ms (p|)', { p: page(String(count), count < 4 ? [row(String(count))] : []) }),
      );
      const feed = db.changes$({ ...options, feed: 'longpoll' });
      expectObservable(feed.pipe(ids), '120ms !').toBe('1 49ms 2 49ms 3');
      expectObservable(feed.state$.pipe(map(({ status }) => status)), '119ms !').toBe('l', {
        l: 'live',
      });
      flush();
      expect(requests.filter((request) => request !== 'info')).toEqual([
        'now',
        'longpoll@0',
        'longpoll@1',
        'longpoll@2',
        'longpoll@3',
      ]);
    }),
  );

  it(
    'polls again at once after polls that bring nothing, for as long as each one waits',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const polls: number[] = [];
      const { db } = stage(scheduler, (_, count) => {
        polls.push(scheduler.now());
        return cold('100ms (p|)', { p: count < 6 ? page('0') : page('1', [row('1')]) });
      });
      const feed = db.changes$({ ...options, feed: 'longpoll' });
      expectObservable(feed.pipe(ids), '650ms !').toBe('600ms 1');
      expectObservable(feed.state$.pipe(map(({ status }) => status)), '649ms !').toBe('c 99ms l', {
        c: 'connecting',
        l: 'live',
      });
      flush();
      expect(polls).toEqual([0, 100, 200, 300, 400, 500, 600]);
    }),
  );

  it(
    "completes with feed: 'normal' when nothing is pending",
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, requests } = stage(scheduler, (_, count) =>
        of(count === 1 ? page('1', [row('1')], 1) : page('2', [row('2')])),
      );
      expectObservable(db.changes$({ ...options, feed: 'normal' }).pipe(ids)).toBe('(12|)');
      flush();
      expect(requests).toEqual(['longpoll@0', 'info', 'longpoll@1', 'info']);
    }),
  );

  it(
    "races a poll with feed: 'auto' if the head of the stream is late, but not if a live connection falls silent",
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const buffered = stage(scheduler, (kind, count) =>
        kind === 'longpoll' && count === 2 ? of(page('1', [row('1')])) : NEVER,
      );
      const silent = stage(scheduler, () => of(response(cold('-h', wire))));
      expectObservable(
        buffered.db.changes$({ ...options, feed: 'auto' }).pipe(ids),
        '101ms !',
      ).toBe('100ms 1');
      expectObservable(silent.db.changes$({ ...options, feed: 'auto' }), '207ms !').toBe('-');
      flush();
      expect(buffered.requests.slice(0, 3)).toEqual(['now', 'continuous@0', 'longpoll@0']);
      expect(silent.requests).toEqual(['now', 'continuous@0', 'info', 'continuous@0', 'info']);
    }),
  );

  it(
    'retries transient errors for errorTolerance milliseconds',
    marbles(({ cold, expectObservable }, scheduler) => {
      const fails = (errorTolerance: number): Observable<string> => {
        const { db } = stage(scheduler, (_, count) =>
          count === 1 ? of(response(cold('-a#', wire, new Error('cut')))) : refused(),
        );
        return defer(() => db.changes$({ ...options, errorTolerance })).pipe(ids);
      };
      const error = expect.objectContaining({ name: 'ProtocolError' });
      const later = expect.objectContaining({ name: 'ConnectionError' });
      expectObservable(fails(0)).toBe('-1#', { 1: '1' }, error);
      // Attempts at 7 and 16; the one at 33 is more than 20 after the change at 1.
      expectObservable(fails(20)).toBe('-1 31ms #', { 1: '1' }, later);
    }),
  );

  it(
    'waits as long as Retry-After demands',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const busy = response(of(bytes('{}')), 503, { 'retry-after': '2' });
      const { db } = stage(scheduler, (_, count) =>
        count === 1 ? of(busy) : of(response(cold('-a-', wire))),
      );
      const feed = db.changes$(options);
      const delays: number[] = [];
      feed.state$.subscribe((state) => state.status === 'waiting' && delays.push(state.delay));
      expectObservable(feed.pipe(ids), '2010ms !').toBe('2001ms 1');
      flush();
      expect(delays).toEqual([2000]);
    }),
  );

  it(
    'keeps the connection open for `linger` after the last subscriber has left',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const body = cold('        -a----b------------', wire);
      const { db, requests } = stage(scheduler, () => of(response(body)));
      const feed = db.changes$({ ...options, linger: 5 });
      expectObservable(feed.pipe(ids), '--!').toBe('         -1-');
      expectObservable(feed.pipe(ids), '-----^--!').toBe('   ------2--');
      expectSubscriptions(body.subscriptions).toBe('^------------!');
      flush();
      expect(requests.filter((request) => request.startsWith('continuous'))).toHaveLength(1);
    }),
  );

  it(
    'closes the connection while pauseWhile is true, and continues after the last change',
    marbles(({ cold, hot, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const pauseWhile = hot('   ---t----f-----', { t: true, f: false });
      const bodies = [cold('-a-----------', wire), cold('-b----', wire)];
      const { db, requests } = stage(scheduler, (_, count) =>
        of(response(bodies[count - 1] ?? NEVER)),
      );
      const feed = db.changes$({ ...options, pauseWhile });
      expectObservable(feed.state$.pipe(map(({ status }) => status)), '---^---!').toBe('---(lp)', {
        l: 'live',
        p: 'paused',
      });
      expectObservable(feed.pipe(ids), '------------!').toBe('-1-------2---');
      expectSubscriptions(bodies[0]?.subscriptions ?? []).toBe('^--!');
      expectSubscriptions(bodies[1]?.subscriptions ?? []).toBe('--------^---!');
      flush();
      expect(requests.filter((request) => request.startsWith('continuous'))).toEqual([
        'continuous@0',
        'continuous@1',
      ]);
    }),
  );

  it(
    'reopens if the server holds back changes',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, requests } = stage(scheduler, (kind, count) => {
        if (kind === 'normal') return of(page('1', [row('1')]));
        return of(response(count === 1 ? cold('-h-', wire) : cold('(a)', wire)));
      });
      expectObservable(db.changes$({ ...options, heartbeat: 10_000 }).pipe(ids), '1100ms !').toBe(
        '600ms 1',
      );
      flush();
      expect(requests.slice(0, 6)).toEqual([
        'now',
        'continuous@0',
        'info',
        'normal@0',
        'continuous@0',
        'info',
      ]);
    }),
  );

  it(
    'backs off if the server answers polls at once without changes',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, requests } = stage(scheduler, () => of(page('0')));
      expectObservable(db.changes$({ ...options, feed: 'longpoll' }), '200ms !').toBe('-');
      flush();
      // The delay grows to 17 ms, so that 200 ms take a dozen polls.
      const polls = requests.filter((request) => request !== 'info').length;
      expect(polls).toBeLessThan(20);
      expect(polls).toBeGreaterThan(10);
    }),
  );

  it.each(Array.from({ length: 24 }, (_, frame) => frame))(
    'leaves no request, timer or value behind when unsubscribed at frame %d',
    (frame) =>
      marbles(({ cold, expectObservable, flush }, scheduler) => {
        // A refused connection, backoff, the head, rows, a cut, backoff, and a second connection.
        const bodies = [cold('-ab-#', wire, new Error('cut')), cold('-c-------------', wire)];
        const heads: ReturnType<typeof cold<TransportResponse>>[] = [];
        const { db } = stage(scheduler, (_, count) => {
          if (count === 1) return cold('-#', undefined, new Error('refused'));
          const body = bodies[count - 2];
          heads.push(cold('--h', { h: response(body ?? NEVER) }));
          return heads.at(-1) as Observable<TransportResponse>;
        });
        const values = ids(db.changes$(options));
        const late: string[] = [];
        const subscription = values.subscribe((value) => {
          if (scheduler.now() > frame) late.push(value);
        });
        scheduler.schedule(() => subscription.unsubscribe(), frame);
        expectObservable(NEVER, '40ms !').toBe('-');
        flush();
        expect(late).toEqual([]);
        for (const opened of [...heads, ...bodies]) {
          for (const { subscribedFrame, unsubscribedFrame } of opened.subscriptions) {
            expect(subscribedFrame).toBeLessThanOrEqual(frame);
            expect(unsubscribedFrame).toBeLessThanOrEqual(frame);
          }
        }
      })(),
  );

  it(
    'delivers to the other subscribers if one throws',
    marbles(({ cold, expectObservable }, scheduler) => {
      const { db } = stage(scheduler, () => of(response(cold('-a-b-', wire))));
      const feed = db.changes$(options);
      const throwing = feed.pipe(
        map(() => {
          throw new Error('thrown');
        }),
      );
      expectObservable(throwing).toBe('-#', undefined, new Error('thrown'));
      expectObservable(feed.pipe(ids), '----!').toBe('-1-2');
    }),
  );

  it(
    'starts from its checkpoint, and stores the sequence of each delivered batch',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const writes: string[] = [];
      const memory = memoryCheckpoint('7');
      const checkpoint: CheckpointStore = {
        read: memory.read,
        write: (seq) => {
          writes.push(seq);
          return memory.write(seq);
        },
      };
      const { db, requests } = stage(scheduler, () => of(response(cold('-a-b-', wire))));
      expectObservable(db.changes$({ ...options, checkpoint }).pipe(ids), '----!').toBe('-1-2');
      flush();
      expect(requests).toContain('continuous@7');
      expect(writes).toEqual(['1', '2']);
      expect(memory.read()).toBe('2');
    }),
  );

  it(
    'stores the sequence of `now` before it connects, so that an early unsubscribe misses nothing',
    marbles(({ expectObservable, flush }, scheduler) => {
      const memory = memoryCheckpoint();
      const { db } = stage(scheduler, () => of(response(NEVER)));
      expectObservable(db.changes$({ ...options, checkpoint: memory }), '--!').toBe('-');
      flush();
      expect(memory.read()).toBe('0');
    }),
  );

  it(
    'writes one checkpoint at a time, and skips all but the latest sequence meanwhile',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const writes: string[] = [];
      const checkpoint: CheckpointStore = {
        read: () => '0',
        write: (seq) => {
          writes.push(`${seq}@${scheduler.now()}`);
          return cold('-----|');
        },
      };
      const { db } = stage(scheduler, () => of(response(cold('-abc----', wire))));
      expectObservable(
        db.changes$({ ...options, checkpoint, checkpointInterval: 0 }).pipe(ids),
        '----------!',
      ).toBe('-123');
      flush();
      expect(writes).toEqual(['1@1', '3@6']);
    }),
  );
});

it(
  'a quiet feed that polls is live again after a cut, and stays live',
  marbles(({ expectObservable }) => {
    const server = memoryServer({ databases: { orders: [{ _id: 'a' }] }, latency: 0 });
    const backoff = { initialDelay: 4, random: () => 0.999 };
    const feed = server.couch().use('orders').changes$({ feed: 'longpoll', backoff });
    timer(1000).subscribe(() => server.cut());
    expectObservable(feed, '60s !').toBe('-');
    const states$ = feed.state$.pipe(map(({ status }) => status.slice(0, 1)));
    expectObservable(states$, '60s !').toBe('(cl) 996ms w 3ms (cl) 58992ms i');
  }),
);

it(
  'a late head of `_db_updates` does not make the feeds of databases poll',
  marbles(({ expectObservable }) => {
    const server = memoryServer({ databases: { orders: [] }, latency: 0 });
    // As CouchDB does, which sends the head of a stream with the first heartbeat.
    server.on('GET /_db_updates', (_params, { query: { feed = '', timeout = '30000' } }) =>
      timer(feed === '' ? 0 : Number(timeout)).pipe(map(() => ({ results: [], last_seq: '1' }))),
    );
    const couch = server.couch();
    const protocolOf = ({ state$ }: { state$: Observable<FeedState> }): Observable<string> =>
      state$.pipe(
        filter((state) => state.status === 'live'),
        map(({ protocol }) => protocol.slice(0, 1)),
      );
    const updates = couch.dbUpdates$();
    const changes = couch.use('orders').changes$();
    expectObservable(updates, '20s !').toBe('-');
    expectObservable(protocolOf(updates), '20s !').toBe('1250ms l');
    expectObservable(changes, '5s ^ 15s !').toBe('-');
    expectObservable(protocolOf(changes), '20s !').toBe('5s c');
  }),
);
