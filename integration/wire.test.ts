import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';
import { expectExchange } from './helpers/wire.ts';
import type { WireTable } from './helpers/wire.ts';

// The request line and body of every operation, and the decoding of its response, without a CouchDB.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());

const ref = Object.freeze({ _id: 'a/b', _rev: '1-x' });
const written = { ok: true, id: 'a/b', rev: '2-y' };
const rows = { total_rows: 1, offset: 0, rows: [{ id: 'a', key: 1, value: 2 }] };
const auth = { basic: { username: 'ada', password: 'secret' } };

const wire: WireTable = [
  [
    'couch.version',
    (c) => c.version(),
    { sends: 'GET /', answers: [{ version: '3.5.0' }], emits: '3.5.0' },
  ],
  [
    'couch.allDbs',
    (c) => c.allDbs({ startKey: 'b', limit: 2 }),
    { sends: 'GET /_all_dbs?startkey=%22b%22&limit=2', answers: [['b']], emits: ['b'] },
  ],
  [
    'couch.uuids',
    (c) => c.uuids(2),
    { sends: 'GET /_uuids?count=2', answers: [{ uuids: ['x', 'y'] }], emits: ['x', 'y'] },
  ],
  [
    'couch.create',
    (c) => c.create('a/b', { q: 2, n: 1, partitioned: true }),
    { sends: 'PUT /a%2Fb?q=2&n=1&partitioned=true', answers: [{ ok: true }] },
  ],
  ['couch.delete', (c) => c.delete('db'), { sends: 'DELETE /db', emits: true }],
  ['couch.db', (c) => c.db('db'), { sends: 'GET /db', answers: [{ update_seq: '1-a' }] }],
  [
    'couch.config',
    (c) => c.config(),
    { sends: 'GET /_node/_local/_config', answers: [{ log: {} }], emits: { log: {} } },
  ],
  [
    'couch.config of a section',
    (c) => c.config('log', undefined, { node: 'n@h' }),
    { sends: 'GET /_node/n%40h/_config/log' },
  ],
  [
    'couch.config of a value',
    (c) => c.config('log/level'),
    { sends: 'GET /_node/_local/_config/log/level', answers: ['info'], emits: 'info' },
  ],
  [
    'couch.config, set',
    (c) => c.config('log/level', 'debug'),
    { sends: 'PUT /_node/_local/_config/log/level "debug"', answers: ['info'], emits: 'info' },
  ],
  [
    'couch.config, set to 0',
    (c) => c.config('a/b', 0),
    { sends: 'PUT /_node/_local/_config/a/b "0"', answers: [''], emits: '' },
  ],
  [
    'couch.config, set to false',
    (c) => c.config('a/b', false),
    { sends: 'PUT /_node/_local/_config/a/b "false"', answers: [''] },
  ],
  [
    "couch.config, set to ''",
    (c) => c.config('a/b', ''),
    { sends: 'PUT /_node/_local/_config/a/b ""', answers: [''] },
  ],
  [
    'couch.config, set a section',
    (c) => c.config('a', { b: 1 }),
    { sends: 'PUT /_node/_local/_config/a/b "1"', answers: ['0'], emits: { b: '0' } },
  ],
  [
    'couch.config, delete',
    (c) => c.config('a/b', undefined, { delete: true }),
    { sends: 'DELETE /_node/_local/_config/a/b', answers: ['1'], emits: '1' },
  ],
  [
    'couch.stats',
    (c) => c.stats('couchdb/httpd/requests'),
    {
      sends: 'GET /_node/_local/_stats/couchdb/httpd/requests',
      answers: [{ value: 1 }],
      emits: { value: 1 },
    },
  ],
  [
    'couch.stats by a name of CouchDB 1',
    (c) => c.stats('httpd/requests'),
    {
      sends:
        'GET /_node/_local/_stats/httpd/requests\nGET /_node/_local/_stats/couchdb/httpd/requests',
      answers: [null, { value: 1 }],
      emits: { value: 1 },
    },
  ],
  ['couch.tasks', (c) => c.tasks(), { sends: 'GET /_active_tasks', answers: [[]], emits: [] }],
  [
    'couch.replicate',
    (c, db) => c.replicate('local', db, { createTarget: true, docIds: ['a'] }),
    {
      sends: `POST /_replicate ${JSON.stringify({ source: { url: '{url}/local', auth }, target: { url: '{url}/db', auth }, create_target: true, doc_ids: ['a'] })}`,
      answers: [{ ok: true, history: [{ docs_written: 1 }] }],
      emits: expect.objectContaining({
        ok: true,
        noChanges: false,
        history: [{ docs_written: 1 }],
      }),
    },
  ],
  [
    'couch.replicate by URL',
    (c) => c.replicate('http://x/a', 'http://y/b', { continuous: true }),
    {
      sends: 'POST /_replicate {"source":"http://x/a","target":"http://y/b","continuous":true}',
      answers: [{ ok: true, _local_id: 'z' }],
      emits: expect.objectContaining({ localId: 'z' }),
    },
  ],
  [
    'couch.replicate, cancel',
    (c) => c.replicate('http://x/a', 'http://y/b', { continuous: true, cancel: true }),
    {
      sends:
        'POST /_replicate {"source":"http://x/a","target":"http://y/b","continuous":true,"cancel":true}',
      answers: [{ ok: true, _local_id: 'z' }],
    },
  ],
  [
    'couch.replicate with _id',
    (c) => c.replicate('http://x/a', 'http://y/b', { _id: 'r' }),
    {
      sends: 'PUT /_replicator/r {"source":"http://x/a","target":"http://y/b"}',
      answers: [{ ok: true, id: 'r', rev: '1-a' }],
      emits: expect.objectContaining({ id: 'r', rev: '1-a' }),
    },
  ],
  [
    'couch.replicate with _id, cancel',
    (c) => c.replicate('http://x/a', 'http://y/b', { _id: 'r', cancel: true }),
    {
      sends: 'GET /_replicator/r\nDELETE /_replicator/r?rev=1-a',
      answers: [
        { _id: 'r', _rev: '1-a' },
        { ok: true, id: 'r', rev: '2-b' },
      ],
    },
  ],
  [
    'db.push',
    (_, db) => db.push('http://y/b'),
    {
      sends: `POST /_replicate ${JSON.stringify({ source: { url: '{url}/db', auth }, target: 'http://y/b' })}`,
      answers: [{ ok: true }],
    },
  ],
  [
    'db.pull',
    (_, db) => db.pull('http://y/b'),
    {
      sends: `POST /_replicate ${JSON.stringify({ source: 'http://y/b', target: { url: '{url}/db', auth } })}`,
      answers: [{ ok: true }],
    },
  ],
  ['db.exists', (_, db) => db.exists(), { sends: 'HEAD /db', emits: true }],
  [
    'db.info',
    (_, db) => db.info(),
    {
      sends: 'GET /db',
      answers: [{ doc_count: 1, update_seq: 5 }],
      emits: expect.objectContaining({ docCount: 1, updateSeq: '5' }),
    },
  ],
  [
    'db.info of a design document',
    (_, db) => db.info('_design/d'),
    {
      sends: 'GET /db/_design/d/_info',
      answers: [{ name: 'd', view_index: {} }],
      emits: { name: 'd', viewIndex: {} },
    },
  ],
  [
    'db.get',
    (_, db) => db.get('a/b', { rev: '1-x', attsSince: ['1-x'] }),
    { sends: 'GET /db/a%2Fb?rev=1-x&atts_since=%5B%221-x%22%5D', answers: [ref], emits: ref },
  ],
  [
    'db.get many',
    (_, db) => db.get(['a', 'b'], { conflicts: true }),
    {
      sends: 'POST /db/_all_docs?conflicts=true&include_docs=true {"keys":["a","b"]}',
      answers: [{ rows: [{ doc: ref }, { key: 'b', error: 'not_found' }] }],
      emits: [ref, null],
    },
  ],
  [
    'db.get first',
    (_, db) => db.get(),
    {
      sends: 'GET /db/_all_docs?limit=50&include_docs=true',
      answers: [{ rows: [{ doc: ref }] }],
      emits: [ref],
    },
  ],
  [
    'db.save',
    (_, db) => db.save({ ...ref, n: 1 }),
    { sends: 'PUT /db/a%2Fb {"_id":"a/b","_rev":"1-x","n":1}', answers: [written] },
  ],
  [
    'db.save in a batch',
    (_, db) => db.save({ _id: 'a' }, { batch: 'ok' }),
    { sends: 'PUT /db/a?batch=ok {"_id":"a"}', answers: [{ ok: true, id: 'a' }] },
  ],
  [
    'db.save many',
    (_, db) => db.save([ref]),
    { sends: 'POST /db/_bulk_docs {"docs":[{"_id":"a/b","_rev":"1-x"}]}', answers: [[written]] },
  ],
  [
    'db.save many, all or nothing',
    (_, db) => db.save([ref], { allOrNothing: true }),
    {
      sends: 'POST /db/_bulk_docs {"all_or_nothing":true,"docs":[{"_id":"a/b","_rev":"1-x"}]}',
      answers: [[written]],
    },
  ],
  [
    'db.save without _id',
    (_, db) => db.save({ n: 1 }),
    {
      sends: 'GET /_uuids?count=50\nPUT /db/u {"n":1}',
      answers: [{ uuids: ['u'].concat(Array(49).fill('v')) }, { ok: true, id: 'u', rev: '1-a' }],
    },
  ],
  [
    'db.delete',
    (_, db) => db.delete(ref),
    { sends: 'DELETE /db/a%2Fb?rev=1-x', answers: [written], emits: written },
  ],
  [
    'db.copy',
    (_, db) => db.copy('a', { _id: 'ü/b', _rev: '1-x' }),
    {
      sends: 'COPY /db/a → %C3%BC%2Fb?rev=1-x',
      answers: [{ id: 'ü/b', rev: '2-y' }],
      emits: { id: 'ü/b', rev: '2-y' },
    },
  ],
  [
    'db.revisions',
    (_, db) => db.revisions('a'),
    {
      sends: 'GET /db/a?revs=true',
      answers: [{ _revisions: { start: 2, ids: ['y', 'x'] } }],
      emits: ['2-y', '1-x'],
    },
  ],
  [
    'db.purge',
    (_, db) => db.purge([ref, { _id: 'a/b', _rev: '1-z' }]),
    {
      sends: 'POST /db/_purge {"a/b":["1-x","1-z"]}',
      answers: [{ purge_seq: null, purged: { 'a/b': ['1-x'] } }],
      emits: { purgeSeq: null, purged: { 'a/b': ['1-x'] } },
    },
  ],
  [
    'db.view',
    (_, db) => db.view('d/v', { startKey: [1], update: 'lazy', groupLevel: 2 }),
    {
      sends: 'GET /db/_design/d/_view/v?startkey=%5B1%5D&update=lazy&group_level=2',
      answers: [rows],
    },
  ],
  [
    'db.view with keys',
    (_, db) => db.view('_all_docs', { keys: ['a'] }),
    { sends: 'POST /db/_all_docs {"keys":["a"]}', answers: [rows] },
  ],
  [
    'db.query',
    (_, db) => db.query('function (doc) {}', '_count', { limit: 1 }),
    {
      sends: [
        'GET /_uuids?count=50',
        'PUT /db/_design/corduroy-temporary-u {"language":"javascript","views":{"view":{"map":"function (doc) {}","reduce":"_count"}},"options":{"partitioned":false}}',
        'GET /db/_design/corduroy-temporary-u/_view/view?limit=1',
        'DELETE /db/_design/corduroy-temporary-u?rev=1-a',
      ].join('\n'),
      answers: [
        { uuids: ['u'].concat(Array(49).fill('v')) },
        { ok: true, id: 'x', rev: '1-a' },
        rows,
        { ok: true },
      ],
    },
  ],
  [
    'db.show',
    (_, db) => db.show('d/s', 'a/b', { x: 1 }),
    { sends: 'GET /db/_design/d/_show/s/a%2Fb?x=1', emits: expect.objectContaining({ body: {} }) },
  ],
  ['db.show without an id', (_, db) => db.show('d/s'), { sends: 'GET /db/_design/d/_show/s' }],
  [
    'db.list',
    (_, db) => db.list('d/l', 'other/v', { limit: 1 }, { x: 'y z' }),
    { sends: 'GET /db/_design/d/_list/l/other/v?limit=1&x=y%20z' },
  ],
  [
    'db.list with keys',
    (_, db) => db.list('d/l', 'v', { keys: [1] }),
    { sends: 'POST /db/_design/d/_list/l/v {"keys":[1]}' },
  ],
  [
    'db.update',
    (_, db) => db.update('d/u', undefined, 'text'),
    {
      sends: 'POST /db/_design/d/_update/u text',
      emits: expect.objectContaining({ id: null, rev: null }),
    },
  ],
  [
    'db.update with an id and a form',
    (_, db) => db.update('d/u', 'a', { x: 'ü&=', n: 1 }),
    { sends: 'PUT /db/_design/d/_update/u/a x=%C3%BC%26%3D&n=1' },
  ],
  [
    'db.getAttachment',
    (_, db) => db.getAttachment(ref, 'c d/é', { rev: '1-x' }),
    { sends: 'GET /db/a%2Fb/c%20d%2F%C3%A9?rev=1-x' },
  ],
  [
    'db.getAttachment().chunks',
    (_, db) => db.getAttachment('a', 'f').chunks(),
    { sends: 'GET /db/a/f', emits: expect.objectContaining({ done: 2, total: 2 }) },
  ],
  [
    'db.putAttachment',
    (_, db) => db.putAttachment({ ...ref }, 'hello', 'a.txt'),
    {
      sends: 'PUT /db/a%2Fb/a.txt?rev=1-x hello',
      answers: [written],
      emits: { ok: true, id: 'a/b', rev: '2-y' },
    },
  ],
  [
    'db.deleteAttachment',
    (_, db) => db.deleteAttachment({ ...ref }, 'a.txt'),
    { sends: 'DELETE /db/a%2Fb/a.txt?rev=1-x', answers: [written] },
  ],
  [
    'db.deleteAttachment with a quorum',
    (_, db) => db.deleteAttachment({ ...ref }, 'a.txt', { w: 3 }),
    { sends: 'DELETE /db/a%2Fb/a.txt?rev=1-x&w=3', answers: [written] },
  ],
  [
    'db.putAttachment with a quorum',
    (_, db) => db.putAttachment({ _id: 'a/b' }, 'x', 'a.txt', { w: 2 }),
    { sends: 'PUT /db/a%2Fb/a.txt?w=2 x', answers: [written] },
  ],
  [
    'db.upkeep.security',
    (_, db) => db.upkeep.security(),
    { sends: 'GET /db/_security', answers: [{ admins: {} }], emits: { admins: {} } },
  ],
  [
    'db.upkeep.security, set',
    (_, db) => db.upkeep.security({ members: { names: ['a'] } }),
    {
      sends: 'PUT /db/_security {"members":{"names":["a"]}}',
      emits: { members: { names: ['a'] } },
    },
  ],
  ['db.compact', (_, db) => db.compact(), { sends: 'POST /db/_compact', emits: { ok: true } }],
  ['db.compact of a view', (_, db) => db.compact('d'), { sends: 'POST /db/_compact/d' }],
  [
    'db.compact, waiting',
    (_, db) => db.compact(undefined, { wait: true, interval: 1 }),
    {
      sends: 'POST /db/_compact\nGET /db\nGET /db',
      answers: [{ ok: true }, { compact_running: true }, { compact_running: false }],
    },
  ],
  ['db.cleanup', (_, db) => db.cleanup(), { sends: 'POST /db/_view_cleanup', emits: { ok: true } }],
  [
    'db.commit',
    (_, db) => db.commit(),
    { sends: 'POST /db/_ensure_full_commit', emits: { ok: true } },
  ],
  [
    'db.changes',
    (_, db) => db.changes({ since: '5-a', view: 'd/v', seqInterval: 10 }),
    {
      sends: 'GET /db/_changes?since=5-a&view=d%2Fv&seq_interval=10&filter=_view',
      answers: [{ results: [], last_seq: 7, pending: 0 }],
      emits: { lastSeq: '7', pending: 0, results: [] },
    },
  ],
  [
    'db.changes with a selector',
    (_, db) => db.changes({ selector: { n: 1 } }),
    {
      sends: 'POST /db/_changes?filter=_selector {"selector":{"n":1}}',
      answers: [{ results: [], last_seq: '1' }],
    },
  ],
  [
    'db.changes with ids',
    (_, db) => db.changes({ docIds: ['a'], style: 'all_docs' }),
    {
      sends: 'POST /db/_changes?style=all_docs&filter=_doc_ids {"doc_ids":["a"]}',
      answers: [{ results: [], last_seq: '1' }],
    },
  ],
];

describe('on the wire', () => {
  it.each(wire)('%s', (_, call, exchange) => expectExchange(stub, call, exchange));

  it.each([
    ['POST', '/db/_compact', (db: Database) => db.compact()],
    ['POST', '/db/_view_cleanup', (db: Database) => db.cleanup()],
    ['POST', '/db/_ensure_full_commit', (db: Database) => db.commit()],
    ['PUT', '/db/a', (db: Database) => db.save({ _id: 'a' })],
    ['POST', '/db/_bulk_docs', (db: Database) => db.save([])],
  ])('%s %s has the JSON content type, without which CouchDB answers 415', async (_, __, call) => {
    stub.requests.length = 0;
    stub.answer((_request, response) => response.end('[]'));
    await firstValueFrom(call(new Couch(stub.url).use('db')) as Observable<unknown>).catch(
      () => {},
    );
    expect(stub.requests[0]?.headers['content-type']).toBe('application/json');
  });

  it.each([
    ['text', 'hello', 'a.bin', {}, 'text/plain;charset=utf-8'],
    ['text by name', '<h1>hi</h1>', 'index.html', {}, 'text/html;charset=utf-8'],
    ['text of another type', '{}', 'a.json', {}, 'application/json'],
    ['text of an unknown name', 'hello', 'README', {}, 'text/plain;charset=utf-8'],
    ['bytes by name', new Uint8Array([1]), 'a.png', {}, 'image/png'],
    ['bytes of an unknown name', new Uint8Array([1]), 'a', {}, 'application/octet-stream'],
    ['the given contentType', new Uint8Array([1]), 'a.png', { contentType: 'x/y' }, 'x/y'],
    ['a Blob without a type', new Blob(['x']), 'a.html', {}, 'text/html'],
    ['a Blob', new Blob(['x'], { type: 'image/gif' }), 'a.png', {}, 'image/gif'],
  ])('the type of an attachment: %s', async (_, content, filename, options, type) => {
    stub.requests.length = 0;
    stub.answer((_request, response) => response.end('{"ok":true,"rev":"1-a"}'));
    const db = new Couch(stub.url).use('db');
    await firstValueFrom(db.putAttachment({ _id: 'a' }, content, filename, options));
    expect(stub.requests[0]?.headers).toMatchObject({ 'content-type': type });
  });

  it('allOrNothing errors with status 417, and records no document as saved', async () => {
    stub.answer((_request, response) =>
      response.writeHead(417).end('[{"id":"a","error":"not_implemented","reason":"no"}]'),
    );
    const save = new Couch(stub.url).use('db').save([{ _id: 'a' }], { allOrNothing: true });
    await expect(firstValueFrom(save)).rejects.toMatchObject({ name: 'HTTPError', status: 417 });
  });
});
