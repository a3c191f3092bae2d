import { describe, expect, it } from '@jest/globals';
import {
  Conflict,
  ConnectionError,
  Couch,
  Database,
  HTTPError,
  isConnectionError,
  NotFound,
  PreconditionFailed,
  ServerError,
  Unauthorized,
} from 'corduroy';
import { deleteAtEnd, server, uniqueName } from '../helpers/server.ts';
import { startStub } from '../helpers/stub-server.ts';
import { couch, emptyDatabase, failure, value } from './steps.ts';

const credentials = [server.username, server.password] as const;

describe('a server', () => {
  it('that is unreachable is a typed error', async () => {
    const error = await failure(new Couch('http://127.0.0.1:1').version());
    expect(error).toBeInstanceOf(ConnectionError);
    expect(isConnectionError(error) && error.code).toBe('ECONNREFUSED');
    expect(error).not.toBeInstanceOf(HTTPError);
  });

  it('is given by URL, with credentials in it or beside it', async () => {
    const ways = [new Couch(server.authenticatedUrl), new Couch(server.url, { auth: credentials })];
    for (const way of ways) {
      expect(await value(way.version())).toBe(server.version);
      expect(await value(way.allDbs())).toBeInstanceOf(Array);
      expect(String(way)).toBe(`<Couch: ${server.url}>`);
    }
  });

  it('is the default one when no URL is given', () => {
    expect(new Couch().url).toBe('http://127.0.0.1:5984');
    expect(new Database('pets').url).toBe('http://127.0.0.1:5984/pets');
    expect(() => new Couch('no url')).toThrow(TypeError);
  });

  it('takes fullCommit, which has no effect on 3.x', async () => {
    const patient = new Couch(server.authenticatedUrl, { fullCommit: false });
    expect(await value(patient.version())).toBe(server.version);
  });

  it('answers 401 with Unauthorized', async () => {
    const stranger = new Couch(server.url, { auth: ['nobody', 'not the password'] });
    expect(await failure(stranger.allDbs())).toBeInstanceOf(Unauthorized);
  });
});

describe('databases', () => {
  it('are created, listed, found and deleted', async () => {
    const name = deleteAtEnd(uniqueName());
    const made = await value(couch.create(name));
    expect(made).toBeInstanceOf(Database);
    expect(await value(couch.allDbs())).toContain(name);
    expect(await value(made.exists())).toBe(true);
    expect(await value((await value(couch.db(name))).info())).toMatchObject({ name, docCount: 0 });
    expect(await value(couch.delete(name))).toBe(true);
    expect(await value(couch.allDbs())).not.toContain(name);
    expect(await value(made.exists())).toBe(false);
  });

  it('are created if missing, when that is asked for', async () => {
    const name = deleteAtEnd(uniqueName());
    expect(await failure(couch.db(name))).toBeInstanceOf(NotFound);
    const first = await value(couch.db(name, { createIfMissing: true }));
    const again = await value(couch.db(name, { createIfMissing: true }));
    expect([first.name, again.name]).toEqual([name, name]);
  });

  it('are given by full URL, with credentials in it or beside it', async () => {
    const { name } = await emptyDatabase();
    const ways = [
      new Database(`${server.authenticatedUrl}/${name}`),
      new Database(`${server.url}/${name}`, { auth: credentials }),
      new Couch(server.url, { auth: credentials }).use(name),
    ];
    for (const way of ways) expect(await value(way.info())).toMatchObject({ name });
  });

  it('have names with slashes and plus signs in them', async () => {
    const name = deleteAtEnd(`${uniqueName()}/a+b$(c)`);
    await value(couch.create(name));
    expect(await value(couch.use(name).exists())).toBe(true);
    expect(await value(couch.allDbs())).toContain(name);
    for (const wrong of ['Capital', '1st', '', 'a,b', 'a b']) {
      expect(() => couch.use(wrong)).toThrow(TypeError);
    }
  });
});

describe('404, 412, 409 and 500 go to the right classes', () => {
  it('NotFound', async () => {
    const name = uniqueName();
    expect(await failure(couch.delete(name))).toBeInstanceOf(NotFound);
    expect(await failure(couch.use(name).info())).toBeInstanceOf(NotFound);
    expect(await failure((await emptyDatabase()).get('nobody'))).toBeInstanceOf(NotFound);
  });

  it('PreconditionFailed', async () => {
    const { name } = await emptyDatabase();
    expect(await failure(couch.create(name))).toBeInstanceOf(PreconditionFailed);
  });

  it('Conflict', async () => {
    const db = await emptyDatabase();
    await value(db.save({ _id: 'one' }));
    expect(await failure(db.save({ _id: 'one' }))).toBeInstanceOf(Conflict);
  });

  it('ServerError', async () => {
    const stub = await startStub((_, response) => {
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end('{"error":"unknown_error","reason":"function_clause"}');
    });
    const error = await failure(new Couch(stub.url).version());
    expect(error).toBeInstanceOf(ServerError);
    expect(error).toMatchObject({ status: 500, reason: 'function_clause' });
    await stub.close();
  });

  it('and all of them are an HTTPError, which status() gives as a value', async () => {
    const missing = (await emptyDatabase()).get('nobody');
    expect(await failure(missing)).toBeInstanceOf(HTTPError);
    const status = await value(missing.status());
    expect(status).toMatchObject({ ok: false, code: 404, value: null });
    expect(status.error).toBe(NotFound);
    expect(status.exception).toBeInstanceOf(NotFound);
    expect(status.headers['content-type']).toMatch(/^application\/json/);
  });
});
