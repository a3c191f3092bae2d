import { describe, expect, it } from '@jest/globals';
import { map } from 'rxjs';
import type { AnyFields } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { liveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

const n = (doc: AnyFields | null): number | null => (doc?.['n'] as number | undefined) ?? null;
const ns = (docs: readonly (AnyFields | null)[]): string => docs.map((doc) => n(doc) ?? '-').join();

describe('doc$', () => {
  it(
    'emits the document, each new revision, and null when it is deleted',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      server.at(10, () => server.put('a', { n: 2 }));
      server.at(20, () => server.remove('a'));
      server.at(30, () => server.put('a', { n: 3 }));
      // The start sequence takes 1 frame, the document 2, and each change 1.
      const expected = '---1-------2---------n---------3';
      expectObservable(server.db.doc$('a').pipe(map(n)), '35ms !').toBe(expected, {
        1: 1,
        2: 2,
        3: 3,
        n: null,
      });
    }),
  );

  it(
    'emits null for a missing document, and nothing for changes of others',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.at(10, () => server.put('b', { n: 1 }));
      server.at(12, () => server.remove('a'));
      expectObservable(server.db.doc$('a'), '35ms !').toBe('---n', { n: null });
    }),
  );

  it(
    'misses no change between the start sequence, the read and the first change',
    marbles(({ flush }, scheduler) => {
      const last = new Map<number, unknown>();
      for (const frame of [0, 1, 2, 3, 4]) {
        const server = liveServer(scheduler, { read: 2, feedDelay: 3 });
        server.put('a', { n: 1 });
        server.at(frame, () => server.put('a', { n: 2 }));
        const subscription = server.db.doc$('a').subscribe((doc) => last.set(frame, n(doc)));
        server.at(15, () => subscription.unsubscribe());
      }
      flush();
      expect([...last.values()]).toEqual([2, 2, 2, 2, 2]);
    }),
  );

  it(
    'never replaces a newer revision by an older answer',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler, { read: 9, feedDelay: 1 });
      server.put('a', { n: 1 });
      server.at(4, () => server.put('a', { n: 2 }));
      expectObservable(server.db.doc$('a').pipe(map(n)), '40ms !').toBe('10ms 2', { 2: 2 });
      flush();
      expect(server.requests.filter((request) => request.startsWith('read'))).toEqual(['read a@1']);
    }),
  );

  it(
    'refetches the document for a change to a losing revision',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      server.at(5, () => server.put('a', { n: 2 }));
      // A cluster may send an old revision again.
      server.at(10, () =>
        server.sendChange({
          seq: '1-s',
          id: 'a',
          changes: [{ rev: '1-x' }],
          doc: { _id: 'a', _rev: '1-x', n: 1 },
        }),
      );
      expectObservable(server.db.doc$('a').pipe(map(n)), '40ms !').toBe('---1--2', { 1: 1, 2: 2 });
      flush();
      expect(server.requests.filter((request) => request.startsWith('read'))).toEqual([
        'read a@1',
        'read a@10',
      ]);
    }),
  );

  it(
    'misses no change while the feed is down',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      server.at(10, () => server.cut());
      server.at(12, () => server.put('a', { n: 2 }));
      server.at(15, () => server.restore());
      expectObservable(server.db.doc$('a').pipe(map(n)), '60ms !').toBe('---1----------------2', {
        1: 1,
        2: 2,
      });
      flush();
      expect(server.requests.at(-1)).toBe('feed 1-s@20');
      expect(server.openFeeds()).toBe(0);
    }),
  );

  it(
    'shares one feed and one read, and emits the present value to late subscribers',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      const later = server.db.doc$('a').pipe(map(n));
      expectObservable(server.db.doc$('a').pipe(map(n)), '30ms !').toBe('---1', { 1: 1 });
      expectObservable(later, '----------^--------!').toBe('----------1', { 1: 1 });
      flush();
      expect(server.requests).toEqual(['feed 1-s@1', 'read a@1']);
      expect(server.openFeeds()).toBe(0);
    }),
  );

  it(
    'reads all documents that are subscribed to in one turn with one request',
    marbles((_, scheduler) => {
      const server = liveServer(scheduler);
      const ids = Array.from({ length: 50 }, (_unused, i) => `d${i}`);
      const many = ids.map((id) => server.db.doc$(id).subscribe());
      many.push(server.db.docs$(['d1', 'd2']).subscribe());
      server.at(20, () => {
        many.push(server.db.doc$('e1').subscribe(), server.db.doc$('e2').subscribe());
      });
      server.at(40, () => {
        for (const subscription of many) subscription.unsubscribe();
      });
      scheduler.flush();
      expect(server.requests).toEqual(['feed 0-s@1', `read ${ids.join()}@1`, 'read e1,e2@20']);
      expect(server.openFeeds()).toBe(0);
    }),
  );

  it(
    'cancels the read when the last subscriber leaves, and emits nothing more',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler, { read: 20 }, { live: { linger: 0 } });
      expectObservable(server.db.doc$('a'), '-----!').toBe('-');
      flush();
      expect(server.openFeeds()).toBe(0);
      // No timer is left.
      expect(scheduler.now()).toBeLessThan(1000);
    }),
  );
});

describe('docs$', () => {
  it(
    'emits the documents in the order of the ids, and keeps the identity of unchanged ones',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      server.put('b', { n: 2 });
      server.at(10, () => server.put('a', { n: 3 }));
      server.at(15, () => server.put('x', { n: 0 }));
      server.at(20, () => server.remove('b'));
      const seen: (readonly (AnyFields | null)[])[] = [];
      const docs$ = server.db.docs$(['b', 'a', 'none', 'b']).pipe(
        map((docs) => {
          seen.push(docs);
          return ns(docs);
        }),
      );
      expectObservable(docs$, '40ms !').toBe('---1-------2---------3', {
        1: '2,1,-,2',
        2: '2,3,-,2',
        3: '-,3,-,-',
      });
      flush();
      expect(seen[0]?.[0]).toBe(seen[1]?.[0]);
      expect(seen[1]?.[1]).toBe(seen[2]?.[1]);
    }),
  );

  it(
    'reads any number of documents, with at most 2,000 in one request',
    marbles((_, scheduler) => {
      const server = liveServer(scheduler);
      const ids = Array.from({ length: 4500 }, (_unused, i) => `d${i}`);
      ids.forEach((id, i) => server.put(id, { n: i }));
      let missing: readonly string[] | undefined;
      const subscription = server.db.docs$(ids).subscribe((docs) => {
        expect(docs).toHaveLength(ids.length);
        missing = ids.filter((_id, i) => n(docs[i] ?? null) !== i);
      });
      server.at(40, () => subscription.unsubscribe());
      scheduler.flush();
      expect(missing).toEqual([]);
      const reads = server.requests.filter((request) => request.startsWith('read'));
      expect(reads.map((request) => request.split(',').length)).toEqual([2000, 2000, 500]);
    }),
  );

  it(
    'emits once for each block of changes',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.at(10, () => server.cut());
      server.at(11, () => {
        server.put('a', { n: 1 });
        server.put('b', { n: 2 });
        server.restore();
      });
      expectObservable(server.db.docs$(['a', 'b']).pipe(map(ns)), '60ms !').toBe(
        '---1----------------(23)',
        { 1: '-,-', 2: '1,-', 3: '1,2' },
      );
    }),
  );
});

describe('conflicts$', () => {
  it(
    'finds a conflict beyond the first page of changes',
    marbles((_, scheduler) => {
      const orders = Array.from({ length: 1200 }, (_unused, i) => ({ _id: `d${1000 + i}` }));
      const server = memoryServer({ databases: { orders } });
      const db = server.couch().use('orders');
      const leaves = ['b', 'c'].map((hash) => ({
        _id: 'z',
        _rev: `2-${hash}`,
        _revisions: { start: 2, ids: [hash, 'a'] },
      }));
      db.save(leaves, { newEdits: false }).subscribe();
      const pages: string[] = [];
      server.requests$.subscribe(({ path, query: { style, limit = '' } }) => {
        if (path.endsWith('/_changes') && style === 'all_docs' && limit !== '') pages.push(limit);
      });
      const found: string[] = [];
      const subscription = db
        .conflicts$()
        .subscribe((list) =>
          found.push(
            list.map(({ id, rev, conflicts }) => `${id} ${rev} ${conflicts.join()}`).join(),
          ),
        );
      scheduler.schedule(() => subscription.unsubscribe(), 50);
      scheduler.flush();
      expect(found).toEqual(['z 2-c 2-b']);
      expect(pages).toEqual(['1000', '1000']);
    }),
  );
});
