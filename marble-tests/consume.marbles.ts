import { describe, expect, it } from '@jest/globals';
import { map, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch, memoryCheckpoint } from 'corduroy';
import type { Change, ConsumeProgress, ConsumeOptions, Database } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';

/** A database with `total` changes, and the requests for them as `feed@since`. */
function database(total: number): { readonly db: Database; readonly requests: string[] } {
  const orders = Array.from({ length: total }, (_, i) => ({ _id: `doc-${i + 1}` }));
  const server = memoryServer({ databases: { orders } });
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

  it('throws at the call for invalid arguments', () => {
    const db = new Couch().use('orders');
    expect(() => db.consume(undefined as never, options)).toThrow(/handler must be a function/);
    expect(() => db.consume(() => {}, { ...options, batchSize: 0 })).toThrow(RangeError);
    expect(() => db.consume(() => {}, { ...options, concurrency: 1.5 })).toThrow(RangeError);
    expect(() => db.consume(() => {}, { name: '' })).toThrow(/name must be/);
  });
});
