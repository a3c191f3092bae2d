import { describe, expect, it } from '@jest/globals';
import { catchError, map, of } from 'rxjs';
import type { Row } from 'corduroy';
import { liveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

type Rows = readonly Row<unknown, unknown, unknown>[];

describe('allDocs$', () => {
  const ids = (rows: Rows): string => rows.map(({ id }) => id).join('') || '-';

  it(
    'lists rows by id, and adds, updates and removes them from the changes alone',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      for (const id of ['a', 'c', 'e']) server.put(id, { n: 1 });
      server.at(10, () => server.put('b', { n: 1 }));
      server.at(15, () => server.remove('c'));
      server.at(20, () => server.put('a', { n: 2 }));
      const lists: Rows[] = [];
      const list$ = server.db.allDocs$({ includeDocs: true }).pipe(
        map((rows) => {
          lists.push(rows);
          return ids(rows);
        }),
      );
      expectObservable(list$, '40ms !').toBe('---1-------2----3----4', {
        1: 'ace',
        2: 'abce',
        3: 'abe',
        4: 'abe',
      });
      flush();
      expect(server.requests.filter((request) => request.startsWith('read'))).toEqual(['read *@1']);
      expect(lists[2]?.[1]).toBe(lists[1]?.[1]);
      expect(lists[3]?.[0]?.doc).toMatchObject({ _rev: '2-x', n: 2 });
    }),
  );

  it(
    'ignores documents outside its range',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('b', {});
      server.put('cc', {});
      // The server of this test ignores ranges, so that its first answer must lie within.
      for (const [frame, id] of Object.entries({ 10: 'a', 15: 'c', 20: 'e', 25: 'd' })) {
        server.at(Number(frame), () => server.put(id, { n: 1 }));
      }
      const range = { startKey: 'b', endKey: 'd', inclusiveEnd: false } as const;
      expectObservable(server.db.allDocs$(range).pipe(map(ids)), '40ms !').toBe(
        '---1------------2',
        { 1: 'bcc', 2: 'bccc' },
      );
    }),
  );

  it(
    'emits a row for each key, also for missing and deleted documents',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', {});
      server.at(10, () => server.put('b', {}));
      server.at(20, () => server.remove('a'));
      const describeRows = (rows: Rows): string =>
        rows.map((row) => row.error ?? JSON.stringify(row.value)).join(' ');
      expectObservable(
        server.db.allDocs$({ keys: ['b', 'a'] }).pipe(map(describeRows)),
        '40ms !',
      ).toBe('---1-------2---------3', {
        1: 'not_found {"rev":"1-x"}',
        2: '{"rev":"1-x"} {"rev":"1-x"}',
        3: '{"rev":"1-x"} {"rev":"2-gone","deleted":true}',
      });
    }),
  );

  it(
    'adds rows up to its limit from the changes alone, and cuts those behind it',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      for (const id of ['b', 'd']) server.put(id, {});
      for (const [frame, id] of Object.entries({ 10: 'c', 20: 'a', 30: 'z' })) {
        server.at(Number(frame), () => server.put(id, {}));
      }
      const list$ = server.db.allDocs$({ limit: 3 }).pipe(map(ids));
      expectObservable(list$, '60ms !').toBe('---1 7ms 2 9ms 3', { 1: 'bd', 2: 'bcd', 3: 'abc' });
      flush();
      expect(server.requests.filter((request) => request.startsWith('read'))).toHaveLength(1);
    }),
  );

  it(
    'reads again if a row moves up below a limit, at most once every latency, and shows no gap',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      for (const id of 'abcdefgh') server.put(id, {});
      server.limit = 3;
      for (const [frame, id] of Object.entries({ 30: 'a', 32: 'b', 34: 'c' })) {
        server.at(Number(frame), () => server.remove(id));
      }
      const list$ = server.db.allDocs$({ limit: 3, latency: 20 }).pipe(map(ids));
      expectObservable(list$, '80ms !').toBe('---1 29ms 2 21ms 3', {
        1: 'abc',
        2: 'bcd',
        3: 'def',
      });
      flush();
      expect(server.requests.filter((request) => request.startsWith('read'))).toEqual([
        'read *@1',
        'read *@31',
        'read *@53',
      ]);
    }),
  );
});

describe('view$', () => {
  const byN = (documents: readonly Record<string, unknown>[]): unknown => ({
    total_rows: documents.length,
    offset: 0,
    rows: documents
      .map((doc) => ({ id: doc['_id'], key: doc['n'], value: doc['v'] ?? null }))
      .sort((a, b) => Number(a.key) - Number(b.key)),
  });
  const keys = (rows: Rows): string => rows.map(({ key }) => key).join() || '-';

  it(
    'reads again after a change, at once and then once every latency, and keeps equal rows',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      server.answerOther = (_path, _body, documents) => byN(documents);
      server.put('a', { n: 1 });
      for (const [frame, n] of [
        [30, 2],
        [32, 3],
        [34, 4],
      ] as const) {
        server.at(frame, () => server.put(`d${n}`, { n }));
      }
      const lists: Rows[] = [];
      const rows$ = server.db.view$('d/byN', { latency: 20 }).pipe(
        map((rows) => {
          lists.push(rows);
          return keys(rows);
        }),
      );
      expectObservable(rows$, '80ms !').toBe('---1 29ms 2 21ms 3', {
        1: '1',
        2: '1,2',
        3: '1,2,3,4',
      });
      flush();
      expect(server.requests.filter((request) => request.includes('_view'))).toEqual([
        '_design/d/_view/byN@1',
        '_design/d/_view/byN@31',
        '_design/d/_view/byN@53',
      ]);
      expect(lists[2]?.[0]).toBe(lists[0]?.[0]);
    }),
  );

  it(
    'emits nothing if no row changed',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.answerOther = () => byN([{ _id: 'a', n: 1 }]);
      server.at(10, () => server.put('b', {}));
      server.at(40, () => server.remove('b'));
      expectObservable(server.db.view$('d/byN', { latency: 5 }).pipe(map(keys)), '80ms !').toBe(
        '---1',
        { 1: '1' },
      );
    }),
  );

  it(
    'reads again after a change during a read',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler, { read: 8, feedDelay: 1 });
      server.answerOther = (_path, _body, documents) => byN(documents);
      server.at(3, () => server.put('a', { n: 1 }));
      expectObservable(server.db.view$('d/byN', { latency: 5 }).pipe(map(keys)), '80ms !').toBe(
        '---------0------------1',
        { 0: '-', 1: '1' },
      );
    }),
  );

  it(
    'misses no change while the feed is down',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.at(2, () => server.cut());
      server.at(30, () => server.restore());
      server.answerOther = (_path, _body, documents) => byN(documents);
      server.put('a', { n: 1 });
      server.at(40, () => server.put('b', { n: 2 }));
      const rows$ = server.db.view$('d/byN', { latency: 5 }).pipe(map(keys));
      expectObservable(rows$, '100ms !').toBe('---1 39ms 2', {
        1: '1',
        2: '1,2',
      });
    }),
  );

  it(
    'errors with an error that is not transient, and reads again at the next subscription',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      let missing = true;
      server.answerOther = (_path, _body, documents) => {
        if (missing) throw new Error('404');
        return byN(documents);
      };
      const rows$ = server.db.view$('d/byN').pipe(map(keys));
      const failure = { name: 'NotFound', status: 404 };
      expectObservable(rows$.pipe(catchError((error: unknown) => of(error)))).toBe('---(e|)', {
        e: expect.objectContaining(failure),
      });
      server.at(10, () => {
        missing = false;
      });
      expectObservable(rows$, '----------^--------!').toBe('-------------0', { 0: '-' });
      flush();
      expect(server.openFeeds()).toBe(0);
    }),
  );

  it(
    'keeps the identity of all rows of a document that has several, also under one key',
    marbles(({ flush }, scheduler) => {
      const server = liveServer(scheduler);
      server.answerOther = (_path, _body, documents) => ({
        total_rows: 3 * documents.length,
        offset: 0,
        rows: documents.flatMap(({ _id: id, n }) => [
          { id, key: 'x', value: n },
          { id, key: 'x', value: Number(n) + 1 },
          { id, key: 'y', value: n },
        ]),
      });
      server.put('b', { n: 1 });
      server.at(20, () => server.put('a', { n: 5 }));
      server.at(40, () => server.put('a', { n: 6 }));
      const lists: Rows[] = [];
      const subscription = server.db
        .view$('d/v', { latency: 0 })
        .subscribe((rows) => lists.push(rows));
      server.at(60, () => subscription.unsubscribe());
      flush();
      expect(lists.map((rows) => rows.map(({ id, value }) => `${id}${String(value)}`))).toEqual([
        ['b1', 'b2', 'b1'],
        ['b1', 'b2', 'b1', 'a5', 'a6', 'a5'],
        ['b1', 'b2', 'b1', 'a6', 'a7', 'a6'],
      ]);
      for (const rows of lists.slice(1))
        for (const i of [0, 1, 2]) expect(rows[i]).toBe(lists[0]?.[i]);
      // The second value of the first version is the first value of the next one, under the same key.
      expect(lists[2]?.[3]).toBe(lists[1]?.[4]);
    }),
  );

  it(
    'closes the feed when the last subscriber leaves',
    marbles(({ flush }, scheduler) => {
      const server = liveServer(scheduler);
      server.answerOther = (_path, _body, documents) => byN(documents);
      const one = server.db.view$('d/v').subscribe();
      const two = server.db.view$('d/v').subscribe();
      server.at(10, () => one.unsubscribe());
      server.at(12, () => expect(server.openFeeds()).toBe(1));
      server.at(14, () => two.unsubscribe());
      flush();
      expect(server.openFeeds()).toBe(0);
      expect(server.requests.filter((request) => request.includes('_view'))).toHaveLength(1);
    }),
  );
});
