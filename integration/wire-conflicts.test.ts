import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { fields } from 'corduroy';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';
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
];

describe('conflicts on the wire', () => {
  it.each(wire)('%s', (_, call, exchange) => expectExchange(stub, call, exchange));
});
