// The requests of each live call, compared with the table of docs/guide/21-test-a-service.md.
import { describe, expect, it } from '@jest/globals';
import type { Database } from 'corduroy';
import { memoryServer, status } from 'corduroy/testing';
import type { ServerRequest } from 'corduroy/testing';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { NEVER, combineLatest, map, merge, sample, switchMap, takeUntil, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { marbles } from './helpers/run.ts';

interface Order {
  total: number;
  status: string;
}

/** The calls of the table, with what the page omits. */
const CALLS: Readonly<Record<string, (db: Database<Order>) => Observable<unknown>>> = {
  'changes$()': (db) => db.changes$(),
  'changes$({ since: 0 })': (db) => db.changes$({ since: 0 }),
  "doc$('ann')": (db) => db.doc$('ann'),
  "docs$(['ann', 'bob'])": (db) => db.docs$(['ann', 'bob']),
  "edit$('ann')": (db) => db.edit$('ann'),
  'find$({ selector })': (db) => db.find$({ selector: { status: 'open' } }),
  'find$({ selector, sort })': (db) =>
    db.find$({ selector: { total: { $gt: 0 } }, sort: ['total'] }),
  'find$({ selector, limit })': (db) => db.find$({ selector: { status: 'open' }, limit: 1 }),
  'allDocs$()': (db) => db.allDocs$(),
  "consume(handler, { name: 'n' })": (db) => db.consume(() => null, { name: 'n' }),
};

const page = fileURLToPath(new URL('../docs/guide/21-test-a-service.md', import.meta.url));
/** The rows of the table: the call, and the requests at first and after a change. */
const documented = [...(await readFile(page, 'utf8')).matchAll(/^\| `([^`]+)` +\|(.*)\|(.*)\|$/gm)]
  .map(([, call = '', first = '', later = '']) => ({ call, first, later }))
  .filter(({ call }) => call in CALLS);

/** The requests in a cell of the table, sorted. */
function requestsIn(cell: string): readonly string[] {
  const feed = documented.find(({ call }) => call === 'changes$()')?.first ?? '';
  const codes = cell.replace('the feed', feed).matchAll(/`([^`]+)`/g);
  return [...codes].map(([, code = '']) => code).sort();
}

/** A request as the page writes it: with the parameters that tell its purpose. */
function brief({ method, path, query }: ServerRequest): string {
  const below = path.replace(/^\/orders\/?/, '');
  const { since, feed, limit } = query;
  const purpose =
    feed !== undefined
      ? `?feed=${feed}`
      : since === 'now'
        ? '?since=now'
        : limit === '1'
          ? '?limit=1'
          : '';
  return `${method} ${below === '' ? '/orders' : below}${purpose}`;
}

describe('the requests of live calls', () => {
  it('are in the guide', () => {
    expect(documented.map(({ call }) => call)).toEqual(Object.keys(CALLS));
  });

  it.each(documented)('$call sends what the guide lists', ({ call, first, later }) => {
    marbles(({ flush }) => {
      const server = memoryServer({
        databases: {
          orders: [
            { _id: 'ann', status: 'open', total: 1 },
            { _id: 'bob', status: 'open', total: 2 },
          ],
        },
        latency: 1,
      });
      const others = server.couch().use<Order>('orders');
      others.indexes.create({ fields: ['total'] }).subscribe();
      const live$ = CALLS[call]?.(server.couch().use<Order>('orders')) ?? NEVER;
      timer(10)
        .pipe(
          switchMap(() => live$),
          takeUntil(timer(3000)),
        )
        .subscribe();
      timer(1000).subscribe(() =>
        others.save({ _id: 'cat', status: 'open', total: 0 }).subscribe(),
      );
      const counts: number[] = [];
      merge(timer(10), timer(1000), timer(3000)).subscribe(() =>
        counts.push(server.requests.length),
      );
      flush();
      const between = (from = 0, to = 0): readonly string[] =>
        server.requests
          .slice(from, to)
          .filter(({ path }) => path !== '/orders/cat')
          .map(brief)
          .sort();
      const [start, change, end] = counts;
      expect({ first: between(start, change), later: between(change, end) }).toEqual({
        first: requestsIn(first),
        later: requestsIn(later),
      });
    })();
  });

  it(
    'need only the scripted answers that the guide lists',
    marbles(({ server, couch, hot, expectObservable }) => {
      const doc = { _id: 'ann', _rev: '1-a', total: 1, status: 'open' };
      const rows = [{ id: 'ann', key: 'ann', value: { rev: '1-a' }, doc }];
      server.feed('orders', hot('-'));
      server.on('POST /orders/_all_docs', { rows });
      server.on('GET /orders/_all_docs', { rows });
      server.on('POST /orders/_find', { docs: [doc] });
      server.on('POST /orders/_explain', { index: null });
      server.on('PUT /orders/:id', status(201, { ok: true, id: 'ann', rev: '2-a' }));

      const db = couch.use<Order>('orders');
      const editor = db.edit$('ann', { debounce: 20 });
      hot('10ms e').subscribe(() => editor.patch({ total: 2 }));
      const page$ = combineLatest([
        db.doc$('ann').pipe(map((order) => order?._id)),
        db.allDocs$().pipe(map(([row]) => row?.id)),
        db
          .find$({ selector: { status: 'open' }, sort: ['total'] })
          .pipe(map(([order]) => order?._id)),
        editor.pipe(map(({ value, status: is }) => `${value?.total} ${is}`)),
      ]).pipe(map((texts) => texts.join(', ')));
      expectObservable(page$.pipe(sample(hot('5ms x 94ms x'))), '200ms !').toBe('5ms a 94ms b', {
        a: 'ann, ann, ann, 1 clean',
        b: 'ann, ann, ann, 2 clean',
      });
    }),
  );
});
