import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom, forkJoin, map } from 'rxjs';
import type { Observable } from 'rxjs';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// Coalesced reads and writes: the requests, and the result of each subscriber.

let stub: StubServer;
let couch: Couch;
let db: Database;
beforeAll(async () => {
  stub = await startStub();
  couch = new Couch(stub.url, { coalesce: true, auth: ['ada', 'secret'], retry: false });
  db = couch.use('db');
});
afterAll(() => stub.close());
beforeEach(() => {
  stub.requests.length = 0;
});

const sent = (): string[] =>
  stub.requests.map(
    ({ method, url, body }) => `${method} ${url}${body.length > 0 ? ` ${body.toString()}` : ''}`,
  );
/** Resolves to the result or the error of each call, as text. */
const all = (calls: readonly Observable<unknown>[]): Promise<string[]> =>
  Promise.all(
    calls.map((call) =>
      firstValueFrom(call.pipe(map((value) => JSON.stringify(value)))).catch((error: Error) =>
        `${error.name}: ${error.message}`.replaceAll(stub.url, ''),
      ),
    ),
  );
const saved = (doc: { _id?: string }, options = {}): Observable<unknown> =>
  db.save(doc, options).pipe(map(() => doc));

describe('reads', () => {
  it('become one _bulk_get, with a separate result or error for each', async () => {
    stub.answer(
      json({
        results: [
          { id: 'a', docs: [{ ok: { _id: 'a', _rev: '1-a' } }] },
          {
            id: 'b',
            docs: [{ error: { id: 'b', rev: 'undefined', error: 'not_found', reason: 'missing' } }],
          },
          { id: 'c', docs: [{ ok: { _id: 'c', _rev: '2-c', _deleted: true } }] },
          {
            id: 'd',
            docs: [
              { ok: { _id: 'd', _rev: '9-z', _deleted: true } },
              { ok: { _id: 'd', _rev: '2-a', n: 1 } },
              { ok: { _id: 'd', _rev: '2-b', n: 2 } },
            ],
          },
          { id: 'e', docs: [{ error: { id: 'e', error: 'forbidden', reason: 'not secret' } }] },
          { id: 'a', docs: [{ ok: { _id: 'a', _rev: '1-a' } }] },
          { id: 'f', docs: [{}] },
        ],
      }),
    );
    const ids = ['a', 'b', 'c', 'd', 'e', 'a', 'f'];
    // Several `Database` objects of one database share a batch.
    expect(await all(ids.map((id) => couch.use('db').get(id)))).toEqual([
      '{"_id":"a","_rev":"1-a"}',
      'NotFound: GET /db/b: 404 not_found: missing',
      'NotFound: GET /db/c: 404 not_found: deleted',
      '{"_id":"d","_rev":"2-b","n":2}',
      expect.stringMatching(/^Forbidden: GET \/db\/e: 403 forbidden: not (?!secret)/),
      '{"_id":"a","_rev":"1-a"}',
      'NotFound: GET /db/f: 404 not_found: missing',
    ]);
    expect(sent()).toEqual([
      `POST /db/_bulk_get ${JSON.stringify({ docs: ids.map((id) => ({ id })) })}`,
    ]);
  });

  it('share no objects, and have a status each', async () => {
    const ok = { id: 'a', docs: [{ ok: { _id: 'a', _rev: '1-a' } }] };
    stub.answer(json({ results: [ok, ok, { id: 'b', docs: [] }] }));
    const [one, two] = await firstValueFrom(
      forkJoin([db.get('a'), db.get('a'), db.get('b').status()]),
    );
    expect(one).toEqual(two);
    expect(one).not.toBe(two);
    const [, , status] = await firstValueFrom(
      forkJoin([db.get('a'), db.get('a'), db.get('b').status()]),
    );
    expect(status).toMatchObject({ ok: false, code: 404 });
  });

  it('stay single with options, for design and local documents, and for other databases', async () => {
    stub.answer((_, response) => response.end('{"_id":"x","_rev":"1-a"}'));
    await all([
      db.get('a', { conflicts: true }),
      db.get('b'),
      db.get('_design/d'),
      couch.use('other').get('c'),
      couch.use('db', { coalesce: false }).get('d'),
    ]);
    expect(sent().sort()).toEqual([
      'GET /db/_design/d',
      'GET /db/a?conflicts=true',
      'GET /db/b',
      'GET /db/d',
      'GET /other/c',
    ]);
  });

  it.each([404, 405, 501])('are sent one by one if _bulk_get answers %d', async (status) => {
    stub.answer(({ method, url }, response) => {
      if (method === 'POST') response.writeHead(status).end('{"error":"x","reason":"y"}');
      else if (url === '/db/a') response.end('{"_id":"a","_rev":"1-a"}');
      else response.writeHead(404).end('{"error":"not_found","reason":"missing"}');
    });
    expect(await all([db.get('a'), db.get('b')])).toEqual([
      '{"_id":"a","_rev":"1-a"}',
      'NotFound: GET /db/b: 404 not_found: missing',
    ]);
  });

  it.each([401, 429, 500])('all error if the common response is %d', async (status) => {
    stub.answer((_, response) => response.writeHead(status).end('{"error":"x","reason":"y"}'));
    for (const failure of await all([db.get('a'), db.get('b')])) {
      expect(failure).toContain(`POST /db/_bulk_get: ${status}`);
    }
    expect(stub.requests).toHaveLength(1);
  });

  it('all error if the common response has another format', async () => {
    stub.answer(json({ results: [] }));
    for (const failure of await all([db.get('a'), db.get('b')])) {
      expect(failure).toMatch(/^ProtocolError/);
    }
  });
});

describe('writes', () => {
  it('become one _bulk_docs, with a separate result or error for each', async () => {
    stub.answer(
      json(
        [
          { ok: true, id: 'a', rev: '1-a' },
          { id: 'b', error: 'conflict', reason: 'Document update conflict.' },
          { id: 'c', error: 'forbidden', reason: 'no' },
        ],
        201,
      ),
    );
    expect(await all([saved({ _id: 'a' }), saved({ _id: 'b' }), saved({ _id: 'c' })])).toEqual([
      '{"_id":"a","_rev":"1-a"}',
      'Conflict: PUT /db/b: 409 conflict: Document update conflict.',
      'Forbidden: PUT /db/c: 403 forbidden: no',
    ]);
    expect(sent()).toEqual(['POST /db/_bulk_docs {"docs":[{"_id":"a"},{"_id":"b"},{"_id":"c"}]}']);
    expect(stub.requests[0]?.headers['content-type']).toBe('application/json');
  });

  it('have a resolution for a conflict', async () => {
    stub.answer(
      json([
        { ok: true, id: 'a', rev: '1-a' },
        { id: 'b', error: 'conflict', reason: 'x' },
      ]),
    );
    const [, failure] = await Promise.allSettled([
      firstValueFrom(db.save({ _id: 'a' })),
      firstValueFrom(db.save({ _id: 'b' })),
    ]);
    expect(failure).toMatchObject({ reason: { name: 'Conflict', resolution: expect.anything() } });
  });

  it('stay single with options, with attachments, and for design documents', async () => {
    stub.answer((_, response) => response.writeHead(201).end('{"ok":true,"id":"x","rev":"1-a"}'));
    const _attachments = { f: { content_type: 'text/plain', data: '' } };
    await all([
      saved({ _id: 'a' }),
      saved({ _id: 'b' }, { w: 2 }),
      saved({ _id: 'c' }, { batch: 'ok' }),
      saved({ _id: '_design/d' }),
      db.save({ _id: 'e', _attachments }),
    ]);
    expect(sent().map((line) => line.replace(/ \{.*/, ''))).toEqual(
      expect.arrayContaining([
        'PUT /db/a',
        'PUT /db/b?w=2',
        'PUT /db/c?batch=ok',
        'PUT /db/_design/d',
        'PUT /db/e',
      ]),
    );
  });

  it.each([400, 413])(
    'are sent one by one if one of them makes CouchDB refuse all with %d',
    async (status) => {
      stub.answer(({ method, url }, response) => {
        if (method === 'POST' || url === '/db/b')
          response.writeHead(status).end('{"error":"x","reason":"y"}');
        else response.end('{"ok":true,"id":"a","rev":"1-a"}');
      });
      expect(await all([saved({ _id: 'a' }), saved({ _id: 'b' })])).toEqual([
        '{"_id":"a","_rev":"1-a"}',
        expect.stringContaining(`PUT /db/b: ${status} x: y`),
      ]);
    },
  );
});

describe('an invalid option', () => {
  it.each([
    ['unknown', { wait: 1 }],
    ['a bad wait', { maxWait: -1 }],
    ['a bad size', { maxSize: 0 }],
    ['a bad flag', { reads: 1 }],
    ['a string', 'yes'],
  ])('throws when the Couch and the Database are made: %s', (_, coalesce) => {
    expect(() => new Couch(stub.url, { coalesce: coalesce as never })).toThrow(/^coalesce/);
    expect(() => couch.use('db', { coalesce: coalesce as never })).toThrow(/^coalesce/);
  });
});
