import { describe, expect, it } from '@jest/globals';
import { type Answer, call, del, newDatabase, post, put } from './helpers/call.ts';
import { deleteAtEnd, needs, rawFetch, server, uniqueName } from './helpers/server.ts';

// Behaviour of CouchDB 3.5 on which the suite relies. The packages behind the embedded server
// differ in each point, and its own layers correct them. These tests pass on both servers.

describe('the server itself', () => {
  it('answers with a welcome, is up, and sends JSON', async () => {
    const { body, headers } = await call('/');
    expect(body).toMatchObject({ couchdb: 'Welcome', version: server.version });
    expect(body).toHaveProperty('vendor.name');
    expect(headers.get('content-type')).toBe('application/json');
    expect((await call('/_up')).body).toMatchObject({ status: 'ok' });
  });

  it('generates UUIDs of 32 hex digits, at most 1000', async () => {
    const { body } = await call('/_uuids?count=3');
    expect(body['uuids']).toHaveLength(3);
    for (const id of body['uuids'] as string[]) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect((await call('/_uuids?count=1001')).status).toBe(400);
  });

  it('stores configuration values, and returns the previous one', async () => {
    const path = `/_node/_local/_config/${uniqueName('section')}/key`;
    expect(await call(path)).toMatchObject({
      status: 404,
      body: { reason: 'unknown_config_value' },
    });
    expect((await put(path, '"one"')).body).toBe('');
    expect((await put(path, '"two"')).body).toBe('one');
    expect((await call(path)).body).toBe('two');
    expect((await del(path)).body).toBe('two');
    expect((await del(path)).status).toBe(404);
    expect((await put(path, '5')).status).toBe(400);
  });

  it('returns statistics by path, and null for an unknown path', async () => {
    const { body } = await call('/_node/_local/_stats/couchdb/httpd/requests');
    expect(body).toEqual({
      value: expect.any(Number),
      type: 'counter',
      desc: 'number of HTTP requests',
    });
    expect((await call('/_node/_local/_stats/no/such')).text.trim()).toBe('null');
    expect((await call('/_node/no-such-node/_stats')).status).toBe(404);
    expect((await call('/_active_tasks')).body).toEqual([]);
  });
});

const login = (name: string, password: string): Promise<Answer> =>
  call('/_session', { method: 'POST', body: { name, password }, anonymous: true });

describe('credentials', () => {
  it('are required, except at /', async () => {
    const refused = await call('/_all_dbs', { anonymous: true });
    expect(refused).toMatchObject({ status: 401, body: { error: 'unauthorized' } });
    expect(await call(await newDatabase(), { anonymous: true })).toMatchObject({
      status: 401,
      body: { reason: 'You are not authorized to access this db.' },
    });
    expect((await call('/', { anonymous: true })).status).toBe(200);
    expect((await call('/_session', { anonymous: true })).body['userCtx']).toEqual({
      name: null,
      roles: [],
    });
  });

  it('are rejected if wrong, and the server continues', async () => {
    const wrong = { authorization: `Basic ${btoa('somebody-else:wrong')}` };
    const path = await newDatabase();
    for (const method of ['GET', 'DELETE']) {
      expect(await call(path, { method, headers: wrong })).toMatchObject({
        status: 401,
        body: { error: 'unauthorized', reason: 'Name or password is incorrect.' },
      });
    }
    expect((await call(path)).status).toBe(200);
  });

  it('create a cookie, from JSON and from a form', async () => {
    const { username, password } = server;
    const byJson = await login(username, password);
    expect(byJson).toMatchObject({ status: 200, body: { ok: true, name: username } });
    expect(byJson.headers.get('set-cookie')).toMatch(/^AuthSession=[^;]+;.*Max-Age=\d+/);
    const body = new URLSearchParams({ name: username, password }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const byForm = await call('/_session', { method: 'POST', body, headers, anonymous: true });
    expect(byForm.status).toBe(200);
    const [cookie = ''] = (byForm.headers.get('set-cookie') ?? '').split(';');
    const session = await call('/_session', { headers: { cookie }, anonymous: true });
    expect(session.body).toMatchObject({ userCtx: { name: username, roles: ['_admin'] } });
    expect((await call('/_all_dbs', { headers: { cookie }, anonymous: true })).status).toBe(200);
    expect((await login(username, 'wrong')).status).toBe(401);
    const out = await call('/_session', { method: 'DELETE', headers: { cookie }, anonymous: true });
    expect(out.headers.get('set-cookie')).toMatch(/^AuthSession=;/);
  });

  it('of a user give access according to the security object', async () => {
    const name = uniqueName('user');
    const id = `org.couchdb.user:${name}`;
    const user = { name, password: 'a pear', roles: ['fruit'], type: 'user' };
    const { body } = await put(`/_users/${id}`, user);
    expect(body).toMatchObject({ ok: true, id });
    const path = await newDatabase();
    const headers = { authorization: `Basic ${btoa(`${name}:a pear`)}` };
    const session = await call('/_session', { headers });
    expect(session.body['userCtx']).toEqual({ name, roles: ['fruit'] });
    expect(await call(path, { headers })).toMatchObject({
      status: 403,
      body: { error: 'forbidden' },
    });
    await put(`${path}/_security`, { members: { names: [], roles: ['fruit'] }, admins: {} });
    expect((await call(path, { headers })).status).toBe(200);
    expect((await put(`/${uniqueName()}`, undefined, headers)).status).toBe(401);
    await del(`/_users/${id}?rev=${String(body['rev'])}`);
  });
});

describe('databases', () => {
  it('have valid names, which may contain a slash', async () => {
    expect(await put('/Bad%20Name', undefined)).toMatchObject({
      status: 400,
      body: { error: 'illegal_database_name' },
    });
    const name = deleteAtEnd(`${uniqueName('a')}/b(+)$`);
    const path = `/${encodeURIComponent(name)}`;
    const made = await put(path, undefined);
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toContain('%2Fb');
    expect((await call(path)).body).toMatchObject({ db_name: name, doc_count: 0 });
    expect((await put(`${path}/a%2Fb`, { x: 1 })).body).toMatchObject({ id: 'a/b' });
    const names = (await call('/_all_dbs')).body as unknown as string[];
    expect(names).toContain(name);
    expect(names).toEqual([...names].sort((a, b) => (a < b ? -1 : 1)));
    expect((await put(path, undefined)).body).toMatchObject({ error: 'file_exists' });
    expect((await del(path)).status).toBe(200);
    expect(await del(path)).toMatchObject({ status: 404, body: { error: 'not_found' } });
  });

  it('return their information', async () => {
    const path = await newDatabase();
    const { body: gone } = await put(`${path}/gone`, {});
    await put(`${path}/here`, {});
    await del(`${path}/gone?rev=${String(gone['rev'])}`);
    expect((await call(path)).body).toMatchObject({
      doc_count: 1,
      doc_del_count: 1,
      update_seq: expect.stringMatching(/^3-/),
      purge_seq: expect.any(String),
      sizes: { file: expect.any(Number), active: expect.any(Number), external: expect.any(Number) },
      cluster: { q: expect.any(Number), n: 1, w: 1, r: 1 },
      compact_running: false,
      instance_start_time: expect.any(String),
      props: {},
    });
    expect(await call('/no-such-database/doc')).toMatchObject({
      status: 404,
      body: { error: 'not_found', reason: 'Database does not exist.' },
    });
  });

  it('are compacted and cleaned up', async () => {
    const path = await newDatabase();
    expect((await call(`${path}/_compact`, { method: 'POST' })).status).toBe(415);
    expect((await post(`${path}/_compact`, {})).status).toBe(202);
    expect((await post(`${path}/_compact/none`, {})).status).toBe(404);
    expect((await post(`${path}/_view_cleanup`, {})).status).toBe(202);
    expect((await post(`${path}/_ensure_full_commit`, {})).status).toBe(201);
    expect((await call(`${path}/_revs_limit`)).text.trim()).toBe('1000');
    expect((await put(`${path}/_revs_limit`, '5')).body).toEqual({ ok: true });
    expect((await call(`${path}/_revs_limit`)).text.trim()).toBe('5');
    expect((await call(`${path}/_security`)).body).toEqual({
      members: { roles: ['_admin'] },
      admins: { roles: ['_admin'] },
    });
    expect((await call(`${path}/_design/none/_info`)).status).toBe(404);
    await put(`${path}/_design/d`, { views: { v: { map: 'function (doc) { emit(doc._id); }' } } });
    expect((await call(`${path}/_design/d/_info`)).body).toMatchObject({
      name: 'd',
      view_index: { language: 'javascript', signature: expect.any(String) },
    });
    expect((await post(`${path}/_compact/d`, {})).status).toBe(202);
  });

  needs('purge')('purge a revision', async () => {
    const path = await newDatabase();
    const { body } = await put(`${path}/doc`, {});
    const { body: purged } = await post(`${path}/_purge`, { doc: [body['rev']] });
    expect(purged['purged']).toEqual({ doc: [body['rev']] });
  });
});

describe('documents', () => {
  it('start with _id and _rev, and have an ETag for conditional reads', async () => {
    const path = await newDatabase();
    const { body, headers, status } = await put(`${path}/doc`, { a: 1 });
    const rev = String(body['rev']);
    expect(status).toBe(201);
    expect(headers.get('etag')).toBe(`"${rev}"`);
    const read = await call(`${path}/doc`);
    expect(read.text).toBe(`{"_id":"doc","_rev":"${rev}","a":1}\n`);
    expect(read.headers.get('etag')).toBe(`"${rev}"`);
    const again = await call(`${path}/doc`, { headers: { 'if-none-match': `"${rev}"` } });
    expect([again.status, again.text]).toEqual([304, '']);
    expect((await call(`${path}/doc`, { method: 'HEAD' })).headers.get('etag')).toBe(`"${rev}"`);
  });

  it('are written only over the given revision, in the body, query or header', async () => {
    const path = await newDatabase();
    const { body } = await put(`${path}/doc`, {});
    const conflict = {
      status: 409,
      body: { error: 'conflict', reason: 'Document update conflict.' },
    };
    expect(await put(`${path}/doc`, {})).toMatchObject(conflict);
    expect(await del(`${path}/doc`)).toMatchObject(conflict);
    expect(await del(`${path}/doc`, { 'if-match': '"1-bb"' })).toMatchObject(conflict);
    const second = await put(`${path}/doc`, { b: 1 }, { 'if-match': String(body['rev']) });
    expect(second.status).toBe(201);
    const gone = await del(`${path}/doc`, { 'if-match': `"${String(second.body['rev'])}"` });
    expect(gone).toMatchObject({ status: 200, body: { ok: true, id: 'doc' } });
    expect((await call(`${path}/doc`)).body).toEqual({ error: 'not_found', reason: 'deleted' });
    expect((await call(`${path}/none`)).body).toEqual({ error: 'not_found', reason: 'missing' });
    expect((await del(`${path}/none`)).status).toBe(404);
  });

  it('are rejected if they are not objects', async () => {
    const path = await newDatabase();
    expect((await put(`${path}/doc`, { _foo: 1 })).body).toMatchObject({ error: 'doc_validation' });
    expect((await put(`${path}/doc`, '[]')).status).toBe(400);
    expect((await put(`${path}/doc`, '{bad')).status).toBe(400);
    expect((await put(`${path}/_doc`, {})).body).toMatchObject({ error: 'illegal_docid' });
    expect((await post(path, { _id: '_doc' })).body).toMatchObject({ error: 'illegal_docid' });
    expect((await put(`${path}/doc`, { _rev: 'zz' })).body).toMatchObject({ error: 'bad_request' });
    expect((await put(`${path}/doc`, { _id: 'other' })).body).toMatchObject({ id: 'doc' });
  });

  it('are posted as JSON, and with batch=ok without a revision', async () => {
    const path = await newDatabase();
    const plain = { 'content-type': 'text/plain' };
    for (const route of ['', '/_bulk_docs', '/_all_docs', '/_find', '/_changes']) {
      expect(await post(`${path}${route}`, '{}', plain)).toMatchObject({
        status: 415,
        body: { error: 'bad_content_type' },
      });
    }
    const { status, body } = await post(`${path}?batch=ok`, { _id: 'later' });
    expect([status, body]).toEqual([202, { ok: true, id: 'later' }]);
    expect((await post(path, {})).body['id']).toMatch(/^[0-9a-f]{32}$/);
  });

  it('are copied to an encoded id', async () => {
    const path = await newDatabase();
    await put(`${path}/doc`, { a: 1 });
    const copy = (destination: string): Promise<Answer> =>
      call(`${path}/doc`, { method: 'COPY', headers: { destination } });
    const { status, body, headers } = await copy('caf%C3%A9%2Fx');
    expect([status, body['id']]).toEqual([201, 'café/x']);
    expect(headers.get('etag')).toBe(`"${String(body['rev'])}"`);
    expect((await copy('caf%C3%A9%2Fx')).status).toBe(409);
    expect((await copy(`caf%C3%A9%2Fx?rev=${String(body['rev'])}`)).body['rev']).toMatch(/^2-/);
    expect((await call(`${path}/doc`, { method: 'COPY' })).status).toBe(400);
  });

  it('keep attachments byte for byte', async () => {
    const path = await newDatabase();
    const bytes = new Uint8Array([0, 255, 13, 10, 128]);
    const type = { 'content-type': 'application/x-bytes' };
    const { status, body } = await put(`${path}/doc/a%2Fb`, bytes, type);
    expect(status).toBe(201);
    const read = await rawFetch(`${path}/doc/a%2Fb`);
    expect([...new Uint8Array(await read.arrayBuffer())]).toEqual([...bytes]);
    expect(read.headers.get('content-type')).toBe('application/x-bytes');
    expect(read.headers.get('etag')).toMatch(/^"[\w+/]+=="$/);
    const absent = { status: 404, body: { reason: 'Document is missing attachment' } };
    expect(await call(`${path}/doc/none`)).toMatchObject(absent);
    expect(await del(`${path}/doc/none?rev=${String(body['rev'])}`)).toMatchObject(absent);
    expect((await put(`${path}/doc/a%2Fb`, bytes, type)).status).toBe(409);
    expect((await del(`${path}/doc/a%2Fb?rev=${String(body['rev'])}`)).status).toBe(200);
  });

  it('can be local', async () => {
    const path = await newDatabase();
    expect((await put(`${path}/_local/mark`, { n: 1 })).body).toMatchObject({ id: '_local/mark' });
    expect((await call(`${path}/_local/mark`)).body).toMatchObject({ _id: '_local/mark', n: 1 });
  });
});

it('answers cross-origin requests only with the cors option', async () => {
  const { headers } = await call('/', { headers: { origin: 'http://example.com' } });
  expect(headers.get('access-control-allow-origin')).toBeNull();
});
