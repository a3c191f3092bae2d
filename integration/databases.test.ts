import { afterAll, describe, expect, it } from '@jest/globals';
import {
  ConnectionError,
  Couch,
  Database,
  NotFound,
  PreconditionFailed,
  TimeoutError,
  Unauthorized,
} from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { rawFetch, server, uniqueName } from './helpers/server.ts';
import { startStub } from './helpers/stub-server.ts';

const auth = [server.username, server.password] as const;
const couch = new Couch(server.url, { auth });
const made: string[] = [];
const fresh = (): string => {
  const name = uniqueName();
  made.push(name);
  return name;
};
afterAll(async () => {
  for (const name of made) await rawFetch(`/${name}`, { method: 'DELETE' });
});

const fails = async (source: Parameters<typeof firstValueFrom>[0]): Promise<unknown> =>
  firstValueFrom(source).then(
    () => 'it did not fail',
    (error: unknown) => error,
  );

describe('a server', () => {
  it('returns its version', async () => {
    expect(await firstValueFrom(couch.version())).toBe(server.version);
  });

  it('generates UUIDs, also more than one request allows', async () => {
    expect(await firstValueFrom(couch.uuids())).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
    const many = await firstValueFrom(couch.uuids(2500));
    expect(new Set(many).size).toBe(2500);
    for (const count of [0, -1, 1.5, Number.NaN, '3' as never]) {
      expect(() => couch.uuids(count)).toThrow(RangeError);
    }
  });

  it('lists databases, with options', async () => {
    const name = fresh();
    await firstValueFrom(couch.create(name));
    expect(await firstValueFrom(couch.allDbs())).toContain(name);
    expect(await firstValueFrom(couch.allDbs({ startKey: name, limit: 1 }))).toEqual([name]);
  });

  it('accepts credentials in the URL, percent-encoded, or in auth, as a pair or an object', async () => {
    for (const one of [
      new Couch(server.authenticatedUrl),
      new Couch(server.url, { auth: { username: server.username, password: server.password } }),
      new Couch(server.url, { auth }),
    ]) {
      expect(one.url).toBe(server.url);
      expect(await firstValueFrom(one.allDbs())).toBeInstanceOf(Array);
    }
  });

  it('errors with Unauthorized for wrong credentials', async () => {
    const stranger = new Couch(server.url, { auth: ['somebody-else', 'wrong-password'] });
    expect(await fails(stranger.allDbs())).toBeInstanceOf(Unauthorized);
  });

  it('errors with a ConnectionError if the port is closed', async () => {
    expect(await fails(new Couch('http://127.0.0.1:1').version())).toMatchObject({
      name: 'ConnectionError',
      code: 'ECONNREFUSED',
      transient: true,
      request: { method: 'GET', url: 'http://127.0.0.1:1/' },
    });
    expect(await fails(new Couch('http://no-such-host.invalid').version())).toBeInstanceOf(
      ConnectionError,
    );
  });

  it('errors with a TimeoutError if the server accepts and does not answer', async () => {
    const stub = await startStub(() => {});
    expect(await fails(new Couch(stub.url, { timeout: 30 }).version())).toBeInstanceOf(
      TimeoutError,
    );
    await stub.close();
  });

  it.each([
    ['no URL', () => new Couch('localhost:5984'), /must begin with http/],
    ['no URL at all', () => new Couch('nonsense'), /^Not a URL: "nonsense"/],
    ['a query', () => new Couch('http://h/?a=1'), /must not have a query/],
    ['a negative timeout', () => new Couch(undefined, { timeout: -1 }), /timeout must be/],
    ['NaN as timeout', () => new Couch(undefined, { timeout: Number.NaN }), /timeout must be/],
    ['no username', () => new Couch(undefined, { auth: ['', 'x'] }), /auth\.username must be/],
    [
      'no password',
      () => new Couch(undefined, { auth: { username: 'a' } as never }),
      /auth\.password must be/,
    ],
  ])('refuses %s', (_, attempt, why) => {
    expect(attempt).toThrow(why);
  });
});

describe('a database', () => {
  it('is created, found, described and deleted', async () => {
    const name = fresh();
    const db = await firstValueFrom(couch.create(name));
    expect(db).toBeInstanceOf(Database);
    expect(db.name).toBe(name);
    expect(await firstValueFrom(db.exists())).toBe(true);
    expect(await firstValueFrom(db.info())).toMatchObject({
      name,
      docCount: 0,
      deletedDocCount: 0,
      updateSeq: expect.any(String),
      sizes: { file: expect.any(Number), active: expect.any(Number), external: expect.any(Number) },
    });
    expect(await firstValueFrom(couch.delete(name))).toBe(true);
    expect(await firstValueFrom(db.exists())).toBe(false);
    expect(await fails(db.info())).toBeInstanceOf(NotFound);
    expect(await fails(couch.delete(name))).toBeInstanceOf(NotFound);
  });

  it('cannot be created twice', async () => {
    const name = fresh();
    await firstValueFrom(couch.create(name));
    expect(await fails(couch.create(name))).toBeInstanceOf(PreconditionFailed);
  });

  it('is opened, and created if it is missing and createIfMissing is set', async () => {
    const name = fresh();
    expect(await fails(couch.db(name))).toBeInstanceOf(NotFound);
    // Of two at the same moment, the second succeeds too.
    const both = [
      couch.db(name, { createIfMissing: true }),
      couch.db(name, { createIfMissing: true }),
    ];
    const opened = await Promise.all(both.map((one) => firstValueFrom(one)));
    expect(opened.map((db) => db.name)).toEqual([name, name]);
    expect((await firstValueFrom(couch.db(name))).name).toBe(name);
    expect((await firstValueFrom(couch.db(name).status())).code).toBe(200);
  });

  it('exists() errors if the server does not tell', async () => {
    const stranger = new Couch(server.url, { auth: ['somebody-else', 'wrong-password'] });
    expect(await fails(stranger.use('anything').exists())).toBeInstanceOf(Unauthorized);
  });

  it('by its full URL', async () => {
    const name = fresh();
    await firstValueFrom(couch.create(name));
    const db = new Database(`${server.authenticatedUrl}/${name}`);
    expect(await firstValueFrom(db.exists())).toBe(true);
    expect(db.url).toBe(`${server.url}/${name}`);
  });
});
