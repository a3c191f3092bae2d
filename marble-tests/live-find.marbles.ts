import { describe, expect, it } from '@jest/globals';
import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { memoryServer } from 'corduroy/testing';
import type { Database, Document, LiveFindQuery } from 'corduroy';
import { marbles } from './helpers/run.ts';

interface Order {
  open: boolean;
  total?: number;
  name?: string;
}

/** A database with four orders, whose server answers after 2 frames and tells of changes at once. */
function orders(scheduler: TestScheduler): {
  readonly db: Database<Order>;
  readonly asked: string[];
  readonly write: (frame: number, doc: Order & { readonly _id: string }) => void;
  readonly remove: (frame: number, id: string) => void;
} {
  const server = memoryServer({
    latency: 2,
    databases: {
      db: [
        { _id: 'a', open: true, total: 10 },
        { _id: 'b', open: false, total: 20 },
        { _id: 'c', open: true, total: 30 },
        { _id: 'd', open: true, total: 40 },
      ],
    },
  });
  const asked: string[] = [];
  server.requestLines$.subscribe((line) => {
    if (line.includes('_find')) asked.push(`${line}@${scheduler.now()}`);
  });
  const db = server.couch().use<Order>('db');
  db.indexes.create({ fields: ['total'] }).subscribe();
  const other = server.couch().use<Order>('db');
  const at = (frame: number, what: Observable<unknown>): void => {
    // The write takes 2 frames.
    scheduler.schedule(() => what.subscribe(), frame - 2);
  };
  return {
    db,
    asked,
    write: (frame, doc) => at(frame, other.save(doc, { force: true })),
    remove: (frame, id) =>
      at(
        frame,
        other.upsert(id, (doc) => doc && { ...doc, _deleted: true }),
      ),
  };
}
const ids = (docs: readonly Document<Order>[]): string =>
  docs.map(({ _id }) => _id).join('') || '-';

describe('find$', () => {
  const run = (
    name: string,
    query: LiveFindQuery<Order>,
    writes: Record<number, Order & { readonly _id: string }>,
    expected: [marbles: string, lists: Record<string, string>, asked: number],
  ): void => {
    it(
      name,
      marbles(({ expectObservable, flush }, scheduler) => {
        const { db, asked, write } = orders(scheduler);
        for (const [frame, doc] of Object.entries(writes)) write(Number(frame), doc);
        const [diagram, lists, times] = expected;
        // By then there is an index on the totals.
        expectObservable(db.find$(query).pipe(map(ids)), '5ms ^ 120ms !').toBe(diagram, lists);
        flush();
        expect(asked).toHaveLength(times);
      }),
    );
  };

  // A forced write of what is there takes three requests: it is seen 4 frames later than said.
  run(
    'has documents enter and leave by what is in them, and asks once',
    { selector: { open: true } },
    { 20: { _id: 'b', open: true }, 40: { _id: 'a', open: false }, 60: { _id: 'x', open: false } },
    ['9ms 1 14ms 2 19ms 3', { 1: 'acd', 2: 'abcd', 3: 'bcd' }, 1],
  );

  run(
    'puts them where they belong, in both directions',
    { selector: { total: { $gt: 0 } }, sort: [{ total: 'desc' }] },
    { 20: { _id: 'a', open: true, total: 35 }, 40: { _id: 'e', open: true, total: 25 } },
    ['9ms 1 14ms 2 15ms 3', { 1: 'dcba', 2: 'dacb', 3: 'daceb' }, 1],
  );

  run(
    'leaves out what lacks a field that it sorts by',
    { selector: { open: true }, sort: ['total'] },
    { 20: { _id: 'e', open: true }, 40: { _id: 'f', open: true, total: 1 } },
    ['9ms 1 30ms 2', { 1: 'acd', 2: 'facd' }, 1],
  );

  run(
    'asks again where a limit has others move up',
    { selector: { open: true }, limit: 2, latency: 5 },
    { 20: { _id: 'a', open: false }, 40: { _id: 'd', open: true, total: 7 } },
    ['9ms 1 16ms 2 17ms 3', { 1: 'ac', 2: 'cd', 3: 'cd' }, 2],
  );

  run(
    'asks again where only the server can tell',
    { selector: { name: { $gt: 'm' } }, latency: 5 },
    { 20: { _id: 'e', open: true, name: 'z' }, 40: { _id: 'f', open: true, name: 'a' } },
    ['9ms 1 10ms 2', { 1: '-', 2: 'e' }, 1],
  );

  it(
    'follows changes and deletions, and keeps what did not change',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, asked, write, remove } = orders(scheduler);
      write(20, { _id: 'c', open: true, total: 31 });
      remove(40, 'a');
      const seen: (readonly Document<Order>[])[] = [];
      const totals$ = db.find$({ selector: { open: true } }).pipe(
        map((docs) => {
          seen.push(docs);
          return docs.map(({ total }) => total).join();
        }),
      );
      expectObservable(totals$, '80ms !').toBe('----1 19ms 2 17ms 3', {
        1: '10,30,40',
        2: '10,31,40',
        3: '31,40',
      });
      flush();
      expect(asked).toHaveLength(1);
      expect(seen[1]?.[0]).toBe(seen[0]?.[0]);
      expect(seen[2]?.[0]).toBe(seen[1]?.[1]);
    }),
  );

  it(
    'misses no change between the place, the answer and the news',
    marbles(({ flush }, scheduler) => {
      const last = new Map<number, string>();
      for (let frame = 2; frame < 12; frame += 1) {
        const { db, write } = orders(scheduler);
        write(frame, { _id: 'e', open: true });
        const subscription = db
          .find$({ selector: { open: true }, latency: 5 })
          .subscribe((docs) => last.set(frame, ids(docs)));
        scheduler.schedule(() => subscription.unsubscribe(), 60);
      }
      flush();
      expect([...new Set(last.values())]).toEqual(['acde']);
    }),
  );

  it(
    'is shared by equal queries, whatever the order of their names',
    marbles(({ flush }, scheduler) => {
      const { db, asked } = orders(scheduler);
      const subscriptions = [
        db.find$({ selector: { open: true, total: 10 } }).subscribe(),
        db.find$({ selector: { total: 10, open: true } }).subscribe(),
      ];
      scheduler.schedule(() => {
        for (const one of subscriptions) one.unsubscribe();
      }, 30);
      flush();
      expect(asked).toHaveLength(1);
    }),
  );
});
