import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, counter, fields, isConflict } from 'corduroy';
import type { Database, Merge } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubHandler, StubServer } from './helpers/stub-server.ts';
import { expectExchange } from './helpers/wire.ts';
import type { WireTable } from './helpers/wire.ts';

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());

const conflict = [{ id: 'a', error: 'conflict', reason: 'Document update conflict.' }];
const leaf = (rev: string, n: number): object => ({
  ok: { _id: 'a', _rev: rev, n, _revisions: { start: 2, ids: [rev.slice(2), 'r'] } },
});

/** A leaf with its ancestry, of which each revision has a letter: the latest first. */
const grown = (n: number, history: string): object => {
  const ids = Array.from(history);
  const _revisions = { start: ids.length, ids };
  return { ok: { _id: 'a', _rev: `${ids.length}-${ids[0]}`, n, _revisions } };
};
const fast = { backoff: { initialDelay: 1, maxDelay: 1 } };

const wire: WireTable = [
  [
    'db.save with merge refetches, and saves the merged document',
    (_, db) => db.save([{ _id: 'a', n: 1 }], { merge: (local, other) => ({ ...other, ...local }) }),
    {
      sends: [
        'POST /db/_bulk_docs {"docs":[{"_id":"a","n":1}]}',
        'POST /db/_all_docs?include_docs=true {"keys":["a"]}',
        'POST /db/_bulk_docs {"docs":[{"_id":"a","m":2,"n":1,"_rev":"1-x"}]}',
      ].join('\n'),
      answers: [
        conflict,
        { rows: [{ id: 'a', doc: { _id: 'a', _rev: '1-x', m: 2 } }] },
        [{ id: 'a', rev: '2-y' }],
      ],
    },
  ],
  [
    'db.save with a merge that adds an attachment',
    (_, db) =>
      db.save([{ _id: 'a', n: 1 }], {
        merge: (local) => ({
          ...local,
          _attachments: { 'new.txt': { content_type: 'text/plain', data: 'bmV3' } },
        }),
      }),
    {
      sends: [
        'POST /db/_bulk_docs {"docs":[{"_id":"a","n":1}]}',
        'POST /db/_all_docs?include_docs=true {"keys":["a"]}',
        'POST /db/_bulk_docs {"docs":[{"_id":"a","n":1,"_rev":"1-x","_attachments":' +
          '{"new.txt":{"content_type":"text/plain","data":"bmV3"},' +
          '"old.txt":{"content_type":"text/plain","stub":true,"digest":"md5-x"}}}]}',
      ].join('\n'),
      answers: [
        conflict,
        {
          rows: [
            {
              id: 'a',
              doc: {
                _id: 'a',
                _rev: '1-x',
                _attachments: {
                  'old.txt': { content_type: 'text/plain', stub: true, digest: 'md5-x' },
                },
              },
            },
          ],
        },
        [{ id: 'a', rev: '2-y' }],
      ],
    },
  ],
  [
    'db.save with a merge that needs the common ancestor',
    (_, db) => db.save([{ _id: 'a', _rev: '1-x', n: 1 }], { merge: fields() }),
    {
      sends: [
        'POST /db/_bulk_docs {"docs":[{"_id":"a","_rev":"1-x","n":1}]}',
        'POST /db/_bulk_get {"docs":[{"id":"a"},{"id":"a","rev":"1-x"}]}',
        'POST /db/_bulk_docs {"docs":[{"n":1,"m":2,"_id":"a","_rev":"2-y"}]}',
      ].join('\n'),
      answers: [
        conflict,
        {
          results: [
            { id: 'a', docs: [{ ok: { _id: 'a', _rev: '2-y', n: 0, m: 2 } }] },
            { id: 'a', docs: [{ ok: { _id: 'a', _rev: '1-x', n: 0 } }] },
          ],
        },
        [{ id: 'a', rev: '3-z' }],
      ],
    },
  ],
  [
    'db.upsert',
    (_, db) => db.upsert('a', (doc) => ({ ...doc, n: 2 })),
    {
      sends: 'GET /db/a\nPUT /db/a {"_id":"a","n":2,"_rev":"1-x"}',
      answers: [
        { _id: 'a', _rev: '1-x', n: 1 },
        { ok: true, id: 'a', rev: '2-y' },
      ],
      emits: { _id: 'a', _rev: '2-y', n: 2 },
    },
  ],
  [
    'db.upsert of many',
    (_, db) => db.upsert(['a', 'b', 'a'], (doc) => ({ ...doc, n: 2 })),
    {
      sends: [
        'POST /db/_all_docs?include_docs=true {"keys":["a","b"]}',
        'POST /db/_bulk_docs {"docs":[{"_id":"a","n":2,"_rev":"1-x"},{"n":2,"_id":"b"}]}',
      ].join('\n'),
      answers: [
        {
          rows: [
            { id: 'a', doc: { _id: 'a', _rev: '1-x' } },
            { key: 'b', error: 'not_found' },
          ],
        },
        [
          { id: 'a', rev: '2-y' },
          { id: 'b', rev: '1-z' },
        ],
      ],
    },
  ],
  [
    'db.revs.leaves',
    (_, db) => db.revs.leaves('a'),
    {
      sends: 'GET /db/a?open_revs=all&revs=true',
      answers: [[leaf('2-x', 1), leaf('2-y', 2), { missing: '1-z' }]],
    },
  ],
  [
    'db.revs.resolveLeaves writes the merge, and then deletes the losers',
    (_, db) => db.revs.resolveLeaves('a', (local) => ({ n: 9, kept: local['n'] })),
    {
      sends: [
        'GET /db/a?open_revs=all&revs=true',
        'PUT /db/a {"n":9,"kept":2,"_id":"a","_rev":"2-y"}',
        'POST /db/_bulk_docs {"docs":[{"_id":"a","_rev":"2-x","_deleted":true}]}',
      ].join('\n'),
      answers: [
        [leaf('2-x', 1), leaf('2-y', 2)],
        { ok: true, id: 'a', rev: '3-z' },
        [{ id: 'a', rev: '3-g' }],
      ],
      emits: { _id: 'a', _rev: '3-z', n: 9, kept: 2 },
    },
  ],
  [
    'db.revs.resolveLeaves adds only the news of losers that it merged in an earlier round',
    (_, db) => db.revs.resolveLeaves('a', fields(counter), fast),
    {
      sends: [
        'GET /db/a?open_revs=all&revs=true',
        'GET /db/a?rev=1-r',
        'GET /db/a?rev=1-r',
        // Of the losers, one added 1 and one 2. Another client extends the first one, so that it stays.
        'PUT /db/a {"n":13,"_id":"a","_rev":"2-w"}',
        'POST /db/_bulk_docs {"docs":[{"_id":"a","_rev":"2-l","_deleted":true},{"_id":"a","_rev":"2-k","_deleted":true}]}',
        'GET /db/a?open_revs=all&revs=true',
        // It added 3 more.
        'PUT /db/a {"n":16,"_id":"a","_rev":"3-x"}',
        'POST /db/_bulk_docs {"docs":[{"_id":"a","_rev":"3-m","_deleted":true}]}',
        'GET /db/a?open_revs=all&revs=true',
        // It added 1 more, and an edit of the second loser added 2.
        'PUT /db/a {"n":19,"_id":"a","_rev":"4-y"}',
        'POST /db/_bulk_docs {"docs":[{"_id":"a","_rev":"4-n","_deleted":true},{"_id":"a","_rev":"3-q","_deleted":true}]}',
      ].join('\n'),
      answers: [
        [grown(10, 'wr'), grown(11, 'lr'), grown(12, 'kr')],
        { _id: 'a', _rev: '1-r', n: 10 },
        { _id: 'a', _rev: '1-r', n: 10 },
        { ok: true, id: 'a', rev: '3-x' },
        [...conflict, { ok: true, id: 'a', rev: '3-d' }],
        [grown(13, 'xwr'), grown(14, 'mlr')],
        { ok: true, id: 'a', rev: '4-y' },
        conflict,
        [grown(16, 'yxwr'), grown(15, 'nmlr'), grown(14, 'qkr')],
        { ok: true, id: 'a', rev: '5-z' },
        [
          { ok: true, id: 'a', rev: '5-d' },
          { ok: true, id: 'a', rev: '4-d' },
        ],
      ],
      emits: { _id: 'a', _rev: '5-z', n: 19 },
    },
  ],
];

describe('conflicts on the wire', () => {
  it.each(wire)('%s', (_, call, exchange) => expectExchange(stub, call, exchange));
});

describe('attempts', () => {
  /** A server on which each write conflicts. */
  const contested: StubHandler = (request, response) => {
    const { method, url } = request;
    if (url.includes('open_revs')) return json([leaf('2-x', 1), leaf('2-y', 2)])(request, response);
    if (url.endsWith('_all_docs?include_docs=true'))
      return json({ rows: [{ id: 'a', doc: { _id: 'a', _rev: '1-x' } }] })(request, response);
    if (url.endsWith('_bulk_docs')) return json(conflict)(request, response);
    if (method === 'GET') return json({ _id: 'a', _rev: '1-x' })(request, response);
    return json({ error: 'conflict', reason: 'Document update conflict.' }, 409)(request, response);
  };
  const outcome = (source: Observable<unknown>): Promise<unknown> =>
    firstValueFrom(source).catch((error: unknown) => error);
  const db = (): Database => new Couch(stub.url).use('db');
  const merge: Merge = (local) => ({ ...local, merged: true });

  it.each<[string, (attempts: number) => Observable<unknown>, RegExp]>([
    [
      'upsert',
      (attempts) => db().upsert('a', (doc) => ({ ...doc, n: 2 }), { attempts, ...fast }),
      /^PUT/,
    ],
    ['save', (attempts) => db().save({ _id: 'a', n: 1 }, { merge, attempts }), /_bulk_docs$/],
    [
      'revs.resolveLeaves, of which another client changes the winner',
      (attempts) => db().revs.resolveLeaves('a', merge, { attempts, ...fast }),
      /^PUT/,
    ],
  ])('are as many writes as `attempts` allows, and then a Conflict: %s', async (_, call, write) => {
    for (const attempts of [1, 3]) {
      stub.requests.length = 0;
      stub.answer(contested);
      expect(isConflict(await outcome(call(attempts)))).toBe(true);
      const sent = stub.requests.map(({ method, url }) => `${method} ${url}`);
      expect(sent.filter((line) => write.test(line))).toHaveLength(attempts);
    }
  });

  it('are as many rounds as `attempts` allows, and then a Conflict, if losers cannot be deleted', async () => {
    stub.requests.length = 0;
    stub.answer((request, response) => {
      if (request.method === 'PUT') json({ ok: true, id: 'a', rev: '3-z' })(request, response);
      else contested(request, response);
    });
    const options = { attempts: 2, ...fast };
    const error = await outcome(db().revs.resolveLeaves('a', merge, options));
    expect(isConflict(error)).toBe(true);
    const sent = stub.requests.map(({ method, url }) => `${method} ${url}`);
    expect(sent.filter((line) => line.endsWith('_bulk_docs'))).toHaveLength(2);
  });
});
