import { describe, expect, it } from '@jest/globals';
import { NotFound } from 'corduroy';
import { needs, uniqueName } from '../helpers/server.ts';
import { couch, failure, look, value } from './steps.ts';

describe('config', () => {
  const section = uniqueName('corduroy');
  const path = `${section}/spec` as const;

  it('gets all of it, a section, and a value', async () => {
    await value(couch.config(path, 'here'));
    const all = await value(couch.config());
    expect(all[section]).toEqual({ spec: 'here' });
    expect(await value(couch.config(section))).toEqual({ spec: 'here' });
    expect(await value(couch.config(path))).toBe('here');
  });

  it('sets a value, and emits the one before', async () => {
    const key = `${section}/set` as const;
    expect(await value(couch.config(key, 'first'))).toBe('');
    expect(await value(couch.config(key, 'second'))).toBe('first');
    expect(await value(couch.config(key))).toBe('second');
  });

  it.each([
    ['0', 0],
    ['false', false],
    ['', ''],
  ])('sets the falsy value %j', async (text, falsy) => {
    const key = `${section}/falsy` as const;
    await value(couch.config(key, 'something'));
    expect(await value(couch.config(key, falsy))).toBe('something');
    expect(await value(couch.config(key))).toBe(text);
  });

  it('sets several values of a section', async () => {
    const values = { one: 1, two: true };
    expect(await value(couch.config(uniqueSection(), values))).toEqual({ one: '', two: '' });
  });

  it('deletes a value, and emits it; after that it is NotFound', async () => {
    const key = `${section}/gone` as const;
    await value(couch.config(key, 'last'));
    expect(await value(couch.config(key, undefined, { delete: true }))).toBe('last');
    expect(await failure(couch.config(key))).toBeInstanceOf(NotFound);
    expect(await failure(couch.config(key, undefined, { delete: true }))).toBeInstanceOf(NotFound);
  });

  it('is of the node that is named', async () => {
    await value(couch.config(path, 'here', { node: '_local', persist: false }));
    expect(await value(couch.config(path, undefined, { node: '_local' }))).toBe('here');
    expect(await failure(couch.config(path, undefined, { node: 'nobody@nowhere' }))).toBeInstanceOf(
      NotFound,
    );
  });

  it('refuses to write what is no value, or not a value’s name', () => {
    expect(() => couch.config(path, Number.NaN)).toThrow(TypeError);
    expect(() => couch.config(section, 'x' as never)).toThrow(/section\/key/);
    expect(() => couch.config('')).toThrow(TypeError);
  });

  const uniqueSection = (): string => uniqueName('corduroy');
});

describe('stats', () => {
  it('are a tree', async () => {
    expect(await value(couch.stats())).toHaveProperty(['couchdb', 'httpd', 'requests', 'value']);
  });

  it.each(['couchdb/httpd/requests', 'httpd/requests'])('are found as %s', async (name) => {
    expect(await value(couch.stats(name))).toMatchObject({
      value: expect.any(Number),
      type: 'counter',
      desc: expect.any(String),
    });
  });

  it('errors with NotFound for a wrong name', async () => {
    expect(await failure(couch.stats('httpd/nonsense'))).toBeInstanceOf(NotFound);
    expect(await failure(couch.stats('nonsense'))).toBeInstanceOf(NotFound);
  });

  needs('statistics')('count', async () => {
    const read = async (): Promise<number> => Number((await value(couch.stats(REQUESTS)))['value']);
    const before = await read();
    await value(couch.version());
    expect(await read()).toBeGreaterThan(before);
  });
  const REQUESTS = 'httpd/requests';
});

describe('tasks, users, replicator and uuids', () => {
  it('tasks is the list of what is going on', async () => {
    expect(await value(couch.tasks())).toBeInstanceOf(Array);
  });

  it('users and replicator are databases', async () => {
    expect([couch.users.db.name, couch.replicator.name]).toEqual(['_users', '_replicator']);
    expect(await value(couch.users.db.exists())).toBe(true);
    expect(await value(couch.replicator.exists())).toBe(true);
  });

  it('a user is made, changed and deleted as a document', async () => {
    const name = uniqueName('user');
    const user = { _id: `org.couchdb.user:${name}`, name, password: 'x', roles: [], type: 'user' };
    const { resolved } = await value(couch.users.db.save(user));
    const saved = resolved.get(user._id);
    expect(saved?._rev).toMatch(/^1-/);
    const stored = await value(couch.users.db.get(user._id));
    // The server has made a hash of the password.
    expect(stored).not.toHaveProperty('password');
    expect(stored).toMatchObject({ name, derived_key: expect.any(String) });
    await value(couch.users.db.delete(stored));
    expect(await failure(couch.users.db.get(user._id))).toMatchObject({ deleted: true });
  });

  it('uuids makes as many as are asked for, more than the server makes at once as well', async () => {
    expect(await value(couch.uuids())).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(new Set(await value(couch.uuids(7))).size).toBe(7);
    expect(new Set(await value(couch.uuids(1_001))).size).toBe(1_001);
  });

  it('version is the server’s own', async () => {
    expect(await value(couch.version())).toBe((await look('/'))['version']);
  });
});
