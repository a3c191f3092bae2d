import { describe, expect, it } from '@jest/globals';
import { NEVER, from, map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch, memoryCheckpoint } from 'corduroy';
import type {
  Change,
  ConsumeProgress,
  ConsumeOptions,
  Database,
  TransportResponse,
} from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { sliceOf } from '../src/changes/slice.ts';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

/** A database with `total` changes, and the requests for them as `feed@since`. */
function database(total: number): { readonly db: Database; readonly requests: string[] } {
  const orders = Array.from({ length: total }, (_, i) => ({ _id: `doc-${i + 1}` }));
  const server = memoryServer({ latency: 0, databases: { orders } });
  const requests: string[] = [];
  server.requests$.subscribe(({ path, query: { feed = 'normal', since = '' } }) => {
    if (path.endsWith('/_changes')) requests.push(`${feed}@${Number.parseInt(since, 10)}`);
  });
  return { db: server.couch().use('orders'), requests };
}

const options: ConsumeOptions = {
  name: 'test',
  since: 0,
  batchSize: 2,
  checkpoint: memoryCheckpoint(),
  backoff: { initialDelay: 4, random: () => 0.999 },
};
const number = ({ id }: Change): string => id.slice(4);
const sequences = (consumed: Observable<ConsumeProgress>): Observable<string> =>
  consumed.pipe(map(({ seq }) => seq.replace('-memory', '')));

describe('consume', () => {
  it(
    'handles one change after the other, and reads the next batch when one is done',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, requests } = database(3);
      const started: string[] = [];
      const handler = (change: Change): unknown => {
        started.push(`${number(change)}@${scheduler.now()}`);
        return cold('--|');
      };
      const checkpoint = memoryCheckpoint();
      expectObservable(
        db.consume(handler, { ...options, checkpoint }).pipe(sequences),
        '1200ms !',
      ).toBe('----2 999ms 3');
      flush();
      expect(started).toEqual(['1@0', '2@2', '3@4']);
      expect(requests).toEqual(['longpoll@0', 'longpoll@2', 'longpoll@3']);
      expect(checkpoint.read()).toBe('3-memory');
    }),
  );

  it(
    'handles `concurrency` changes at the same time, and stores a checkpoint only after the batch',
    marbles(({ cold, expectObservable, flush }) => {
      const { db } = database(2);
      const checkpoint = memoryCheckpoint();
      // The second change is done first, but the checkpoint waits for the first.
      const handler = (change: Change): unknown => cold(number(change) === '1' ? '-----|' : '-|');
      const all = { ...options, concurrency: 2, checkpoint };
      expectObservable(db.consume(handler, all).pipe(sequences), '----!').toBe('----');
      const other = { ...all, checkpoint: memoryCheckpoint() };
      expectObservable(db.consume(handler, other).pipe(sequences), '------!').toBe('-----2');
      flush();
      expect(checkpoint.read()).toBeNull();
      expect(other.checkpoint.read()).toBe('2-memory');
    }),
  );

  it(
    'requests no more changes while a handler does not end',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, requests } = database(50);
      const started: string[] = [];
      const handler = (change: Change): unknown => {
        started.push(`${number(change)}@${scheduler.now()}`);
        return NEVER;
      };
      const slow = { ...options, batchSize: 10, concurrency: 3, checkpoint: memoryCheckpoint() };
      expectObservable(db.consume(handler, slow), '3600s !').toBe('-');
      flush();
      expect(started).toEqual(['1@0', '2@0', '3@0']);
      expect(requests).toEqual(['longpoll@0']);
    }),
  );

  it(
    'retries a failed handler with backoff, and then errors with its error',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db } = database(1);
      const attempts: number[] = [];
      const handler = (): never => {
        attempts.push(scheduler.now());
        throw new Error('poison');
      };
      const checkpoint = memoryCheckpoint();
      const consumed = db.consume(handler, { ...options, attempts: 3, checkpoint });
      expectObservable(consumed).toBe('12ms #', undefined, new Error('poison'));
      flush();
      expect(attempts).toEqual([0, 4, 12]);
      expect(checkpoint.read()).toBeNull();
    }),
  );

  it(
    'passes a poison change to deadLetter, and continues',
    marbles(({ cold, expectObservable, flush }) => {
      const { db } = database(2);
      const poisoned: string[] = [];
      const consumed = db.consume(
        (change) => (number(change) === '1' ? throwError(() => new Error('poison')) : undefined),
        {
          ...options,
          attempts: 1,
          checkpoint: memoryCheckpoint(),
          deadLetter: (change, error) => {
            poisoned.push(`${number(change)} ${(error as Error).message}`);
            return cold('---|');
          },
        },
      );
      expectObservable(consumed.pipe(sequences), '-----!').toBe('---2');
      flush();
      expect(poisoned).toEqual(['1 poison']);
    }),
  );

  it(
    'stores no sequence beyond what was delivered, if the rows of a response arrive one by one',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      // All rows and the end of the response are there before the database is known to be the same.
      const rows = ['1', '2'].map((seq) => `{"seq":"${seq}","id":"${seq}","changes":[]}`);
      const parts = ['{"results":[\n', `${rows[0]},\n`, `${rows[1]}\n`, '],\n"last_seq":"9"}\n'];
      const transport = marbleTransport(({ url }) =>
        url.includes('_changes')
          ? of(response(url.includes('since=0') ? from(parts).pipe(map(bytes)) : NEVER))
          : cold('---(i|)', { i: response(of(bytes('{"instance_start_time":"1"}'))) }),
      );
      const writes: string[] = [];
      const checkpoint = { read: () => '0', write: (seq: string) => writes.push(seq) };
      const db = new Couch(undefined, { transport, scheduler }).use('orders');
      const handled: string[] = [];
      const consumed = db.consume(({ id }) => (id === '2' ? cold('--|') : handled.push(id)), {
        ...options,
        checkpoint,
        checkpointInterval: 0,
      });
      expectObservable(consumed.pipe(map(({ seq }) => seq)), '----!').toBe('---1');
      flush();
      expect([handled, writes]).toEqual([['1'], ['1']]);
    }),
  );

  it(
    'stops after the changes in hand, and stores no sequence beyond an unhandled one',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const row = (seq: number, id: string): string => `{"seq":"${seq}","id":"${id}","changes":[]}`;
      // The second change of `a` waits for the first, and `b` is done before.
      const text = `{"results":[${[row(1, 'a'), row(2, 'a'), row(3, 'b')].join()}],"last_seq":"3"}`;
      const transport = marbleTransport(({ url }) =>
        of(response(of(bytes(url.includes('_changes') ? text : '{"instance_start_time":"1"}')))),
      );
      const checkpoint = memoryCheckpoint('0');
      const db = new Couch(undefined, { transport, scheduler }).use('orders');
      const started: string[] = [];
      const handler = ({ id, seq }: Change): unknown => {
        started.push(`${id}${seq}`);
        return cold(id === 'a' ? '----|' : '-|');
      };
      const consumer = db.consume(handler, {
        ...options,
        batchSize: 3,
        concurrency: 2,
        checkpoint,
      });
      scheduler.schedule(() => consumer.stop(), 2);
      expectObservable(consumer.pipe(map(({ seq }) => seq))).toBe('----(1|)');
      flush();
      expect(started).toEqual(['a1', 'b3']);
      expect(checkpoint.read()).toBe('1');
    }),
  );

  it(
    'polls again at once after polls that bring nothing, for as long as each one waits',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const polls: number[] = [];
      const row = '{"seq":"1","id":"a","changes":[]}';
      const page = (rows: string, seq: string): TransportResponse =>
        response(of(bytes(`{"results":[${rows}],"last_seq":"${seq}"}`)));
      const transport = marbleTransport(({ url }) => {
        if (!url.includes('_changes')) return of(response(of(bytes('{}'))));
        polls.push(scheduler.now());
        return cold('100ms (p|)', { p: polls.length < 6 ? page('', '0') : page(row, '1') });
      });
      const db = new Couch(undefined, { transport, scheduler }).use('orders');
      const handled: string[] = [];
      const consumer = db.consume(({ id }) => handled.push(`${id}@${scheduler.now()}`), {
        ...options,
        heartbeat: 100,
        checkpoint: memoryCheckpoint('0'),
      });
      expectObservable(consumer.pipe(map(({ seq }) => seq)), '650ms !').toBe('600ms 1');
      flush();
      expect(handled).toEqual(['a@600']);
      expect(polls).toEqual([0, 100, 200, 300, 400, 500, 600]);
    }),
  );

  it(
    'shows trouble in its state',
    marbles(({ expectObservable }, scheduler) => {
      let refusals = 2;
      const transport = marbleTransport(({ url }) => {
        if (!url.includes('_changes')) return of(response(of(bytes('{}'))));
        refusals -= 1;
        return refusals >= 0 ? throwError(() => new Error('refused')) : of(response(NEVER));
      });
      const db = new Couch(undefined, { transport, scheduler }).use('orders');
      const consumer = db.consume(() => {}, options);
      const states$ = consumer.state$.pipe(map(({ status }) => status.slice(0, 1)));
      expectObservable(consumer, '30ms !');
      expectObservable(states$, '30ms !').toBe('w 3ms (cw) 4ms (cl) 14ms i');
    }),
  );

  it(
    'handles the documents of its slice, and moves the checkpoint past the others',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, requests } = database(6);
      const slices = [0, 1].map((index) => {
        const handled: string[] = [];
        const checkpoint = memoryCheckpoint();
        const handler = (change: Change): unknown => {
          handled.push(`${number(change)}@${scheduler.now()}`);
          return cold('--|');
        };
        const slice = { index, of: 2 };
        return {
          handled,
          checkpoint,
          worker: db.consume(handler, { ...options, slice, checkpoint }),
        };
      });
      for (const { worker } of slices) expectObservable(worker, '5s !');
      flush();
      expect(slices.map(({ handled }) => handled)).toEqual([
        ['1@0', '3@2', '5@4'],
        ['2@0', '4@2', '6@4'],
      ]);
      expect(slices.map(({ checkpoint }) => checkpoint.read())).toEqual(['6-memory', '6-memory']);
      expect(requests.filter((request) => request === 'longpoll@6')).toHaveLength(2);
    }),
  );

  it.each<[slice: unknown, error: Error]>([
    [
      undefined,
      new TypeError('consume: slice must be an object { index, of } (received undefined)'),
    ],
    [1, new TypeError('consume: slice must be an object { index, of } (received 1)')],
    [[0, 2], new TypeError('consume: slice must be an object { index, of } (received an array)')],
    [{ index: 0, count: 2 }, new TypeError("consume: slice: unknown option 'count'")],
    [
      { index: 0, of: 0 },
      new RangeError('consume: slice.of must be a whole number from 1 (received 0)'),
    ],
    [
      { index: 0 },
      new RangeError('consume: slice.of must be a whole number from 1 (received undefined)'),
    ],
    [
      { index: 4, of: 4 },
      new RangeError(
        'consume: slice.index must be a whole number from 0 to 3, because there are 4 slices (received 4)',
      ),
    ],
    [
      { index: -1, of: 2 },
      new RangeError(
        'consume: slice.index must be a whole number from 0 to 1, because there are 2 slices (received -1)',
      ),
    ],
  ])('refuses the slice %j', (slice, error) => {
    const db = new Couch().use('orders');
    const refused = { ...options, slice: slice as never };
    expect(() => db.consume(() => {}, refused)).toThrow(error);
    expect(() => db.consume(() => {}, refused)).toThrow(error.constructor);
  });

  it('throws at the call for invalid arguments', () => {
    const db = new Couch().use('orders');
    expect(() => db.consume(undefined as never, options)).toThrow(/handler must be a function/);
    expect(() => db.consume(() => {}, { ...options, batchSize: 0 })).toThrow(RangeError);
    expect(() => db.consume(() => {}, { ...options, concurrency: 1.5 })).toThrow(RangeError);
    expect(() => db.consume(() => {}, { name: '' })).toThrow(/name must be/);
  });
});

describe('the slice of a document', () => {
  // The same in every version: a checkpoint of a slice is valid only for the same documents.
  it.each<[id: string, of2: number, of3: number, of10: number, of1000: number]>([
    ['', 1, 0, 7, 257],
    ['a', 0, 0, 2, 192],
    ['order-0001', 1, 1, 1, 881],
    ['_design/orders', 0, 1, 2, 232],
    ['ключ', 1, 2, 1, 21],
    ['日本', 1, 0, 9, 759],
    ['🐻', 0, 2, 0, 580],
  ])('of %j is known', (id, ...slices) => {
    expect([2, 3, 10, 1000].map((count) => sliceOf(id, count))).toEqual(slices);
    expect(sliceOf(id, 1)).toBe(0);
  });

  it.each([
    ['counted', (i: number) => `item-${i}`],
    ['all even', (i: number) => `item-${i * 2}`],
    ['doubled', (i: number) => `${i}:${i}`],
  ])('is spread evenly if the ids are %s', (_kind, idOf) => {
    for (const slices of [2, 3, 4, 7, 16]) {
      const counts = Array.from({ length: slices }, () => 0);
      for (let i = 0; i < 16_000; i++) counts[sliceOf(idOf(i), slices)]! += 1;
      for (const count of counts) expect(Math.abs(count * slices - 16_000)).toBeLessThan(3200);
    }
  });
});
