import { describe, expect, it } from '@jest/globals';
import { map, of, throwError } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch, memoryCheckpoint } from 'corduroy';
import type { Change, ConsumeOptions, Database } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

/** A database of so many changes; polls for more are never answered. */
function database(
  scheduler: TestScheduler,
  total: number,
): { readonly db: Database; readonly asked: string[] } {
  const asked: string[] = [];
  const transport = marbleTransport((request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (!pathname.endsWith('/_changes')) return of(response(of(bytes('{}'))));
    const since = Number(searchParams.get('since'));
    const end = Math.min(total, since + Number(searchParams.get('limit')));
    asked.push(`${searchParams.get('feed') ?? 'normal'}@${since}`);
    const results = Array.from({ length: end - since }, (_, i) => ({
      seq: String(since + i + 1),
      id: `doc-${since + i + 1}`,
      changes: [{ rev: '1-a' }],
    }));
    const body = JSON.stringify({ results, last_seq: String(end), pending: total - end });
    return of(
      response(searchParams.has('feed') ? scheduler.createColdObservable('-') : of(bytes(body))),
    );
  });
  return { db: new Couch(undefined, { transport, scheduler }).use('orders'), asked };
}

const options: ConsumeOptions = {
  name: 'test',
  since: 0,
  batchSize: 2,
  checkpoint: memoryCheckpoint(),
  backoff: { initialDelay: 4, random: () => 0.999 },
};
const number = ({ id }: Change): string => id.slice(4);
const seqs = map(({ seq }: { readonly seq: string }) => seq);

describe('consume', () => {
  it(
    'hands over one change after the other, and reads the next batch when one is done',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, asked } = database(scheduler, 3);
      const begun: string[] = [];
      const handler = (change: Change): unknown => {
        begun.push(`${number(change)}@${scheduler.now()}`);
        return cold('--|');
      };
      const checkpoint = memoryCheckpoint();
      expectObservable(db.consume(handler, { ...options, checkpoint }).pipe(seqs), '9ms !').toBe(
        '----2-3',
      );
      flush();
      expect(begun).toEqual(['1@0', '2@2', '3@4']);
      expect(asked).toEqual(['normal@0', 'normal@2', 'longpoll@3']);
      expect(checkpoint.read()).toBe('3');
    }),
  );

  it(
    'handles so many at the same time, and notes only what is done',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db } = database(scheduler, 2);
      const checkpoint = memoryCheckpoint();
      // The second change is done first; nothing is noted before the first is.
      const handler = (change: Change): unknown => cold(number(change) === '1' ? '-----|' : '-|');
      const all = { ...options, concurrency: 2, checkpoint };
      expectObservable(db.consume(handler, all).pipe(seqs), '----!').toBe('----');
      const other = { ...all, checkpoint: memoryCheckpoint() };
      expectObservable(db.consume(handler, other).pipe(seqs), '------!').toBe('-----2');
      flush();
      expect(checkpoint.read()).toBeNull();
      expect(other.checkpoint.read()).toBe('2');
    }),
  );

  it(
    'tries a handler that fails again, with backoff, and then errors with what it threw',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db } = database(scheduler, 1);
      const tries: number[] = [];
      const handler = (): never => {
        tries.push(scheduler.now());
        throw new Error('poison');
      };
      const checkpoint = memoryCheckpoint();
      const consumed = db.consume(handler, { ...options, attempts: 3, checkpoint });
      expectObservable(consumed).toBe('12ms #', undefined, new Error('poison'));
      flush();
      expect(tries).toEqual([0, 4, 12]);
      expect(checkpoint.read()).toBeNull();
    }),
  );

  it(
    'gives a change that is poison to onPoison, and goes on',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db } = database(scheduler, 2);
      const poisoned: string[] = [];
      const consumed = db.consume(
        (change) => (number(change) === '1' ? throwError(() => new Error('poison')) : undefined),
        {
          ...options,
          attempts: 1,
          checkpoint: memoryCheckpoint(),
          onPoison: (change, error) => {
            poisoned.push(`${number(change)} ${(error as Error).message}`);
            return cold('---|');
          },
        },
      );
      expectObservable(consumed.pipe(seqs), '-----!').toBe('---2');
      flush();
      expect(poisoned).toEqual(['1 poison']);
    }),
  );

  it('refuses what makes no sense when it is called', () => {
    const db = new Couch().use('orders');
    expect(() => db.consume(undefined as never, options)).toThrow(/handler must be a function/);
    expect(() => db.consume(() => {}, { ...options, batchSize: 0 })).toThrow(RangeError);
    expect(() => db.consume(() => {}, { ...options, concurrency: 1.5 })).toThrow(RangeError);
    expect(() => db.consume(() => {}, { name: '' })).toThrow(/name must be/);
  });
});
