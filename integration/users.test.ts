import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { User } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { json, startStub } from './helpers/stub-server.ts';
import { rawFetch, server, uniqueName } from './helpers/server.ts';
import { basicAuth } from './helpers/running-server.ts';

const couch = new Couch(server.authenticatedUrl);
const first = <T>(source: Observable<T>): Promise<T> => firstValueFrom(source);

beforeAll(async () => {
  await rawFetch('/_users', { method: 'PUT' });
});

/** Logs in without the library, and returns the status. */
async function statusOfLogin(name: string, password: string): Promise<number> {
  const authorization = basicAuth(name, password);
  const answer = await rawFetch('/_session', { anonymous: true, headers: { authorization } });
  return answer.status;
}

describe('the user that a write emits', () => {
  it.each<[string, (name: string) => Observable<User>]>([
    ['users.create', (name) => couch.users.create(name, 'last')],
    ['users.changePassword', (name) => couch.users.changePassword(name, 'last')],
    ['users.setRoles', (name) => couch.users.setRoles(name, ['a'])],
    [
      'users.save',
      (name) => couch.users.save({ name, roles: [], type: 'user', password: 'last', note: 1 }),
    ],
  ])('by %s is the one that the server has', async (method, write) => {
    const name = uniqueName('user');
    if (method !== 'users.create' && method !== 'users.save')
      await first(couch.users.create(name, 'first'));
    const emitted = await first(write(name));
    const stored = await rawFetch(`/_users/org.couchdb.user:${name}`);
    expect(emitted).toEqual(await stored.json());
    expect(emitted).not.toHaveProperty('password');
  });

  it('can be saved again after users.create, and the password stays', async () => {
    const name = uniqueName('user');
    const created = await first(couch.users.create(name, 'secret'));
    const saved = await first(couch.users.save({ ...created, shift: 'night' }));
    expect(saved).toMatchObject({ shift: 'night' });
    expect(await statusOfLogin(name, 'secret')).toBe(200);
    await first(couch.users.save({ ...saved, shift: 'day' }));
    expect(await statusOfLogin(name, 'secret')).toBe(200);
  });

  it('can be saved again after users.changePassword, and the old password stays invalid', async () => {
    const name = uniqueName('user');
    await first(couch.users.create(name, 'old'));
    const changed = await first(couch.users.changePassword(name, 'new'));
    await first(couch.users.save({ ...changed, shift: 'night' }));
    expect(await statusOfLogin(name, 'new')).toBe(200);
    expect(await statusOfLogin(name, 'old')).toBe(401);
  });

  it('cannot be saved if the connection may not read it, so that the password is not lost', async () => {
    const stub = await startStub((request, response) => {
      const written = { ok: true, id: 'org.couchdb.user:eve', rev: '1-x' };
      if (request.method === 'PUT') json(written, 201)(request, response);
      else json({ error: 'forbidden', reason: 'no' }, 403)(request, response);
    });
    const created = await first(new Couch(stub.url).users.create('eve', 'secret'));
    await stub.close();
    expect(created).toEqual({
      _id: 'org.couchdb.user:eve',
      _rev: '',
      name: 'eve',
      roles: [],
      type: 'user',
    });
    const name = uniqueName('user');
    const { _rev: _known, ...unread } = await first(couch.users.create(name, 'secret'));
    await expect(first(couch.users.save({ ...unread, _rev: '' }))).rejects.toMatchObject({
      name: expect.stringMatching(/BadRequest|Conflict/),
    });
    expect(await statusOfLogin(name, 'secret')).toBe(200);
  });

  it('of another account does not replace the credentials of the connection', async () => {
    const stub = await startStub((request, response) => {
      const stored = { _id: 'org.couchdb.user:ada', _rev: '1-x', name: 'ada', roles: [] };
      json({ ...stored, ok: true, id: stored._id, rev: '1-x' })(request, response);
    });
    const asAda = new Couch(stub.url, { auth: ['ada', 'server'] });
    await first(asAda.users.create('ada', 'other'));
    await first(asAda.request({ path: '/_up' }));
    await stub.close();
    expect(stub.requests.map(({ url, headers }) => `${url} ${headers.authorization}`)).toEqual(
      ['/_users/org.couchdb.user%3Aada', '/_users/org.couchdb.user%3Aada', '/_up'].map(
        (url) => `${url} ${basicAuth('ada', 'server')}`,
      ),
    );
  });

  it('is read with the new password, if users.save changes that of the connection', async () => {
    const name = uniqueName('user');
    const created = await first(couch.users.create(name, 'first'));
    await first(couch.users.save({ ...created, password: 'second' }));
    expect(await statusOfLogin(name, 'second')).toBe(200);
    const seen: string[] = [];
    const stub = await startStub((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
      const stored = { _id: 'org.couchdb.user:ada', _rev: '1-x', name: 'ada', roles: [] };
      json({ ...stored, ok: true, id: stored._id, rev: '1-x' })(request, response);
    });
    const asAda = new Couch(stub.url, { auth: ['ada', 'old'] });
    await first(asAda.users.save({ name: 'ada', roles: [], type: 'user', password: 'new' }));
    await stub.close();
    const path = '/_users/org.couchdb.user%3Aada';
    expect(seen).toEqual([
      `PUT ${path} ${basicAuth('ada', 'old')}`,
      `GET /_session ${basicAuth('ada', 'new')}`,
      `GET ${path} ${basicAuth('ada', 'new')}`,
    ]);
  });

  it('is read again after a transient error', async () => {
    let reads = 0;
    const stored = { _id: 'org.couchdb.user:eve', _rev: '1-x', name: 'eve', roles: [], salt: 's' };
    const stub = await startStub((request, response) => {
      if (request.method === 'PUT')
        json({ ok: true, id: stored._id, rev: '1-x' }, 201)(request, response);
      else json(stored, (reads += 1) === 1 ? 503 : 200)(request, response);
    });
    const status = await first(new Couch(stub.url).users.create('eve', 'secret').status());
    await stub.close();
    expect(status).toMatchObject({ ok: true, code: 201, value: stored });
    expect(reads).toBe(2);
  });
});
