import { describe, expect, it } from '@jest/globals';
import type { ConnectionError } from 'corduroy';
import { Forbidden, ServerError } from 'corduroy';
import { errorOf, memoryServer, status } from 'corduroy/testing';
import { filter, firstValueFrom, map, scan, shareReplay, take } from 'rxjs';

// The failures of an in-memory server in real time, as a test without a TestScheduler uses them.

const seeded = (): ReturnType<typeof memoryServer> =>
  memoryServer({
    databases: {
      orders: {
        docs: [
          {
            _id: 'a',
            total: 3,
            _attachments: { 'a.txt': { content_type: 'text/plain', data: 'aGk=' } },
          },
          {
            _id: '_design/all',
            views: {
              totals: { map: 'function (doc) { emit(doc.total, null); }', reduce: '_count' },
            },
            validate_doc_update:
              "function (doc) { if (doc.total < 0) throw { forbidden: 'no debts' }; }",
          },
        ],
        indexes: [{ fields: ['total'], name: 'total', ddoc: 'total' }],
        local: [{ _id: 'place', seq: '1' }],
        security: { members: { names: [], roles: ['clerk'] } },
      },
    },
    users: { ann: { password: 'secret', roles: ['clerk'] } },
  });

describe('an in-memory server in real time', () => {
  it('starts with indexes, local documents, attachments, design documents and users', async () => {
    const server = seeded();
    const db = server.couch({ auth: { username: 'ann', password: 'secret' } }).use('orders');
    const found = await firstValueFrom(
      db.find({ selector: { total: { $gt: 1 } }, sort: ['total'] }),
    );
    expect(found.docs.map(({ _id }) => _id)).toEqual(['a']);
    expect(await firstValueFrom(db.local.get('place'))).toMatchObject({ seq: '1' });
    const bytes = await firstValueFrom(db.getAttachment('a', 'a.txt'));
    expect(new TextDecoder().decode(bytes)).toBe('hi');
    const { rows } = await firstValueFrom(db.view('all/totals'));
    expect(rows.map(({ value }) => value)).toEqual([1]);
    const refusal = await errorOf<Forbidden>(db.save({ _id: 'b', total: -1 }));
    expect(refusal).toBeInstanceOf(Forbidden);
    expect(refusal.reason).toBe('no debts');
    expect(server.requestLines.slice(0, 2)).toEqual([
      'POST /orders/_find',
      'GET /orders/_local/place',
    ]);
  });

  it('refuses seeds that CouchDB would refuse, with a reason', () => {
    const withIndex = { orders: { indexes: [{ fields: [{ n: 'up' }] }] } };
    expect(() => memoryServer({ databases: withIndex })).toThrow(
      /orders: the index .*Invalid sort field/,
    );
    const withDesign = { orders: [{ _id: '_design/d', views: { v: { map: 'function (' } } }] };
    expect(() => memoryServer({ databases: withDesign })).toThrow(
      /Compilation of the map function/,
    );
  });

  it('fails as the test says', async () => {
    const server = memoryServer({ databases: { orders: [{ _id: 'a' }] } });
    const db = server.couch().use('orders');
    server.once('GET /orders/:id', status(503));
    expect(await errorOf(db.get('a'))).toBeInstanceOf(ServerError);
    server.offline$.next(true);
    expect(await errorOf<ConnectionError>(db.get('a'))).toMatchObject({ code: 'ECONNREFUSED' });
    server.offline$.next(false);
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ _id: 'a' });
    await expect(errorOf(db.get('a'))).rejects.toThrow(
      /errorOf: there was no error, but the value/,
    );
  });

  it('cuts a feed, which continues without a lost change', async () => {
    const server = memoryServer({ databases: { orders: [] } });
    const db = server.couch().use('orders');
    const ids$ = db.changes$({ latency: 0, since: 0 }).pipe(
      scan((all: string[], { changes }) => [...all, ...changes.map(({ id }) => id)], []),
      shareReplay({ bufferSize: 1, refCount: true }),
    );
    const has = (id: string) =>
      firstValueFrom(
        ids$.pipe(
          filter((all) => all.includes(id)),
          take(1),
        ),
      );
    const subscription = ids$.subscribe();
    await firstValueFrom(db.save({ _id: 'a' }));
    await has('a');
    server.cut('orders');
    await firstValueFrom(db.save({ _id: 'b' }));
    await has('b');
    server.silence();
    server.cut();
    await firstValueFrom(db.save({ _id: 'c' }));
    expect(await has('c')).toEqual(['a', 'b', 'c']);
    subscription.unsubscribe();
  });

  it('answers a path that is not encoded, and bodies that are no JSON, without an exception', async () => {
    const server = memoryServer({ databases: { orders: [] } });
    const send = (path: string, body?: string) =>
      firstValueFrom(
        server.transport
          .send({ method: 'POST', url: `http://test${path}`, headers: {}, body })
          .pipe(map(({ status: code }) => code)),
      );
    expect(await send('/orders/%zz')).toBe(400);
    expect(await send('/orders/_bulk_docs', '{"docs":[{"_id":5}]}')).toBe(400);
    expect(await send('/orders/_bulk_get', '{"docs":[null]}')).toBe(200);
    expect(await send('/orders/_find', '{"selector":{},"sort":"n"}')).toBe(400);
    expect(await send('/orders/_bulk_docs', '{')).toBe(400);
    const wrong = '{"docs":[{"_id":"a","_rev":"1-a","_revisions":{"start":1}}],"new_edits":false}';
    expect(await send('/orders/_bulk_docs', wrong)).toBe(400);
  });
});
