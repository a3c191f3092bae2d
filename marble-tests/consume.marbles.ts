import { describe, expect, it } from '@jest/globals';
import { map, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch, memoryCheckpoint } from 'corduroy';
import type { Change, ConsumeProgress, ConsumeOptions, Database } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';

/** A database of so many changes, and the requests for them. */
function database(total: number): { readonly db: Database; readonly asked: string[] } {
  const orders = Array.from({ length: total }, (_, i) => ({ _id: `doc-${i + 1}` }));
  const server = memoryServer({ databases: { orders } });
  const asked: string[] = [];
  server.requests$.subscribe(({ path, query: { feed = 'normal', since = '' } }) => {
    if (path.endsWith('/_changes')) asked.push(`${feed}@${Number.parseInt(since, 10)}`);
  });
  return { db: server.couch().use('orders'), asked };
}

const options: ConsumeOptions = {
  name: 'test',
  since: 0,
  batchSize: 2,
  checkpoint: memoryCheckpoint(),
  backoff: { initialDelay: 4, random: () => 0.999 },
};
const number = ({ id }: Change): string => id.slice(4);
const places = (consumed: Observable<ConsumeProgress>): Observable<string> =>
  consumed.pipe(map(({ seq }) => seq.replace('-memory', '')));

describe('consume', () => {
  it(
    'hands over one change after the other, and reads the next batch when one is done',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, asked } = database(3);
      const begun: string[] = [];
      const handler = (change: Change): unknown => {
        begun.push(`${number(change)}@${scheduler.now()}`);
        return cold('--|');
      };
      const checkpoint = memoryCheckpoint();
      expectObservable(db.consume(handler, { ...options, checkpoint }).pipe(places), '9ms !').toBe(
        '----2-3',
      );
      flush();
      expect(begun).toEqual(['1@0', '2@2', '3@4']);
      expect(asked).toEqual(['normal@0', 'normal@2', 'longpoll@3']);
      expect(checkpoint.read()).toBe('3-memory');
    }),
  );

  it(
    'handles so many at the same time, and notes only what is done',
    marbles(({ cold, expectObservable, flush }) => {
      const { db } = database(2);
      const checkpoint = memoryCheckpoint();
      // The second change is done first; nothing is noted before the first is.
      const handler = (change: Change): unknown => cold(number(change) === '1' ? '-----|' : '-|');
      const all = { ...options, concurrency: 2, checkpoint };
      expectObservable(db.consume(handler, all).pipe(places), '----!').toBe('----');
      const other = { ...all, checkpoint: memoryCheckpoint() };
      expectObservable(db.consume(handler, other).pipe(places), '------!').toBe('-----2');
      flush();
      expect(checkpoint.read()).toBeNull();
      expect(other.checkpoint.read()).toBe('2-memory');
    }),
  );

  it(
    'tries a handler that fails again, with backoff, and then errors with what it threw',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db } = database(1);
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
    marbles(({ cold, expectObservable, flush }) => {
      const { db } = database(2);
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
      expectObservable(consumed.pipe(places), '-----!').toBe('---2');
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
