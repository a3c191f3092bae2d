import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Conflict, Couch, NotFound, fetchTransport, gotTransport } from 'corduroy';
import type { Database, Transport } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { createDatabase, needs, server } from './helpers/server.ts';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The answers of show, list and update functions: any status, any type, any bytes.

const first = <T>(source: Observable<T>): Promise<T> => firstValueFrom(source);
const BYTES = [0, 255, 254, 128, 10];

const DESIGN = {
  _id: '_design/d',
  language: 'javascript',
  views: { all: { map: 'function (doc) { emit(doc._id, 1); }' } },
  shows: {
    empty: 'function () { return ""; }',
    nothing: 'function () {}',
    bytes: `function () { return { base64: '${Buffer.from(BYTES).toString('base64')}' }; }`,
    image: `function () {
      return { headers: { 'Content-Type': 'image/png' }, base64: '${Buffer.from(BYTES).toString('base64')}' };
    }`,
    away: "function () { return { code: 302, headers: { Location: '/_up' }, body: 'elsewhere' }; }",
    accepts: 'function (doc, req) { return req.headers.Accept + " " + req.headers["X-Tenant"]; }',
  },
  lists: {
    accepts: 'function (head, req) { send(req.headers.Accept); }',
    unlabelled: 'function () { var n = 0; while (getRow()) n += 1; return n + " rows"; }',
  },
  updates: {
    away: `function (doc, req) {
      return [{ _id: req.id || req.uuid, n: 1 },
              { code: 302, headers: { Location: '/_session' }, body: 'written' }];
    }`,
    refuse: "function (doc) { return [doc, { code: 409, body: 'but written' }]; }",
    fail: "function () { return [null, { code: 404, body: 'no such pet' }]; }",
  },
} as const;

describe.each<[string, () => Transport]>([
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
  ['undiciTransport', undiciTransport],
])('functions of a design document, over %s', (_, transport) => {
  let db: Database;
  beforeAll(async () => {
    const couch = new Couch(server.authenticatedUrl, { transport: transport() });
    db = couch.use(await createDatabase());
    await first(db.save([{ _id: 'x' }, { _id: 'y' }, { ...DESIGN }]));
  });

  it('receive the headers of the caller', async () => {
    const headers = { Accept: 'text/plain', 'X-Tenant': 'a' };
    const shown = await first(db.show('d/accepts', 'x', {}, { headers }));
    expect(shown.body).toBe('text/plain a');
    const listed = await first(db.list('d/accepts', 'all', { limit: 1 }, {}, { headers }));
    expect(listed.body).toBe('text/plain');
    const call = (options: object): unknown => db.show('d/accepts', 'x', {}, options);
    expect(() => call({ header: {} })).toThrow(/^show: unknown option 'header'; did you mean/);
    expect(() => call({ headers: { 'a b': 'c' } })).toThrow(/^show: headers: the name of a header/);
    expect(() => call({ headers: { a: 5 } })).toThrow(/^show: headers: a must be a string/);
  });

  it('answer with a redirect, which is not followed, and the document is written', async () => {
    const status = await first(db.update('d/away', 'made').status());
    expect(status).toMatchObject({
      ok: true,
      code: 302,
      value: { id: 'made', rev: expect.stringMatching(/^1-/), body: 'written' },
    });
    expect(status.headers['location']).toMatch(/\/_session$/);
    expect(await first(db.get('made'))).toMatchObject({ n: 1 });
    expect(await first(db.update('d/away'))).toMatchObject({ rev: expect.any(String) });
  });

  it('answer with the redirect of a show', async () => {
    const { headers, body } = await first(db.show('d/away', 'x'));
    expect(headers['location']).toMatch(/\/_up$/);
    expect(body).toBe('elsewhere');
  });

  it('answer with the status that an update chose, if it wrote a document', async () => {
    const status = await first(db.update('d/refuse', 'x').status());
    expect(status).toMatchObject({ ok: true, code: 409, value: { id: 'x', body: 'but written' } });
    const { rev } = await first(db.update('d/refuse', 'x'));
    expect((await first(db.get('x')))._rev).toBe(rev);
  });

  it('error with an error status if they wrote nothing', async () => {
    const error = await first(db.update('d/fail', 'x')).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(NotFound);
    expect(error).toMatchObject({ reason: 'no such pet' });
    await expect(first(db.update('d/missing', 'x'))).rejects.toBeInstanceOf(NotFound);
    await expect(first(db.show('other/show'))).rejects.toBeInstanceOf(NotFound);
  });

  it('answer with text that is labelled as JSON', async () => {
    expect((await first(db.list('d/unlabelled', 'all', { keys: ['x', 'y'] }))).body).toBe('2 rows');
    expect(
      await first(db.list('d/unlabelled', 'all', { keys: ['x', 'y'] }).status()),
    ).toMatchObject({
      ok: true,
      value: { body: '2 rows' },
    });
    expect((await first(db.show('d/empty'))).body).toBe('');
    expect(typeof (await first(db.show('d/nothing'))).body).toBe('string');
  });

  it('answer with bytes', async () => {
    for (const name of ['d/bytes', 'd/image']) {
      const { body } = await first(db.show(name));
      expect(body).toBeInstanceOf(Uint8Array);
      expect([...(body as Uint8Array)]).toEqual(BYTES);
    }
  });
});

describe('the body of a function', () => {
  let stub: StubServer;
  beforeAll(async () => {
    stub = await startStub();
  });
  afterAll(() => stub.close());
  beforeEach(() => {
    stub.requests.length = 0;
  });

  it.each([
    ['application/json', '{"a":1}', { a: 1 }],
    ['application/problem+json; charset=utf-8', '[1]', [1]],
    ['application/json', 'no JSON', 'no JSON'],
    ['application/json', '', ''],
    ['text/html', '{"a":1}', '{"a":1}'],
    ['application/atom+xml', '<feed/>', '<feed/>'],
    ['application/x-thing; charset=UTF-8', 'é', 'é'],
    ['application/binary', 'é', new TextEncoder().encode('é')],
    ['text/plain', new Uint8Array([0xe9]), new Uint8Array([0xe9])],
    ['application/json', new Uint8Array([0xff]), new Uint8Array([0xff])],
  ])('of type %s is decoded from %j', async (type, sent, decoded) => {
    stub.answer((_, response) => response.setHeader('content-type', type).end(sent));
    const { body } = await first(new Couch(stub.url).use('db').show('d/f'));
    expect(body instanceof Uint8Array ? [...body] : body).toEqual(
      decoded instanceof Uint8Array ? [...decoded] : decoded,
    );
  });

  it.each([409, 403, 500])('of status %d without a new revision is an error', async (status) => {
    stub.answer((_, response) => response.writeHead(status).end('{}'));
    const update = new Couch(stub.url).use('db').update('d/f', 'a');
    await expect(first(update)).rejects.toMatchObject({ status });
    if (status === 409) await expect(first(update)).rejects.toBeInstanceOf(Conflict);
  });
});

describe('a design document whose name contains a slash', () => {
  needs('design-names')('is reached by the last slash of a name', async () => {
    const db = new Couch(server.authenticatedUrl).use(await createDatabase());
    await first(db.save([{ _id: 'x' }, { ...DESIGN, _id: '_design/a/b' }]));
    expect((await first(db.view('a/b/all'))).rows.map(({ id }) => id)).toContain('x');
    expect((await first(db.show('a/b/empty'))).body).toBe('');
    await first(db.save({ ...DESIGN, _id: '_design/e' }));
    expect((await first(db.list('e/unlabelled', 'a/b/all'))).body).toBe('1 rows');
    expect(await first(db.update('a/b/away', 'new'))).toMatchObject({ id: 'new' });
  });
});
