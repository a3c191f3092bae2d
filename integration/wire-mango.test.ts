import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';
import { expectExchange } from './helpers/wire.ts';
import type { WireTable } from './helpers/wire.ts';

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());

const nothing = { docs: [], bookmark: 'nil' };
const allDocs = {
  ddoc: null,
  name: '_all_docs',
  type: 'special',
  def: { fields: [{ _id: 'asc' }] },
};
const byYear = {
  ddoc: '_design/i',
  name: 'by-year',
  type: 'json',
  partitioned: false,
  def: { fields: [{ year: 'asc' }], partial_filter_selector: { kept: true } },
};
const decodedAllDocs = {
  ddoc: null,
  name: '_all_docs',
  type: 'special',
  partitioned: null,
  fields: [{ _id: 'asc' }],
  partialFilterSelector: null,
  def: allDocs.def,
};
const decodedByYear = {
  ddoc: '_design/i',
  name: 'by-year',
  type: 'json',
  partitioned: false,
  fields: [{ year: 'asc' }],
  partialFilterSelector: { kept: true },
  def: byYear.def,
};

const wire: WireTable = [
  [
    'db.find',
    (_, db) => db.find({ selector: { year: { $gt: 2000 } } }),
    {
      sends: 'POST /db/_find {"selector":{"year":{"$gt":2000}}}',
      answers: [{ docs: [{ _id: 'a' }], bookmark: 'b', warning: 'slow' }],
      emits: { docs: [{ _id: 'a' }], bookmark: 'b', warning: 'slow', executionStats: null },
    },
  ],
  [
    'db.find with every option',
    (_, db) =>
      db.find({
        selector: {},
        fields: ['a', 'b.c'],
        sort: ['a', { b: 'asc' }],
        limit: 0,
        skip: 1,
        bookmark: 'x',
        useIndex: ['d', 'i'],
        allowFallback: false,
        conflicts: true,
        update: false,
        stable: true,
        r: 2,
        executionStats: true,
      }),
    {
      sends:
        'POST /db/_find {"selector":{},"fields":["a","b.c"],"sort":["a",{"b":"asc"}],"limit":0,"skip":1,' +
        '"bookmark":"x","use_index":["d","i"],"allow_fallback":false,"conflicts":true,"update":false,' +
        '"stable":true,"r":2,"execution_stats":true}',
      answers: [
        {
          ...nothing,
          execution_stats: {
            total_keys_examined: 1,
            total_docs_examined: 2,
            total_quorum_docs_examined: 3,
            results_returned: 4,
            execution_time_ms: 5.5,
          },
        },
      ],
      emits: {
        docs: [],
        bookmark: null,
        warning: null,
        executionStats: {
          totalKeysExamined: 1,
          totalDocsExamined: 2,
          totalQuorumDocsExamined: 3,
          resultsReturned: 4,
          executionTimeMs: 5.5,
        },
      },
    },
  ],
  [
    'db.explain',
    (_, db) => db.indexes.explain({ selector: { year: 1 }, limit: 2 }),
    {
      sends: 'POST /db/_explain {"selector":{"year":1},"limit":2}',
      answers: [
        {
          dbname: 'db',
          index: byYear,
          partitioned: false,
          selector: { year: { $eq: 1 } },
          opts: { limit: 2 },
          limit: 2,
          skip: 0,
          fields: [],
          mrargs: { reduce: false },
          covering: false,
          index_candidates: [
            {
              index: allDocs,
              analysis: {
                usable: true,
                reasons: [{ name: 'unfavored_type' }],
                ranking: 1,
                covering: null,
              },
            },
          ],
          selector_hints: [{ type: 'json', indexable_fields: ['year'] }],
        },
      ],
      emits: {
        index: decodedByYear,
        covering: false,
        selector: { year: { $eq: 1 } },
        fields: [],
        limit: 2,
        skip: 0,
        opts: { limit: 2 },
        mrargs: { reduce: false },
        indexCandidates: [
          { index: decodedAllDocs, usable: true, reasons: ['unfavored_type'], covering: null },
        ],
        selectorHints: [{ type: 'json', indexable_fields: ['year'] }],
      },
    },
  ],
  [
    'db.indexes.list',
    (_, db) => db.indexes.list(),
    {
      sends: 'GET /db/_index',
      answers: [{ total_rows: 2, indexes: [allDocs, byYear] }],
      emits: [decodedAllDocs, decodedByYear],
    },
  ],
  [
    'db.indexes.list, a part',
    (_, db) => db.indexes.list({ limit: 1, skip: 2 }),
    {
      sends: 'GET /db/_index?limit=1&skip=2',
      answers: [{ total_rows: 2, indexes: [] }],
      emits: [],
    },
  ],
  [
    'db.indexes.create',
    (_, db) =>
      db.indexes.create({
        fields: ['a', { b: 'asc' }],
        name: 'n',
        ddoc: 'd',
        type: 'json',
        partitioned: false,
        partialFilterSelector: { kept: true },
        w: 1,
      }),
    {
      sends:
        'POST /db/_index {"index":{"fields":["a",{"b":"asc"}],"partial_filter_selector":{"kept":true}},' +
        '"name":"n","ddoc":"d","type":"json","partitioned":false,"w":1}',
      answers: [{ result: 'created', id: '_design/d', name: 'n' }],
      emits: { created: true, ddoc: '_design/d', name: 'n' },
    },
  ],
  [
    'db.indexes.create for text',
    (_, db) =>
      db.indexes.create({
        type: 'nouveau',
        fields: [{ name: 'a', type: 'string' }],
        defaultAnalyzer: 'german',
        defaultField: { enabled: true },
        indexArrayLengths: false,
      }),
    {
      sends:
        'POST /db/_index {"index":{"fields":[{"name":"a","type":"string"}],"default_analyzer":"german",' +
        '"default_field":{"enabled":true},"index_array_lengths":false},"type":"nouveau"}',
      answers: [{ result: 'exists', id: '_design/d', name: 'n' }],
      emits: { created: false, ddoc: '_design/d', name: 'n' },
    },
  ],
  [
    'db.indexes.delete',
    (_, db) => db.indexes.delete({ ddoc: '_design/d/e', name: 'a b' }, { w: 2 }),
    {
      sends: 'DELETE /db/_index/_design/d%2Fe/json/a%20b?w=2',
      answers: [{ ok: true }],
      emits: true,
    },
  ],
  [
    'db.indexes.deleteMany',
    (_, db) => db.indexes.deleteMany(['d', '_design/e'], { w: 2 }),
    {
      sends: 'POST /db/_index/_bulk_delete {"docids":["d","_design/e"],"w":2}',
      answers: [
        {
          success: [{ id: '_design/d', ok: true }],
          fail: [{ id: '_design/e', error: 'not_found' }],
        },
      ],
      emits: { deleted: ['_design/d'], failed: [{ ddoc: '_design/e', error: 'not_found' }] },
    },
  ],
];

describe('Mango on the wire', () => {
  it.each(wire)('%s', (_, call, exchange) => expectExchange(stub, call, exchange));

  it('reads the query again at each subscription', async () => {
    const query = { selector: { n: 1 }, limit: 5 };
    const sent = (n: number, limit: number): string =>
      `POST /db/_find {"selector":{"n":${n}},"limit":${limit}}`;
    await expectExchange(
      stub,
      (_, db) => {
        const found = db.find(query);
        query.limit = 6;
        query.selector.n = 2;
        return found;
      },
      { sends: sent(2, 6), answers: [nothing] },
    );
    expect(stub.requests).toHaveLength(1);
  });
});
