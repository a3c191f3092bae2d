import { describe, expect, it } from '@jest/globals';
import { NEVER, defer, map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch, memoryCheckpoint } from 'corduroy';
import type {
  ChangesFeedOptions,
  CheckpointStore,
  Database,
  TransportRequest,
  TransportResponse,
} from 'corduroy';
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
  /** What was asked, in order: `feed@since`, `now`, or `info`. */
  readonly asked: string[];
}

/** A database whose feeds the test serves; the rest is answered at once. */
function stage(
  scheduler: TestScheduler,
  serve: (kind: string, count: number, request: TransportRequest) => Observable<TransportResponse>,
  info: () => object = () => ({ instance_start_time: '1' }),
): Stage {
  const asked: string[] = [];
  let feeds = 0;
  const transport = marbleTransport((request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (!pathname.endsWith('/_changes')) {
      asked.push('info');
      return of(response(of(bytes(JSON.stringify(info())))));
    }
    const since = searchParams.get('since') ?? '';
    const kind = searchParams.get('feed') ?? 'normal';
    if (since === 'now') {
      asked.push('now');
      return of(page('0'));
    }
    asked.push(`${kind}@${since}`);
    feeds += 1;
    return serve(kind, feeds, request);
  });
  return { db: new Couch(undefined, { transport, scheduler }).use('orders'), asked };
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
    'asks what now is before it listens, and which database it is before it believes',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, asked } = stage(scheduler, () => of(response(NEVER)));
      expectObservable(db.changes$(options), '---!').toBe('-');
      flush();
      expect(asked).toEqual(['now', 'continuous@0', 'info']);
    }),
  );

  it(
    'ends with DatabaseReplaced when the database is another after a cut',
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
    'polls: once for what there is, and then each time for what comes, as one connection',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, asked } = stage(scheduler, (kind, count) =>
        kind === 'normal'
          ? of(page('1', [row('1')]))
          : cold('50ms (p|)', { p: page(String(count), count < 4 ? [row(String(count))] : []) }),
      );
      const feed = db.changes$({ ...options, feed: 'longpoll' });
      expectObservable(feed.pipe(ids), '120ms !').toBe('1 49ms 2 49ms 3');
      expectObservable(feed.state$.pipe(map(({ status }) => status)), '119ms !').toBe('l', {
        l: 'live',
      });
      flush();
      expect(asked.filter((what) => what !== 'info')).toEqual([
        'now',
        'normal@0',
        'longpoll@1',
        'longpoll@2',
        'longpoll@3',
      ]);
    }),
  );

  it(
    'drains: completes when nothing is pending',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, asked } = stage(scheduler, (_, count) =>
        of(count === 1 ? page('1', [row('1')], 1) : page('2', [row('2')])),
      );
      expectObservable(db.changes$({ ...options, feed: 'normal', since: 0 }).pipe(ids)).toBe(
        '(12|)',
      );
      flush();
      expect(asked).toEqual(['normal@0', 'info', 'normal@1', 'info']);
    }),
  );

  it(
    "'auto' polls when not even the first heartbeat comes, and not when a live connection falls silent",
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const held = stage(scheduler, (kind) =>
        kind === 'normal' ? of(page('1', [row('1')])) : NEVER,
      );
      const heard = stage(scheduler, () => of(response(cold('-h', wire))));
      expectObservable(held.db.changes$({ ...options, feed: 'auto' }).pipe(ids), '206ms !').toBe(
        '205ms 1',
      );
      expectObservable(heard.db.changes$({ ...options, feed: 'auto' }), '207ms !').toBe('-');
      flush();
      expect(held.asked.slice(0, 3)).toEqual(['now', 'continuous@0', 'normal@0']);
      expect(heard.asked).toEqual(['now', 'continuous@0', 'info', 'continuous@0', 'info']);
    }),
  );

  it(
    'puts up with failures for as long as errorTolerance says',
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
    'waits for as long as a server asks with Retry-After',
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
    'lingers: the connection outlives the last subscriber by a moment',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const body = cold('        -a----b------------', wire);
      const { db, asked } = stage(scheduler, () => of(response(body)));
      const feed = db.changes$({ ...options, linger: 5 });
      expectObservable(feed.pipe(ids), '--!').toBe('         -1-');
      expectObservable(feed.pipe(ids), '-----^--!').toBe('   ------2--');
      expectSubscriptions(body.subscriptions).toBe('^------------!');
      flush();
      expect(asked.filter((what) => what.startsWith('continuous'))).toHaveLength(1);
    }),
  );

  it(
    'pauses and goes on where it was',
    marbles(({ cold, hot, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const pauseWhile = hot('   ---t----f-----', { t: true, f: false });
      const bodies = [cold('-a-----------', wire), cold('-b----', wire)];
      const { db, asked } = stage(scheduler, (_, count) =>
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
      expect(asked.filter((what) => what.startsWith('continuous'))).toEqual([
        'continuous@0',
        'continuous@1',
      ]);
    }),
  );

  it(
    'opens anew where the server has changes that it does not send',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, asked } = stage(scheduler, (kind, count) => {
        if (kind === 'normal') return of(page('1', [row('1')]));
        return of(response(count === 1 ? cold('-h-', wire) : cold('(a)', wire)));
      });
      expectObservable(db.changes$({ ...options, heartbeat: 10_000 }).pipe(ids), '1100ms !').toBe(
        '500ms 1',
      );
      flush();
      expect(asked.slice(0, 6)).toEqual([
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
    'does not hurry a server that answers polls at once and gets nowhere',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, asked } = stage(scheduler, () => of(page('0')));
      expectObservable(db.changes$({ ...options, feed: 'longpoll' }), '200ms !').toBe('-');
      flush();
      // The wait grows to 17 ms: a dozen polls, and not ten thousand.
      const polls = asked.filter((what) => what !== 'info').length;
      expect(polls).toBeLessThan(20);
      expect(polls).toBeGreaterThan(10);
    }),
  );

  it.each(Array.from({ length: 24 }, (_, frame) => frame))(
    'is left at frame %d without a request, a timer or a value after it',
    (frame) =>
      marbles(({ cold, expectObservable, flush }, scheduler) => {
        // Refused, waiting, the head, rows, a cut, waiting, and again.
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
    'disturbs nobody when one subscriber throws',
    marbles(({ cold, expectObservable }, scheduler) => {
      const { db } = stage(scheduler, () => of(response(cold('-a-b-', wire))));
      const feed = db.changes$(options);
      const clumsy = feed.pipe(
        map(() => {
          throw new Error('clumsy');
        }),
      );
      expectObservable(clumsy).toBe('-#', undefined, new Error('clumsy'));
      expectObservable(feed.pipe(ids), '----!').toBe('-1-2');
    }),
  );

  it(
    'goes on from its checkpoint, and notes each batch when it has been delivered',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const notes: string[] = [];
      const memory = memoryCheckpoint('7');
      const checkpoint: CheckpointStore = {
        read: memory.read,
        write: (seq) => {
          notes.push(seq);
          return memory.write(seq);
        },
      };
      const { db, asked } = stage(scheduler, () => of(response(cold('-a-b-', wire))));
      expectObservable(db.changes$({ ...options, checkpoint }).pipe(ids), '----!').toBe('-1-2');
      flush();
      expect(asked).toContain('continuous@7');
      expect(notes).toEqual(['1', '2']);
      expect(memory.read()).toBe('2');
    }),
  );

  it(
    'notes what now is before it listens, so that who leaves early misses nothing',
    marbles(({ expectObservable, flush }, scheduler) => {
      const memory = memoryCheckpoint();
      const { db } = stage(scheduler, () => of(response(NEVER)));
      expectObservable(db.changes$({ ...options, checkpoint: memory }), '--!').toBe('-');
      flush();
      expect(memory.read()).toBe('0');
    }),
  );

  it(
    'writes one checkpoint at a time, and of those that came meanwhile the last',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const notes: string[] = [];
      const checkpoint: CheckpointStore = {
        read: () => '0',
        write: (seq) => {
          notes.push(`${seq}@${scheduler.now()}`);
          return cold('-----|');
        },
      };
      const { db } = stage(scheduler, () => of(response(cold('-abc----', wire))));
      expectObservable(db.changes$({ ...options, checkpoint }).pipe(ids), '----------!').toBe(
        '-123',
      );
      flush();
      expect(notes).toEqual(['1@1', '3@6']);
    }),
  );
});
