import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, isProtocolError } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// A proxy that decodes and encodes paths sends a request to another document: `a+b` becomes `a b`.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());

type Call = (couch: Couch, db: Database) => Observable<unknown>;

const USER = 'org.couchdb.user:';
const user = { name: 'a+b', roles: [], type: 'user' };

/** Each row: the call, the id that it sends, and the id in the answer. */
const calls: [name: string, call: Call, sent: string, received: string][] = [
  ['copy', (_, db) => db.copy('x', 'a+b'), 'a+b', 'a b'],
  ['revisions', (_, db) => db.revisions('a+b'), 'a+b', 'a b'],
  ['putAttachment', (_, db) => db.putAttachment({ _id: 'a+b' }, 'x', 'f'), 'a+b', 'a b'],
  [
    'deleteAttachment',
    (_, db) => db.deleteAttachment({ _id: 'a//b', _rev: '1-x' }, 'f'),
    'a//b',
    'a/b',
  ],
  ['local.get', (_, db) => db.local.get('a+b'), '_local/a+b', '_local/a b'],
  ['local.save', (_, db) => db.local.save({ _id: 'a+b' }), '_local/a+b', '_local/a b'],
  ['local.delete', (_, db) => db.local.delete('a+b'), '_local/a+b', '_local/a b'],
  ['local.copy', (_, db) => db.local.copy('x', '_local/a+b'), '_local/a+b', '_local/a b'],
  [
    'designs.save',
    (_, db) => db.designs.save({ _id: '_design/a+b' }),
    '_design/a+b',
    '_design/a b',
  ],
  ['designs.copy', (_, db) => db.designs.copy('x', 'a+b'), '_design/a+b', '_design/a b'],
  [
    'designs.deploy',
    (_, db) => db.designs.deploy({ _id: '_design/a+b' }),
    '_design/a+b',
    '_design/a b',
  ],
  ['users.get', (couch) => couch.users.get('a+b'), `${USER}a+b`, `${USER}a b`],
  ['users.create', (couch) => couch.users.create('a+b', 'secret'), `${USER}a+b`, `${USER}a b`],
  ['users.save', (couch) => couch.users.save(user), `${USER}a+b`, `${USER}a b`],
  ['users.setRoles', (couch) => couch.users.setRoles('a+b', []), `${USER}a+b`, `${USER}a b`],
  ['users.delete', (couch) => couch.users.delete('a+b'), `${USER}a+b`, `${USER}a b`],
];

describe('an answer about another document', () => {
  it.each(calls)(
    'is a ProtocolError of %s, which names both ids',
    async (_, call, sent, received) => {
      const revisions = { _revisions: { start: 1, ids: ['x'] } };
      stub.answer(
        json({
          ok: true,
          id: received,
          rev: '1-x',
          _id: received,
          _rev: '1-x',
          ...user,
          ...revisions,
        }),
      );
      const couch = new Couch(stub.url);
      const error: unknown = await firstValueFrom(call(couch, couch.use('db'))).catch(
        (e: unknown) => e,
      );
      expect(isProtocolError(error)).toBe(true);
      expect((error as Error).message).toContain(
        `${JSON.stringify(sent)} was sent, and ${JSON.stringify(received)} was answered: a proxy`,
      );
    },
  );

  it.each(calls)('is accepted by %s if the ids are equal', async (_, call, sent) => {
    const revisions = { _revisions: { start: 1, ids: ['x'] } };
    stub.answer(
      json({ ok: true, id: sent, rev: '1-x', _id: sent, _rev: '1-x', ...user, ...revisions }),
    );
    const couch = new Couch(stub.url);
    const accepted = await firstValueFrom(call(couch, couch.use('db')));
    expect(JSON.stringify(accepted)).toMatch(/^true$|1-x/);
  });

  it('leaves the document alone, so that the next save does not overwrite another one', async () => {
    stub.answer(json({ ok: true, id: 'a b', rev: '1-x' }));
    const doc = { _id: 'a+b' };
    const db = new Couch(stub.url).use('db');
    await expect(firstValueFrom(db.putAttachment(doc, 'x', 'f'))).rejects.toThrow('a proxy');
    expect(doc).toEqual({ _id: 'a+b' });
  });
});
