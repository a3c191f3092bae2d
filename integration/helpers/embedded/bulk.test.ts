import { describe, expect, it } from '@jest/globals';
import { type Answer, call, del, newDatabase, post, put } from '../call.ts';
import { createDatabase, deleteAtEnd, server, uniqueName } from '../server.ts';

// Tests of the embedded server that pass on CouchDB 3.5 too.

describe('documents in bulk', () => {
  it('are answered in input order', async () => {
    const path = await newDatabase();
    await put(`${path}/b`, {});
    const docs = [{ _id: 'b' }, { _id: 'a' }, { n: 1 }, { _id: 'c' }, { _id: 'c' }];
    const { status, body } = await post(`${path}/_bulk_docs`, { docs });
    expect(status).toBe(201);
    expect(body).toMatchObject([
      { id: 'b', error: 'conflict', reason: 'Document update conflict.' },
      { ok: true, id: 'a' },
      { ok: true },
      { ok: true, id: 'c' },
      { id: 'c', error: 'conflict' },
    ]);
  });

  it('are rejected if malformed', async () => {
    const path = await newDatabase();
    const bulk = (body: unknown): Promise<Answer> => post(`${path}/_bulk_docs`, body);
    expect((await bulk({})).status).toBe(400);
    expect((await bulk({ docs: 5 })).status).toBe(400);
    expect((await bulk({ docs: [null] })).status).toBe(400);
    expect((await bulk({ docs: [{ _id: '_x' }] })).body).toMatchObject({ error: 'illegal_docid' });
    expect((await bulk({ docs: [{ _x: 1 }] })).body).toMatchObject({ error: 'doc_validation' });
    const together = await bulk({ all_or_nothing: true, docs: [{ _id: 'a' }] });
    expect(together).toMatchObject({ status: 417, body: [{ id: 'a', error: 'not_implemented' }] });
  });

  it('keep their revisions with new_edits=false', async () => {
    const path = await newDatabase();
    const docs = ['1-aa', '1-bb'].map((_rev) => ({ _id: 'doc', _rev }));
    expect((await post(`${path}/_bulk_docs`, { docs, new_edits: false })).body).toEqual([]);
    const { body } = await call(`${path}/doc?conflicts=true`);
    expect(body).toMatchObject({ _rev: '1-bb', _conflicts: ['1-aa'] });
    const { body: missing } = await post(`${path}/_revs_diff`, { doc: ['1-aa', '1-cc'] });
    expect(missing).toMatchObject({ doc: { missing: ['1-cc'] } });
  });

  it('are read together, with errors for missing ones', async () => {
    const path = await newDatabase();
    await put(`${path}/a`, { n: 1 });
    const docs = [{ id: 'none' }, { id: 'a' }, { id: 'a', rev: '1-bb' }];
    const { body } = await post(`${path}/_bulk_get`, { docs });
    expect(body['results']).toMatchObject([
      { id: 'none', docs: [{ error: { id: 'none', error: 'not_found', reason: 'missing' } }] },
      { id: 'a', docs: [{ ok: { _id: 'a', n: 1 } }] },
      { id: 'a', docs: [{ error: { id: 'a', rev: '1-bb', error: 'not_found' } }] },
    ]);
  });
});

describe('_bulk_get of a deleted document', () => {
  it('returns its leaves', async () => {
    const path = await newDatabase();
    const { body: first } = await put(`${path}/a`, {});
    const { body: last } = await del(`${path}/a?rev=${String(first['rev'])}`);
    const { body } = await post(`${path}/_bulk_get`, { docs: [{ id: 'a' }] });
    expect(body['results']).toEqual([
      { id: 'a', docs: [{ ok: { _id: 'a', _rev: last['rev'], _deleted: true } }] },
    ]);
  });
});

describe('replication', () => {
  it('copies once, and then finds no changes', async () => {
    const [source, target] = [await createDatabase(), uniqueName()];
    deleteAtEnd(target);
    await post(`/${source}/_bulk_docs`, { docs: [{ _id: 'a' }, { _id: 'b' }] });
    const auth = { basic: { username: server.username, password: server.password } };
    const job = {
      source: { url: `${server.url}/${source}`, auth },
      target: { url: `${server.url}/${target}`, auth },
      create_target: true,
      doc_ids: ['b'],
    };
    const { status, body } = await post('/_replicate', job);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      ok: true,
      session_id: expect.any(String),
      source_last_seq: expect.any(String),
      history: [{ docs_written: 1 }],
    });
    expect((await call(`/${target}`)).body).toMatchObject({ doc_count: 1 });
    const { create_target: _, ...again } = job;
    expect((await post('/_replicate', again)).body).toMatchObject({ no_changes: true });
  }, 30_000);

  it('rejects missing databases', async () => {
    const job = { source: uniqueName(), target: await createDatabase() };
    expect((await post('/_replicate', job)).body).toMatchObject({ error: 'db_not_found' });
  }, 30_000);

  it('continues until it is cancelled', async () => {
    const [source, target] = [await createDatabase(), await createDatabase()];
    const job = { source, target, continuous: true };
    const started = await post('/_replicate', job);
    expect(started).toMatchObject({
      status: 202,
      body: { ok: true, _local_id: expect.any(String) },
    });
    const cancelled = await post('/_replicate', { ...job, cancel: true });
    expect(cancelled.body).toEqual(started.body);
    expect((await post('/_replicate', { ...job, cancel: true })).status).toBe(404);
  }, 30_000);
});
