import { describe, expect, it } from '@jest/globals';
import {
  catchError,
  concat,
  concatMap,
  firstValueFrom,
  map,
  mergeMap,
  of,
  take,
  timer,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch, resolveConflicts } from 'corduroy';
import type { ChangesBatch, ChangesFeedOptions, CorduroyError, FeedKind } from 'corduroy';
import { marbleTests, memoryServer, status } from 'corduroy/testing';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

interface Order {
  total: number;
  tags?: string[];
}

const options: ChangesFeedOptions = {
  latency: 0,
  backoff: { initialDelay: 5, random: () => 0.8 },
};
const ids = <T extends object>(feed: Observable<ChangesBatch<T>>): Observable<string> =>
  feed.pipe(map(({ changes }) => changes.map(({ id }) => id).join('')));
const orError = (source: Observable<unknown>): Observable<unknown> =>
  source.pipe(
    catchError((error: CorduroyError & { reason?: string }) =>
      of(`${error.name}: ${error.reason ?? error.message}`),
    ),
  );

describe('an in-memory server', () => {
  it(
    'answers after its latency, and ignores a request that is aborted before',
    marbles(({ expectObservable }) => {
      const server = memoryServer({ latency: 5, databases: { orders: [] } });
      const db = server.couch().use<Order>('orders');
      const saved = db.save({ _id: 'a', total: 1 }).pipe(map(({ resolved }) => resolved.size));
      expectObservable(saved, '---!').toBe('----');
      expectObservable(db.info().pipe(map(({ docCount }) => docCount))).toBe('-----(n|)', { n: 0 });
      expectObservable(saved, '----------^').toBe('15ms (s|)', { s: 1 });
      expectObservable(server.requestLines$).toBe('-----i---------p', {
        i: 'GET /orders',
        p: 'PUT /orders/a',
      });
    }),
  );

  it(
    'computes revisions from the content of documents',
    marbles(({ expectObservable }) => {
      const revs = [1, 2].map(() => {
        const db = memoryServer({ latency: 0, databases: { orders: [] } })
          .couch()
          .use<Order>('orders');
        const doc = { _id: 'a', total: 1 };
        return concat(db.save(doc), db.save(doc)).pipe(
          map(({ resolved }) => resolved.get('a')?._rev),
        );
      });
      const [a, b] = revs.map((rev) => rev.pipe(map((text) => String(text).slice(0, 6))));
      for (const rev of [a, b]) {
        expectObservable(rev ?? of()).toBe('(ab|)', { a: '1-afa8', b: '2-5248' });
      }
    }),
  );

  it(
    'starts with documents, optionally with revisions and conflicts',
    marbles(({ expectObservable }) => {
      const orders = [
        { _id: 'a', _rev: '2-b', total: 1 },
        { _id: 'a', _rev: '2-c', total: 2 },
      ];
      const db = memoryServer({ latency: 0, databases: { orders } }).couch().use<Order>('orders');
      expectObservable(db.get('a', { conflicts: true })).toBe('(a|)', {
        a: { _id: 'a', _rev: '2-c', total: 2, _conflicts: ['2-b'] },
      });
      const twice = { orders: [{ _id: 'a' }, { _id: 'a' }] };
      expect(() => memoryServer({ latency: 0, databases: twice })).toThrow(
        'memoryServer: orders: the document "a": Document update conflict.',
      );
      const strange = { orders: [{ n: NaN }] };
      expect(() => memoryServer({ latency: 0, databases: strange })).toThrow(
        /cannot be written as JSON: NaN/,
      );
    }),
  );

  it(
    'returns conflicts, which can be resolved',
    marbles(({ expectObservable }) => {
      const server = memoryServer({
        latency: 0,
        databases: { orders: [{ _id: 'a', total: 1, tags: ['x'] }] },
      });
      const db = server.couch().use<Order>('orders');
      const mine = { _id: 'a', total: 2 };
      expectObservable(orError(db.save({ ...mine }))).toBe('(c|)', {
        c: 'Conflict: Document update conflict.',
      });
      const merged = db.save(mine).pipe(
        resolveConflicts<Order>((local, theirs) => ({ ...theirs, ...local })),
        concatMap(() => db.get('a')),
        map(({ total, tags }) => ({ total, tags })),
      );
      expectObservable(merged).toBe('(m|)', { m: { total: 2, tags: ['x'] } });
    }),
  );

  it.each<FeedKind>(['continuous', 'longpoll', 'eventsource', 'auto'])(
    'serves changes to %s feeds as they happen, and keeps waiting feeds open',
    (feed) =>
      marbles(({ cold, expectObservable }) => {
        const server = memoryServer({
          latency: 0,
          databases: { orders: [{ _id: 'o', total: 0 }] },
        });
        const db = server.couch().use<Order>('orders');
        const writes = cold('-a--b 65s c', { a: 'a', b: 'b', c: 'c' }).pipe(
          concatMap((_id) => db.save({ _id, total: 1 })),
        );
        writes.subscribe();
        expectObservable(ids(db.changes$({ ...options, feed })), '66s !').toBe('-a--b 65s c');
        const all = ids(db.changes$({ ...options, feed, since: 0 }));
        expectObservable(all, '66s !').toBe('oa--b 65s c');
      })(),
  );

  it(
    'filters changes by ids and by a selector, and includes documents',
    marbles(({ cold, expectObservable }) => {
      const db = memoryServer({ latency: 0, databases: { orders: [] } })
        .couch()
        .use<Order>('orders');
      cold('-a--b', { a: { _id: 'a', total: 1 }, b: { _id: 'b', total: 9 } })
        .pipe(mergeMap((doc) => db.save(doc)))
        .subscribe();
      const large = db.changes$({ ...options, selector: { total: { $gt: 5 } }, includeDocs: true });
      const totals = large.pipe(mergeMap(({ changes }) => changes.map(({ doc }) => doc)));
      expectObservable(totals.pipe(map((doc) => (doc as Order).total)), '9ms !').toBe('----t', {
        t: 9,
      });
      expectObservable(ids(db.changes$({ ...options, docIds: ['a'] })), '9ms !').toBe('-a');
    }),
  );

  it(
    'ends feeds when the database is deleted or replaced',
    marbles(({ cold, expectObservable }) => {
      const couch = memoryServer({ latency: 0, databases: { orders: [], events: [] } }).couch();
      cold('--x')
        .pipe(
          mergeMap(() =>
            concat(couch.delete('orders'), couch.delete('events'), couch.create('events')),
          ),
        )
        .subscribe();
      expectObservable(couch.use('orders').changes$(options).pipe(orError)).toBe('-------(e|)', {
        e: 'NotFound: Database does not exist.',
      });
      const replaced = couch.use('events').changes$(options);
      expectObservable(replaced.pipe(catchError(({ name }: Error) => of(name)))).toBe(
        '-------(e|)',
        {
          e: 'DatabaseReplaced',
        },
      );
    }),
  );

  it(
    'stores checkpoints: a consumer resumes after its last one',
    marbles(({ cold, expectObservable }) => {
      const docs = ['a', 'b', 'c'].map((_id) => ({ _id }));
      const db = memoryServer({ latency: 0, databases: { orders: docs } })
        .couch()
        .use('orders');
      const consumed = db.consume(() => cold('--|'), { name: 'test', since: 0, batchSize: 2 });
      const handled = consumed.pipe(map((so) => so.handled));
      expectObservable(handled, '    ---- -!').toBe('----2', { 2: 2 });
      expectObservable(handled, '10ms ^----!').toBe('10ms --1', { 1: 1 });
    }),
  );

  it(
    'answers the requests for which a marble server has no route',
    marbles(({ server, couch, expectObservable }) => {
      server.otherwise(
        memoryServer({ latency: 0, databases: { orders: [{ _id: 'a', total: 1 }] } }),
      );
      server.once('GET /orders/a', status(503));
      const total = couch
        .use<Order>('orders')
        .get('a')
        .pipe(map((order) => order.total));
      expectObservable(orError(total)).toBe('(e|)', {
        e: 'ServerError: The service is not available.',
      });
      expectObservable(total, '-^').toBe('-(t|)', { t: 1 });
    }),
  );

  it.each<[string, (couch: Couch) => Observable<unknown>]>([
    ['run update functions', (couch) => couch.use('orders').update('all/touch')],
    ['run show functions', (couch) => couch.use('orders').show('all/page', 'a')],
    ['run list functions', (couch) => couch.use('orders').list('all/page', 'all/view')],
    ['answer POST /_replicate', (couch) => couch.replicate('a', 'b')],
    ['answer GET /_scheduler', (couch) => couch.scheduler.jobs()],
    ['answer GET /{db}/_shards', (couch) => couch.use('orders').request({ path: '/_shards' })],
  ])('returns 501 because it does not %s', (feature, ask) => {
    marbles(({ expectObservable }) => {
      const server = memoryServer({ latency: 0, databases: { orders: [{ _id: 'a' }] } });
      expectObservable(orError(ask(server.couch()))).toBe('(e|)', {
        e:
          `ServerError: the in-memory server of corduroy/testing does not ${feature}; ` +
          'test it on a CouchDB',
      });
    })();
  });

  it('works in real time', async () => {
    const server = memoryServer({ databases: { orders: [] } });
    const couch = new Couch('http://couch.test', { transport: server.transport });
    const db = couch.use<Order>('orders');
    const first = firstValueFrom(ids(db.changes$(options)).pipe(take(1)));
    await firstValueFrom(timer(20).pipe(mergeMap(() => db.save({ _id: 'a', total: 1 }))));
    expect(await first).toBe('a');
    expect(await firstValueFrom(couch.allDbs())).toEqual(['orders']);
    expect(await firstValueFrom(couch.version())).toBe('3.5.0');
    expect(await firstValueFrom(db.exists())).toBe(true);
  });
});
