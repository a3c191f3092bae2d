import { describe, expect, it } from '@jest/globals';
import { map } from 'rxjs';
import type { AnyFields } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { liveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

const n = (doc: AnyFields | null): unknown => doc?.['n'] ?? null;

describe('a live query without subscribers', () => {
  it(
    'stays up to date for the linger time, and answers a late subscriber without a request',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler, {}, { live: { linger: 50 } });
      server.put('a', { n: 1 });
      server.at(20, () => server.put('a', { n: 2 }));
      const doc$ = server.db.doc$('a').pipe(map(n));
      expectObservable(doc$, '10ms !').toBe('---1', { 1: 1 });
      expectObservable(doc$, '30ms ^ 10ms !').toBe('30ms 2', { 2: 2 });
      // Another subscriber extends the time.
      expectObservable(doc$, '80ms ^ 5ms !').toBe('80ms 2', { 2: 2 });
      server.at(130, () => expect(server.openFeeds()).toBe(1));
      server.at(140, () => expect(server.openFeeds()).toBe(0));
      flush();
      expect(server.requests).toEqual(['feed 1-s@1', 'read a@1']);
    }),
  );

  it(
    'reads again after the linger time',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler, {}, { live: { linger: 50 } });
      server.put('a', { n: 1 });
      const doc$ = server.db.doc$('a').pipe(map(n));
      expectObservable(doc$, '10ms !').toBe('---1', { 1: 1 });
      server.at(70, () => server.put('a', { n: 2 }));
      expectObservable(doc$, '90ms ^ 9ms !').toBe('93ms 2', { 2: 2 });
      flush();
      expect(server.openFeeds()).toBe(0);
    }),
  );

  it(
    'lingers for a second by default, so that a change of routes costs no request',
    marbles((_, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      for (let route = 0; route < 10; route++) {
        server.at(route * 500, () => {
          const subscription = server.db.doc$('a').subscribe();
          server.at(scheduler.now() + 20, () => subscription.unsubscribe());
        });
      }
      scheduler.flush();
      expect(server.requests).toEqual(['feed 1-s@1', 'read a@1']);
      expect(server.openFeeds()).toBe(0);
    }),
  );
});

describe('the documents of live queries', () => {
  it(
    'are shared: a document of a list needs no request, and is the same object',
    marbles(({ flush }, scheduler) => {
      const server = memoryServer({
        latency: 2,
        databases: {
          db: [
            { _id: 'a', n: 1 },
            { _id: 'b', n: 2 },
          ],
        },
      });
      const lines: string[] = [];
      server.requestLines$.subscribe((line) => lines.push(line));
      const db = server.couch().use<{ n: number }>('db');
      const writer = server.couch().use<{ n: number }>('db');
      let list: readonly unknown[] = [];
      let one: unknown;
      let several: readonly unknown[] = [];
      const subscriptions = [db.find$({ selector: {} }).subscribe((docs) => (list = docs))];
      scheduler.schedule(() => {
        const before = lines.length;
        subscriptions.push(
          db.doc$('a').subscribe((doc) => (one = doc)),
          db.docs$(['b', 'a']).subscribe((docs) => (several = docs)),
        );
        expect(one).toBe(list[0]);
        expect(several).toEqual([list[1], list[0]]);
        expect(several[0]).toBe(list[1]);
        expect(lines).toHaveLength(before);
        writer.save({ _id: 'a', n: 3 }, { force: true }).subscribe();
      }, 20);
      scheduler.schedule(() => {
        expect(one).toMatchObject({ n: 3 });
        expect(one).toBe(list[0]);
        expect(one).toBe(several[1]);
        // The document leaves with its last query.
        for (const subscription of subscriptions) subscription.unsubscribe();
      }, 60);
      flush();
      expect.assertions(7);
    }),
  );

  it(
    'are read in one request by the queries of one turn, and retried in one',
    marbles((_, scheduler) => {
      const server = liveServer(scheduler);
      for (let i = 0; i < 300; i++) server.put(`d${i}`, { n: i });
      const values = new Map<number, unknown>();
      const subscriptions = Array.from({ length: 300 }, (_unused, i) =>
        server.db.doc$(`d${i}`).subscribe((doc) => values.set(i, n(doc))),
      );
      server.failReads = 503;
      server.at(60, () => {
        server.failReads = null;
      });
      server.at(300, () => {
        for (const subscription of subscriptions) subscription.unsubscribe();
      });
      scheduler.flush();
      expect(values.size).toBe(300);
      const failed = server.requests.filter((request) => request.startsWith('failed'));
      expect(failed.length).toBeGreaterThan(1);
      expect(failed.length).toBeLessThan(10);
      expect(server.requests.filter((request) => request.startsWith('read'))).toHaveLength(1);
    }),
  );
});

describe('the options of a live query', () => {
  it(
    'are copied at the call',
    marbles(({ flush }, scheduler) => {
      const server = memoryServer({
        latency: 0,
        databases: {
          db: [
            { _id: 'a', type: 'd' },
            { _id: 'b', type: 'c' },
          ],
        },
      });
      const db = server.couch().use('db');
      const selector: { type: string } = { type: 'd' };
      const ids = ['a'];
      const keys = ['a'];
      const seen: unknown[] = [];
      const found$ = db.find$({ selector });
      const docs$ = db.docs$(ids);
      const rows$ = db.allDocs$({ keys });
      selector.type = 'c';
      ids[0] = 'b';
      keys[0] = 'b';
      const subscriptions = [
        found$.subscribe((docs) => seen.push(docs.map(({ _id }) => _id))),
        docs$.subscribe((docs) => seen.push(docs.map((doc) => doc?._id))),
        rows$.subscribe((rows) => seen.push(rows.map(({ id }) => id))),
      ];
      scheduler.schedule(() => {
        for (const subscription of subscriptions) subscription.unsubscribe();
      }, 50);
      flush();
      expect(seen).toHaveLength(3);
      for (const ids_ of seen) expect(ids_).toEqual(['a']);
    }),
  );

  it('refuse local documents, which no feed reports', () => {
    const db = memoryServer().couch().use('db');
    for (const call of [
      () => db.doc$('_local/me'),
      () => db.docs$(['a', '_local/me']),
      () => db.allDocs$({ keys: ['_local/me'] }),
      () => db.allDocs$({ key: '_local/me' }),
      () => db.edit$('_local/me'),
    ]) {
      expect(call).toThrow(TypeError);
      expect(call).toThrow(/_local\/me.*db\.local/);
    }
  });
});
