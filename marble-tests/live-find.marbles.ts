import { describe, expect, it } from '@jest/globals';
import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { memoryServer } from 'corduroy/testing';
import type { Database, Document, LiveFindQuery } from 'corduroy';
import { liveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

interface Order {
  open: boolean;
  total?: number;
  name?: string;
}

/** A database with four orders. Its server answers after 2 frames and sends changes at once. */
function orders(scheduler: TestScheduler): {
  readonly db: Database<Order>;
  readonly finds: string[];
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
  const finds: string[] = [];
  server.requestLines$.subscribe((line) => {
    if (line.includes('_find')) finds.push(`${line}@${scheduler.now()}`);
  });
  const db = server.couch().use<Order>('db');
  db.indexes.create({ fields: ['total'] }).subscribe();
  const other = server.couch().use<Order>('db');
  const at = (frame: number, write$: Observable<unknown>): void => {
    // The write takes 2 frames.
    scheduler.schedule(() => write$.subscribe(), frame - 2);
  };
  return {
    db,
    finds,
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
    expected: [marbles: string, lists: Record<string, string>, finds: number],
  ): void => {
    it(
      name,
      marbles(({ expectObservable, flush }, scheduler) => {
        const { db, finds, write } = orders(scheduler);
        for (const [frame, doc] of Object.entries(writes)) write(Number(frame), { ...doc });
        const [diagram, lists, times] = expected;
        // The index on `total` exists at that time.
        expectObservable(db.find$(query).pipe(map(ids)), '5ms ^ 120ms !').toBe(diagram, lists);
        flush();
        expect(finds).toHaveLength(times);
      }),
    );
  };

  // A forced write of an existing document takes three requests: it arrives 4 frames later.
  run(
    'adds and removes documents as their content changes, with one request',
    { selector: { open: true } },
    { 20: { _id: 'b', open: true }, 40: { _id: 'a', open: false }, 60: { _id: 'x', open: false } },
    ['9ms 1 16ms 2 19ms 3', { 1: 'acd', 2: 'abcd', 3: 'bcd' }, 1],
  );

  run(
    'inserts documents in the order of the sort',
    { selector: { total: { $gt: 0 } }, sort: [{ total: 'desc' }] },
    { 20: { _id: 'a', open: true, total: 35 }, 40: { _id: 'e', open: true, total: 25 } },
    ['9ms 1 16ms 2 15ms 3', { 1: 'dcba', 2: 'dacb', 3: 'daceb' }, 1],
  );

  run(
    'leaves out documents without the field of the sort',
    { selector: { open: true }, sort: ['total'] },
    { 20: { _id: 'e', open: true }, 40: { _id: 'f', open: true, total: 1 } },
    ['9ms 1 32ms 2', { 1: 'acd', 2: 'facd' }, 1],
  );

  run(
    'reads again if another document moves up below a limit',
    { selector: { open: true }, limit: 2, latency: 5 },
    { 20: { _id: 'a', open: false }, 40: { _id: 'd', open: true, total: 7 } },
    ['9ms 1 18ms 2 17ms 3', { 1: 'ac', 2: 'cd', 3: 'cd' }, 2],
  );

  run(
    'matches strings against a range locally',
    { selector: { name: { $gt: 'm' } }, latency: 5 },
    { 20: { _id: 'e', open: true, name: 'z' }, 40: { _id: 'f', open: true, name: 'a' } },
    ['9ms 1 12ms 2', { 1: '-', 2: 'e' }, 1],
  );

  run(
    'matches strings with umlauts locally',
    { selector: { name: { $gt: 'm' } }, latency: 5 },
    { 20: { _id: 'e', open: true, name: 'ö' }, 40: { _id: 'f', open: true, name: 'ä' } },
    ['9ms 1 12ms 2', { 1: '-', 2: 'e' }, 1],
  );

  it.each<[name: string, selector: LiveFindQuery['selector'], found: RegExp, other: string]>([
    ['a condition', { name: { $regex: 'z+' } }, /z/, 'z'],
    ['a comparison of ideographs', { name: { $gt: 'm' } }, /[n-z漢]/, '漢'],
  ])(
    'without a limit, reads again for %s that only the server can evaluate',
    (_, selector, found, name) => {
      marbles((_context, scheduler) => {
        const server = liveServer(scheduler);
        const limits: unknown[] = [];
        server.answerOther = (_path, { limit }, documents) => {
          limits.push(limit);
          return { docs: documents.filter((doc) => found.test(doc['name'] as string)) };
        };
        server.put('a', { name: 'a' });
        const shown: string[] = [];
        const subscription = server.db
          .find$({ selector, latency: 5 })
          .subscribe((docs) =>
            shown.push(`${docs.map(({ _id }) => _id).join('')}@${scheduler.now()}`),
          );
        server.at(20, () => server.put('e', { name }));
        server.at(40, () => server.put('e', { name: `a${name}` }));
        server.at(80, () => subscription.unsubscribe());
        scheduler.flush();
        const reads = server.requests.filter((request) => request.startsWith('_find'));
        expect(reads).toEqual(['_find@1', '_find@21', '_find@41']);
        expect(new Set(limits)).toEqual(new Set([268_435_456]));
        expect(shown).toEqual(['@3', 'e@23', 'e@43']);
      })();
    },
  );

  it(
    'applies changes and deletions, and keeps the identity of unchanged documents',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, finds, write, remove } = orders(scheduler);
      write(20, { _id: 'c', open: true, total: 31 });
      remove(40, 'a');
      const seen: (readonly Document<Order>[])[] = [];
      const totals$ = db.find$({ selector: { open: true } }).pipe(
        map((docs) => {
          seen.push(docs);
          return docs.map(({ total }) => total).join();
        }),
      );
      expectObservable(totals$, '80ms !').toBe('----1 21ms 2 17ms 3', {
        1: '10,30,40',
        2: '10,31,40',
        3: '31,40',
      });
      flush();
      expect(finds).toHaveLength(1);
      expect(seen[1]?.[0]).toBe(seen[0]?.[0]);
      expect(seen[2]?.[0]).toBe(seen[1]?.[1]);
    }),
  );

  it(
    'removes a document at once if the list is shorter than its limit',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, finds, remove } = orders(scheduler);
      remove(20, 'a');
      const query = { selector: { open: true }, limit: 5, latency: 50 };
      expectObservable(db.find$(query).pipe(map(ids)), '5ms ^ 120ms !').toBe('9ms 1 14ms 2', {
        1: 'acd',
        2: 'cd',
      });
      flush();
      expect(finds).toHaveLength(1);
    }),
  );

  it(
    'follows documents that leave and enter the skipped part',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { db, finds, remove, write } = orders(scheduler);
      remove(20, 'a');
      write(40, { _id: '0', open: true });
      const query = { selector: { open: true }, skip: 1, latency: 5 };
      expectObservable(db.find$(query).pipe(map(ids)), '5ms ^ 120ms !').toBe(
        '9ms 1 16ms 2 17ms 3',
        { 1: 'cd', 2: 'd', 3: 'cd' },
      );
      flush();
      expect(finds).toHaveLength(3);
    }),
  );

  it(
    'leaves out a document whose deletion arrives during the read',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler, { read: 8 });
      server.answerOther = (_path, _body, documents) => ({ docs: documents });
      for (const id of 'abc') server.put(id, { n: 1 });
      server.at(4, () => server.remove('b'));
      const found$ = server.db
        .find$({ selector: { n: 1 } })
        .pipe(map((docs) => docs.map(({ _id }) => _id).join('')));
      expectObservable(found$, '40ms !').toBe('9ms 1', { 1: 'ac' });
    }),
  );

  it(
    'misses no change between the start sequence, the answer and the first change',
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

  it.each<[name: string, index: readonly string[], sort: 'asc' | 'desc', found: string]>([
    ['by descending ids under `desc`', ['n'], 'desc', 'cba'],
    ['by ascending ids under `asc`', ['n'], 'asc', 'abc'],
    ['by the further fields of the index, descending under `desc`', ['n', 'm'], 'desc', 'abc'],
    ['by the further fields of the index, ascending under `asc`', ['n', 'm'], 'asc', 'cba'],
  ])('inserts a document among ties as CouchDB sorts them: %s', (_, names, sort, found) =>
    marbles((_context, scheduler) => {
      const server = liveServer(scheduler);
      const columns = names.map((name) => ({ [name]: 'asc' }));
      server.answerOther = (path, _body, documents) => {
        if (!path.endsWith('/_explain'))
          return {
            docs: Array.from(found, (id) => documents.find((doc) => doc._id === id)).filter(
              Boolean,
            ),
          };
        const index = { ddoc: '_design/i', name: 'i', type: 'json', def: { fields: columns } };
        return { index, selector: {}, fields: [], opts: {} };
      };
      server.put('a', { n: 1, m: 3 });
      server.put('c', { n: 1, m: 1 });
      const shown: string[] = [];
      const subscription = server.db
        .find$({ selector: { n: 1 }, sort: [{ n: sort }] })
        .subscribe((docs) => shown.push(docs.map(({ _id }) => _id).join('')));
      server.at(20, () => server.put('b', { n: 1, m: 2 }));
      server.at(40, () => subscription.unsubscribe());
      scheduler.flush();
      expect(shown).toEqual([found.replace('b', ''), found]);
      expect(server.requests.filter((request) => request.startsWith('_find'))).toHaveLength(1);
    })(),
  );

  it(
    'is shared by equal queries, in whatever order their fields are',
    marbles(({ flush }, scheduler) => {
      const { db, finds } = orders(scheduler);
      const subscriptions = [
        db.find$({ selector: { open: true, total: 10 } }).subscribe(),
        db.find$({ selector: { total: 10, open: true } }).subscribe(),
      ];
      scheduler.schedule(() => {
        for (const subscription of subscriptions) subscription.unsubscribe();
      }, 30);
      flush();
      expect(finds).toHaveLength(1);
    }),
  );
});
