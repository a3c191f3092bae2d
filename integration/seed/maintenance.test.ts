import { describe, expect, it } from '@jest/globals';
import { Conflict, Couch, Forbidden, NotFound, Unauthorized } from 'corduroy';
import type { Database, DocumentRef, Draft } from 'corduroy';
import { needs, server, uniqueName } from '../helpers/server.ts';
import { couch, emptyDatabase, waitFor, failure, look, value } from './steps.ts';

const BY_N = { map: 'function (doc) { if (doc.n) emit(doc.n, null); }' };

/** A database in which one document has two revisions; gives back the older. */
async function withOldRevision(): Promise<{ db: Database; old: string; doc: Draft }> {
  const db = await emptyDatabase();
  const doc: Draft = { _id: 'changed', n: 1, ballast: 'x'.repeat(10_000) };
  await value(db.save(doc));
  const old = doc._rev as string;
  doc['n'] = 2;
  await value(db.save(doc));
  return { db, old, doc };
}

describe('info', () => {
  it('of a database', async () => {
    const { db } = await withOldRevision();
    await value(db.save({ _id: 'b' }));
    const info = await value(db.info());
    expect(info).toMatchObject({ name: db.name, docCount: 2, deletedDocCount: 0 });
    expect(info.updateSeq).toEqual(expect.any(String));
    expect(info.raw['db_name']).toBe(db.name);
  });

  it('of a design document, with or without _design/ before its name', async () => {
    const db = await emptyDatabase();
    await value(db.save({ _id: '_design/numbers', views: { byN: BY_N } }));
    await value(db.save({ _id: 'a', n: 1 }));
    await value(db.view('numbers/byN'));
    for (const name of ['numbers', '_design/numbers']) {
      const info = await value(db.info(name));
      expect(info.name).toBe('numbers');
      expect(info.viewIndex).toMatchObject({
        signature: expect.any(String),
        compact_running: false,
      });
    }
    expect(await failure(db.info('none'))).toBeInstanceOf(NotFound);
    expect(() => db.info(undefined as never)).toThrow(TypeError);
  });
});

describe('compact', () => {
  it('begins, and says so', async () => {
    const { db } = await withOldRevision();
    const status = await value(db.compact().status());
    expect(status).toMatchObject({ ok: true, code: 202, value: { ok: true } });
  });

  needs('compaction-state')('drops an old revision', async () => {
    const { db, old, doc } = await withOldRevision();
    expect(await value(db.get('changed', { rev: old }))).toMatchObject({ n: 1 });
    expect(await value(db.compact(undefined, { wait: true, interval: 50 }))).toEqual({ ok: true });
    expect(await failure(db.get('changed', { rev: old }))).toBeInstanceOf(NotFound);
    expect(await value(db.get('changed'))).toEqual(doc);
    const revisions = await value(db.get('changed', { revsInfo: true }));
    expect(revisions._revs_info).toEqual([
      { rev: doc._rev, status: 'available' },
      { rev: old, status: 'missing' },
    ]);
  });

  it('of a view', async () => {
    const db = await emptyDatabase();
    await value(db.save({ _id: '_design/numbers', views: { byN: BY_N } }));
    await value(db.save([1, 2, 3].map((n) => ({ _id: `doc-${n}`, n }))));
    await value(db.view('numbers/byN'));
    await value(db.compact('numbers', { wait: true, interval: 50 }));
    expect((await value(db.view('numbers/byN'))).length).toBe(3);
    expect(await failure(db.compact('none'))).toBeInstanceOf(NotFound);
  });

  it('refuses intervals that are none', async () => {
    const db = await emptyDatabase();
    for (const interval of [0, -1, Number.NaN]) {
      expect(() => db.compact(undefined, { wait: true, interval })).toThrow(RangeError);
    }
  });
});

describe('cleanup and commit', () => {
  it('cleanup removes the index of a view that is no more', async () => {
    const db = await emptyDatabase();
    const design: Draft = { _id: '_design/numbers', views: { byN: BY_N } };
    await value(db.save(design));
    await value(db.view('numbers/byN'));
    await value(db.delete(design as DocumentRef));
    expect(await value(db.cleanup())).toEqual({ ok: true });
    expect((await value(db.cleanup().status())).code).toBe(202);
  });

  it('commit is accepted, and has no effect on 3.x', async () => {
    const db = await emptyDatabase();
    expect(await value(db.commit())).toEqual({ ok: true });
    expect(await failure(couch.use(uniqueName()).commit())).toBeInstanceOf(NotFound);
  });
});

describe('security', () => {
  it('is read and written', async () => {
    const db = await emptyDatabase();
    const before = await value(db.upkeep.security());
    expect(before).toEqual(expect.any(Object));
    const wanted = {
      admins: { names: ['ada'], roles: ['keepers'] },
      members: { names: [], roles: ['readers'] },
      note: 'and what else is wanted',
    };
    expect(await value(db.upkeep.security(wanted))).toEqual(wanted);
    expect(await value(db.upkeep.security())).toMatchObject(wanted);
    expect(await look(`/${db.name}/_security`)).toMatchObject(wanted);
  });

  it('keeps out who is no member', async () => {
    const db = await emptyDatabase();
    await value(db.upkeep.security({ members: { names: ['ada'], roles: [] } }));
    const stranger = new Couch(server.url).use(db.name);
    const error = await failure(stranger.info());
    expect(error instanceof Unauthorized || error instanceof Forbidden).toBe(true);
    expect(await failure(stranger.upkeep.security({}))).toBeInstanceOf(Unauthorized);
    expect(() => db.upkeep.security('all' as never)).toThrow(TypeError);
  });
});

describe('purge', () => {
  needs('purge')('forgets the documents that are named', async () => {
    const db = await emptyDatabase();
    const docs: Draft[] = [{ _id: 'a' }, { _id: 'b' }, { _id: 'c' }];
    await value(db.save(docs));
    const { purged, purgeSeq } = await value(db.purge(docs.slice(0, 2) as DocumentRef[]));
    expect(purged).toEqual({ a: [docs[0]?._rev], b: [docs[1]?._rev] });
    // CouchDB 3 tells no number here.
    expect(purgeSeq).toBeNull();
    expect(await failure(db.get('a'))).toMatchObject({ deleted: false });
    expect(await value(db.info())).toMatchObject({ docCount: 1, deletedDocCount: 0 });
    await waitFor(async () => {
      const { results } = await value(db.changes());
      return results.length === 1 ? true : undefined;
    }, 'the end of a purged document in _changes');
    // It can be created again, without a revision.
    await value(db.save({ _id: 'a' }));
    expect(await failure(db.save({ _id: 'c' }))).toBeInstanceOf(Conflict);
  });

  it('of what is no list of documents is refused', async () => {
    const db = await emptyDatabase();
    expect(() => db.purge('a' as never)).toThrow(TypeError);
    expect(() => db.purge([{ _id: 'a' } as never])).toThrow(/purge: docs\[0\]/);
  });
});
