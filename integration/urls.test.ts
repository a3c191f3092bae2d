import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Couch, Database, NotFound } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, server, uniqueName } from './helpers/server.ts';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

describe('on the wire', () => {
  let stub: StubServer;
  beforeAll(async () => {
    stub = await startStub(({ url, body }, response) => {
      const named = decodeURIComponent(url?.replace('/prefix/db/', '') ?? '');
      const id = String(body) === '' ? named : JSON.parse(String(body))._id;
      response.end(JSON.stringify({ ok: true, _id: id, id, rev: '1-a' }));
    });
  });
  afterAll(() => stub.close());

  const asked = async (
    act: (couch: Couch) => Parameters<typeof firstValueFrom>[0],
  ): Promise<string> => {
    stub.requests.length = 0;
    await firstValueFrom(act(new Couch(`${stub.url}/prefix/`)));
    const [request] = stub.requests;
    return `${request?.method} ${request?.url}`;
  };

  it.each([
    ['a/b', 'a%2Fb'],
    ['a+b', 'a%2Bb'],
    ['a%2Fb', 'a%252Fb'],
    ['a?b#c', 'a%3Fb%23c'],
    ['a b', 'a%20b'],
    ['🌍', '%F0%9F%8C%8D'],
    ['_design/x/y', '_design/x%2Fy'],
    ['_local/x/y', '_local/x%2Fy'],
    ['x_local/y', 'x_local%2Fy'],
    ['...', '...'],
  ])('the id %s is asked for as %s', async (id, encoded) => {
    expect(await asked((couch) => couch.use('db').get(id))).toBe(`GET /prefix/db/${encoded}`);
  });

  it('sends the ids . and .. to the bulk endpoints, because no URL can contain them', async () => {
    expect(await asked((couch) => couch.use('db').save({ _id: '..' }))).toBe('POST /prefix/db');
    expect(await asked((couch) => couch.use('db').delete({ _id: '.', _rev: '1-a' }))).toBe(
      'POST /prefix/db',
    );
  });

  it('encodes a database name with a slash', async () => {
    expect(await asked((couch) => couch.use('a/b+c').exists())).toBe('HEAD /prefix/a%2Fb%2Bc');
  });

  it('encodes a view with special characters and falsy keys', async () => {
    stub.answer((_, response) => response.end('{"rows":[]}'));
    expect(
      await asked((couch) =>
        couch.use('db').view('d d/x?y', { key: 0, startKey: '', endKey: null }),
      ),
    ).toBe('GET /prefix/db/_design/d%20d/_view/x%3Fy?key=0&startkey=%22%22&endkey=null');
    expect(
      await asked((couch) =>
        couch.use('db').view('d/v', { key: false, stale: 'ok', groupLevel: 'exact' }),
      ),
    ).toBe('GET /prefix/db/_design/d/_view/v?key=false&stable=true&update=false&group=true');
  });
});

describe('the parts of a URL', () => {
  it('are read from the URL of a Database: server, name and credentials', () => {
    const db = new Database('https://ada:p%40ss@db.example:6984/couch/a%2Fb');
    expect([db.url, db.name]).toEqual(['https://db.example:6984/couch/a%2Fb', 'a/b']);
    expect(new Database('orders').url).toBe('http://127.0.0.1:5984/orders');
    expect(new Couch().url).toBe('http://127.0.0.1:5984');
  });

  it.each(['', 'Orders', '1st', 'a b', 'ä', '_Users', 'a.b', null, undefined, 7])(
    'refuses %p as a database name',
    (name) => {
      expect(() => new Couch().use(name as string)).toThrow(/The name of a database must begin/);
    },
  );

  it.each([
    ['', 'must be a string that is not empty (received "")'],
    ['_x', 'must not begin with an underscore'],
    ['_design/', 'must not begin with an underscore'],
    ['\ud800', 'must be well-formed Unicode'],
    [null, 'must be a string that is not empty (received null)'],
    [undefined, 'must be a string that is not empty (received undefined)'],
    [7, 'must be a string that is not empty (received 7)'],
  ])('refuses %p as an id', (id, why) => {
    expect(() => new Database('db').get(id as string)).toThrow(why);
  });
});

describe('every valid id of a document', () => {
  let db: Database;
  beforeAll(async () => {
    db = new Couch(server.authenticatedUrl).use(await createDatabase());
  });

  const roundTrip = async (id: string): Promise<void> => {
    const doc: { _id: string; _rev?: string; n: number } = { _id: id, n: 1 };
    await firstValueFrom(db.save(doc));
    expect(await firstValueFrom(db.get(id))).toEqual({ _id: id, _rev: doc._rev, n: 1 });
    expect(await firstValueFrom(db.get([id, 'absent']))).toEqual([
      { _id: id, _rev: doc._rev, n: 1 },
      null,
    ]);
    await firstValueFrom(db.delete(doc as { _id: string; _rev: string }));
    const gone = await firstValueFrom(db.get(id).status());
    expect(gone.error).toBe(NotFound);
    // The embedded server's bulk endpoint does not distinguish a deleted document from a missing one.
    if (!/^\.{1,2}$/.test(id)) expect((gone.exception as NotFound).deleted).toBe(true);
  };

  it.each([
    'a/b',
    'a+b c',
    '%',
    '%2F',
    '?x=1',
    '#',
    'a&b=c',
    '"\'',
    'é世🌍',
    '..a',
    ':',
    '_design/a+b',
    '~',
  ])('is saved, read alone and in a list, and deleted: %s', roundTrip);

  it('is saved, read and deleted: . and ..', async () => {
    await roundTrip('.');
    await roundTrip('..');
  });

  it('is saved, read and deleted: random text', async () => {
    const id = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 30 })
      // CouchDB refuses NUL, and reserves a leading underscore.
      .filter((text) => !text.startsWith('_') && !text.includes('\0') && !/^\.{1,2}$/.test(text))
      .map((text) => text);
    let count = 0;
    await fc.assert(
      fc.asyncProperty(id, async (text) => {
        const unique = `${text}${(count += 1)}`;
        await roundTrip(unique);
      }),
      { numRuns: 60 },
    );
    expect(count).toBeGreaterThanOrEqual(60);
  }, 30_000);

  it('is stored in a database with every permitted character in its name', async () => {
    const couch = new Couch(server.authenticatedUrl);
    const name = uniqueName('a/b_$()+');
    const created = await firstValueFrom(couch.create(name));
    await firstValueFrom(created.save({ _id: 'x' }));
    expect(await firstValueFrom(couch.allDbs())).toContain(name);
    expect(await firstValueFrom(created.info())).toMatchObject({ name, docCount: 1 });
    await firstValueFrom(couch.delete(name));
    expect(await firstValueFrom(created.exists())).toBe(false);
  });
});
