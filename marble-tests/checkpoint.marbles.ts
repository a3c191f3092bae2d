import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EMPTY, NEVER, defer, firstValueFrom, map, of, throwError } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import {
  Couch,
  TimeoutError,
  fileCheckpoint,
  isInvalidCheckpoint,
  localCheckpoint,
  memoryCheckpoint,
  storageCheckpoint,
} from 'corduroy';
import type { CheckpointStore, Database } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const folder = await mkdtemp(join(tmpdir(), 'corduroy-checkpoint-'));
afterAll(() => rm(folder, { recursive: true }));

/** A database whose local documents have these fields, and whose feeds are silent. */
function database(local: object, requests: string[] = []): Database {
  const transport = marbleTransport(({ url }) => {
    requests.push(new URL(url).pathname + new URL(url).search);
    if (url.includes('_local/')) return of(response(of(bytes(JSON.stringify(local)))));
    return of(response(url.includes('_changes') ? NEVER : of(bytes('{}'))));
  });
  return new Couch(undefined, { transport }).use('orders');
}

async function file(content: string): Promise<CheckpointStore> {
  const path = join(folder, String(Math.random()));
  await writeFile(path, content);
  return fileCheckpoint(path);
}

const stored = (content: unknown): CheckpointStore => ({
  read: () => content as string,
  write: () => {},
});
const inStorage = (item: string): CheckpointStore =>
  storageCheckpoint({ getItem: () => item, setItem: () => {} }, 'key');

describe('a checkpoint that holds no sequence', () => {
  const db = (local: object = {}): Database => database(local);
  const cases: [string, () => CheckpointStore | Promise<CheckpointStore>][] = [
    ['an empty file', () => file('')],
    ['a file of blanks', () => file(' \n\n')],
    ['a garbled file', () => file('\u0000\u0001\u0002 12-abc')],
    ['an empty item of Web Storage', () => inStorage('')],
    ['`now`', () => memoryCheckpoint('now')],
    ['a number', () => stored(12)],
    ['an object', () => stored({})],
    ['a local document without a sequence', () => localCheckpoint(db({ _rev: '0-1' }), 'x')],
    ['a local document with a number', () => localCheckpoint(db({ _rev: '0-1', seq: 7 }), 'x')],
  ];

  it.each(cases)(
    'is an error of the feed and of a consumer, and nothing is read: %s',
    async (_, make) => {
      const checkpoint = await make();
      const requests: string[] = [];
      const orders = database({}, requests);
      const sources: Observable<unknown>[] = [
        orders.changes$({ checkpoint }),
        orders.consume(() => {}, { name: 'x', checkpoint }),
      ];
      const failures = sources.map((source) =>
        firstValueFrom(source).catch((error: unknown) => error),
      );
      const errors = await Promise.all(failures);
      expect(errors.map(isInvalidCheckpoint)).toEqual([true, true]);
      expect(String(errors[0])).toContain('the checkpoint must hold a sequence');
      expect(requests).toEqual([]);
    },
  );
});

describe('a checkpoint that holds nothing', () => {
  it.each<[string, CheckpointStore]>([
    ['null', stored(null)],
    ['undefined', stored(undefined)],
    ['no value', { read: () => EMPTY, write: () => {} }],
    ['a missing file', fileCheckpoint(join(folder, 'missing'))],
  ])('makes the feed start at `since`: %s', async (_, checkpoint) => {
    const requests: string[] = [];
    const subscription = database({}, requests).changes$({ since: '5-x', checkpoint }).subscribe();
    while (requests.length === 0) await new Promise(setImmediate);
    subscription.unsubscribe();
    expect(requests[0]).toContain('since=5-x');
  });
});

describe('the file of a checkpoint', () => {
  it('is replaced as a whole', async () => {
    const path = join(folder, 'deep', 'er', 'place');
    const { read, write } = fileCheckpoint(path);
    await write('1-a');
    await write('2-b');
    expect([await read(), await readFile(path, 'utf8')]).toEqual(['2-b', '2-b\n']);
  });
});

describe('the writes of a checkpoint', () => {
  it(
    'are at most one in `checkpointInterval`, and the last one comes when the subscriber leaves',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const row = (seq: number): Uint8Array =>
        bytes(`{"seq":"${seq}","id":"${seq}","changes":[]}\n`);
      const rows = { a: row(1), b: row(2), c: row(3), d: row(4) };
      const transport = marbleTransport(({ url }) =>
        of(
          response(
            url.includes('_changes') ? cold('a 9ms b 9ms c 999ms d-', rows) : of(bytes('{}')),
          ),
        ),
      );
      const writes: string[] = [];
      const write = (seq: string): number => writes.push(`${seq}@${scheduler.now()}`);
      const db = new Couch(undefined, { transport, scheduler }).use('orders');
      const batches$ = db.changes$({ latency: 0, checkpoint: { read: () => '0', write } });
      expectObservable(batches$.pipe(map(({ seq }) => seq)), '1021ms !').toBe(
        '1 9ms 2 9ms 3 999ms 4',
      );
      flush();
      expect(writes).toEqual(['1@0', '3@1000', '4@1021']);
    }),
  );

  const row = (seq: number): Uint8Array => bytes(`{"seq":"${seq}","id":"${seq}","changes":[]}\n`);
  const lost = new TimeoutError(5, { method: 'PUT', url: 'http://couch.test/store' });
  const full = new Error('the disk is full');
  /** A database with one change, and a store whose first write fails. */
  const failing = (
    feed: Observable<Uint8Array>,
    scheduler: SchedulerLike,
    error: Error,
  ): { readonly db: Database; readonly checkpoint: CheckpointStore; readonly writes: string[] } => {
    const writes: string[] = [];
    const write = (seq: string): Observable<never> => {
      writes.push(`${seq}@${scheduler.now()}`);
      return writes.length === 1 ? throwError(() => error) : EMPTY;
    };
    const transport = marbleTransport(({ url }) =>
      of(response(url.includes('_changes') ? feed : of(bytes('{}')))),
    );
    const db = new Couch(undefined, { transport, scheduler }).use('orders');
    return { db, checkpoint: { read: () => '0', write }, writes };
  };
  const backoff = { initialDelay: 5, random: (): number => 0.8 };

  it(
    'are repeated after a transient error, and the feed goes on',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const feed = cold('a--b--', { a: row(1), b: row(2) });
      const { db, checkpoint, writes } = failing(feed, scheduler, lost);
      const options = { latency: 0, checkpoint, checkpointInterval: 0, backoff };
      const batches$ = db.changes$(options).pipe(map(({ seq }) => seq));
      expectObservable(batches$, '----------!').toBe('1--2');
      flush();
      // With the sequence of the latest batch.
      expect(writes).toEqual(['1@0', '2@5']);
    }),
  );

  it(
    'are repeated after a transient error, and the consumer goes on',
    marbles(({ expectObservable, flush }, scheduler) => {
      const page = '{"results":[{"seq":"1","id":"a","changes":[]}],"last_seq":"1"}';
      let polls = 0;
      const feed = defer(() => ((polls += 1) === 1 ? of(bytes(page)) : NEVER));
      const { db, checkpoint, writes } = failing(feed, scheduler, lost);
      const handled: string[] = [];
      const consumer = db.consume(({ id }) => handled.push(id), {
        name: 'test',
        checkpoint,
        checkpointInterval: 0,
        backoff,
      });
      expectObservable(consumer.pipe(map(({ seq }) => seq)), '----------!').toBe('-----1');
      flush();
      expect([handled, writes]).toEqual([['a'], ['1@0', '1@5']]);
    }),
  );

  it(
    'end the feed with an error that a retry cannot repair',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const feed = cold('a--b--', { a: row(1), b: row(2) });
      const { db, checkpoint, writes } = failing(feed, scheduler, full);
      const options = { latency: 0, checkpoint, checkpointInterval: 0, backoff };
      const batches$ = db.changes$(options).pipe(map(({ seq }) => seq));
      expectObservable(batches$, '----------!').toBe('(1#)', undefined, full);
      flush();
      expect(writes).toEqual(['1@0']);
    }),
  );
});
