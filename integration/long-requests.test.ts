import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BadRequest, Couch, NotFound } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom, toArray } from 'rxjs';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

/** CouchDB accepts a request line of 8192 bytes. */
const LONG = 'k'.repeat(12_000);
const absent = Array.from({ length: 250 }, (_, i) => `1-${String(i).padStart(32, '0')}`);

let db: Database<{ n: number }>;
beforeAll(async () => {
  db = new Couch(server.authenticatedUrl).use(await createDatabase());
  await firstValueFrom(
    db.save([
      { _id: 'a', n: 1 },
      { _id: 'z', n: 2 },
    ]),
  );
  const map = 'function (doc) { emit(doc._id, doc.n); }';
  await firstValueFrom(
    db.designs.save({ _id: '_design/d', views: { v: { map }, sum: { map, reduce: '_sum' } } }),
  );
});

describe('a request that is too long for a URL', () => {
  it('reads 250 revisions, in the order of the list', async () => {
    const { _rev } = await firstValueFrom(db.get('a'));
    const revs = [...absent.slice(0, 100), _rev, ...absent.slice(100)];
    const outcomes = await firstValueFrom(db.revs.open('a', revs));
    expect(outcomes.map(({ rev }) => rev)).toEqual(revs);
    expect(outcomes.filter(({ ok }) => ok)).toEqual([
      { ok: true, id: 'a', rev: _rev, doc: { _id: 'a', _rev, n: 1 } },
    ]);
    expect(outcomes[0]).toMatchObject({ ok: false, id: 'a', error: 'not_found' });
  });

  needs('bulk-get-leaves')('reads 250 revisions as a short list does', async () => {
    const { _rev } = await firstValueFrom(db.get('a'));
    const short = await firstValueFrom(
      db.revs.open('a', [_rev, absent[0] as string], { revs: true }),
    );
    const long = await firstValueFrom(db.revs.open('a', [_rev, ...absent], { revs: true }));
    expect(long.slice(0, 2)).toEqual(short);
    // With `latest`, each leaf is emitted once.
    const update = await firstValueFrom(db.get('a'));
    await firstValueFrom(db.save(update));
    const latest = await firstValueFrom(
      db.revs.open('a', [_rev, update._rev, ...absent], { latest: true }),
    );
    expect(latest.filter(({ ok }) => ok).map(({ rev }) => rev)).toEqual([update._rev]);
  });

  needs('atts-since')(
    'reads the attachments since 250 revisions, as with a short list',
    async () => {
      const doc: { _id: string; _rev?: string; n: number } = { _id: 'atts', n: 1 };
      await firstValueFrom(db.save(doc));
      await firstValueFrom(db.putAttachment(doc, 'old', 'old.txt'));
      const since = doc._rev as string;
      await firstValueFrom(db.putAttachment(doc, 'new', 'new.txt'));
      const [short, long, ofRevision] = await Promise.all(
        [
          db.get('atts', { attsSince: [since] }),
          db.get('atts', { attsSince: [since, ...absent] }),
          db.get('atts', { attsSince: [since, ...absent], rev: doc._rev as string }),
        ].map((read) => firstValueFrom(read)),
      );
      expect(short?._attachments).toMatchObject({
        'old.txt': { stub: true },
        'new.txt': { data: 'bmV3' },
      });
      expect(long).toEqual(short);
      expect(ofRevision).toEqual(short);
      await expect(firstValueFrom(db.get('absent', { attsSince: absent }))).rejects.toThrow(
        NotFound,
      );
      await firstValueFrom(db.delete(doc as { _id: string; _rev: string }));
      const deleted = await firstValueFrom(db.get('atts', { attsSince: absent }).status());
      expect((deleted.exception as NotFound).deleted).toBe(true);
    },
  );

  it('lists, with a startKey of 12 kB', async () => {
    const { rows } = await firstValueFrom(db.allDocs({ startKey: LONG, includeDocs: true }));
    expect(rows.map(({ id, doc }) => [id, doc?.n])).toEqual([['z', 2]]);
    const before = await firstValueFrom(db.allDocs({ endKey: LONG, limit: 5, descending: false }));
    expect(before.rows.map(({ id }) => id)).toEqual(['_design/d', 'a']);
    const exact = await firstValueFrom(db.allDocs({ keys: ['a'], skip: 0 }));
    expect(exact.rows.map(({ id }) => id)).toEqual(['a']);
  });

  it('queries a view in every way, with a startKey of 12 kB', async () => {
    const options = { startKey: LONG, includeDocs: true } as const;
    const { rows } = await firstValueFrom(db.view('d/v', options));
    expect(rows.map(({ id, doc }) => [id, doc?.n])).toEqual([['z', 2]]);
    const streamed = await firstValueFrom(db.viewRows('d/v', options).pipe(toArray()));
    expect(streamed.map(({ id }) => id)).toEqual(['z']);
    const [page] = await firstValueFrom(db.viewPages('d/v', options).pipe(toArray()));
    expect(page?.rows.map(({ id }) => id)).toEqual(['z']);
    const reduced = await firstValueFrom(db.view('d/sum', { startKey: LONG, group: true }));
    expect(reduced.rows.map(({ key, value }) => [key, value])).toEqual([['z', 2]]);
    const none = await firstValueFrom(db.view('d/sum', { key: LONG, reduce: false }));
    expect(none.rows).toEqual([]);
  });

  it('errors, if there is no other way, with the length that is allowed', async () => {
    const stub = await startStub((_, response) => response.writeHead(400).end());
    const query = { filter: 'd/f', query: { text: LONG } };
    const error: unknown = await firstValueFrom(new Couch(stub.url).use('db').changes(query)).catch(
      (failure: unknown) => failure,
    );
    await stub.close();
    expect(error).toBeInstanceOf(BadRequest);
    expect((error as BadRequest).reason).toMatch(
      /^the request line is too long: it has 120\d\d bytes, and CouchDB's default limit is 8192/,
    );
  });

  it('errors on the server with that reason', async () => {
    const response = await rawFetch(`/${db.name}/x?a=${LONG.repeat(2)}`);
    expect([400, 431]).toContain(response.status);
    const error: unknown = await firstValueFrom(
      db.request({ path: `/x?a=${LONG.repeat(2)}` }),
    ).catch((failure: unknown) => failure);
    expect(String(error)).toContain('the request line is too long: it has 240');
  });
});

describe('a request that is short enough', () => {
  let stub: StubServer;
  beforeAll(async () => {
    stub = await startStub((_, response) => response.end('{"rows":[]}'));
  });
  afterAll(() => stub.close());

  it('is sent as before', async () => {
    const short = new Couch(stub.url).use('db');
    await firstValueFrom(short.view('d/v', { startKey: 'x'.repeat(3000) }));
    await firstValueFrom(short.allDocs({ keys: ['a'] }));
    expect(stub.requests.map(({ method }) => method)).toEqual(['GET', 'POST']);
    expect(stub.requests[1]?.body.toString()).toBe('{"keys":["a"]}');
  });
});
