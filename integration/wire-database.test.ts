import type { Database } from 'corduroy';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, designDocument } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';
import { expectExchange } from './helpers/wire.ts';
import type { WireTable } from './helpers/wire.ts';

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());

const listed = { id: 'a', key: 'a', value: { rev: '1-x' } };
const rows = { total_rows: 1, offset: 0, rows: [listed] };
const row = { id: 'a', key: 'a', value: { rev: '1-x' }, doc: null, error: null };
const written = { ok: true, id: '_design/d', rev: '2-y' };
const hit = { id: 'a', order: [1], fields: { n: 1 } };
const decodedHit = { id: 'a', order: [1], fields: { n: 1 }, doc: null };
const saved = { pending: new Map() };

const wire: WireTable = [
  // Documents
  [
    'db.revs.open',
    (_, db) => db.revs.open('a/b', ['1-x', '1-y'], { revs: true, latest: true }),
    {
      sends: 'GET /db/a%2Fb?open_revs=%5B%221-x%22%2C%221-y%22%5D&revs=true&latest=true',
      answers: [[{ ok: { _id: 'a/b', _rev: '1-x' } }, { missing: '1-y' }]],
      emits: [
        { ok: true, id: 'a/b', rev: '1-x', doc: { _id: 'a/b', _rev: '1-x' } },
        { ok: false, id: 'a/b', rev: '1-y', error: 'not_found', reason: 'missing' },
      ],
    },
  ],
  [
    'db.revs.open of newer attachments',
    (_, db) => db.revs.open('a', ['1-x'], { attachments: true, attsSince: ['1-y'] }),
    {
      sends: 'GET /db/a?open_revs=%5B%221-x%22%5D&attachments=true&atts_since=%5B%221-y%22%5D',
      answers: [[]],
      emits: [],
    },
  ],
  [
    'db.revs.open of all',
    (_, db) => db.revs.open('a', 'all'),
    { sends: 'GET /db/a?open_revs=all', answers: [[]], emits: [] },
  ],
  [
    'db.revs.bulkGet',
    (_, db) =>
      db.revs.bulkGet(['a', { id: 'b', rev: '1-x', attsSince: ['1-w'] }], {
        revs: true,
        attachments: true,
      }),
    {
      sends:
        'POST /db/_bulk_get?revs=true&attachments=true ' +
        '{"docs":[{"id":"a"},{"id":"b","rev":"1-x","atts_since":["1-w"]}]}',
      answers: [
        {
          results: [
            { id: 'a', docs: [{ ok: { _id: 'a', _rev: '1-x' } }] },
            {
              id: 'b',
              docs: [{ error: { id: 'b', rev: '1-x', error: 'not_found', reason: 'missing' } }],
            },
            {
              id: 'c',
              docs: [{ error: { id: 'c', rev: 'undefined', error: 'x', reason: 'y' } }],
            },
          ],
        },
      ],
      emits: [
        { id: 'a', revisions: [{ ok: true, id: 'a', rev: '1-x', doc: { _id: 'a', _rev: '1-x' } }] },
        {
          id: 'b',
          revisions: [{ ok: false, id: 'b', rev: '1-x', error: 'not_found', reason: 'missing' }],
        },
        { id: 'c', revisions: [{ ok: false, id: 'c', rev: null, error: 'x', reason: 'y' }] },
      ],
    },
  ],
  [
    'db.revs.current',
    (_, db) => db.revs.current('a/b'),
    { sends: 'HEAD /db/a%2Fb', headers: { etag: '"1-x"' }, emits: '1-x' },
  ],
  [
    'db.revs.diff',
    (_, db) => db.revs.diff({ a: ['1-x', '2-y'] }),
    {
      sends: 'POST /db/_revs_diff {"a":["1-x","2-y"]}',
      answers: [{ a: { missing: ['2-y'], possible_ancestors: ['1-x'] }, b: { missing: ['1-z'] } }],
      emits: new Map([
        ['a', { missing: ['2-y'], possibleAncestors: ['1-x'] }],
        ['b', { missing: ['1-z'], possibleAncestors: [] }],
      ]),
    },
  ],
  [
    'db.revs.missing',
    (_, db) => db.revs.missing(new Map([['a', ['1-x']]])),
    {
      sends: 'POST /db/_missing_revs {"a":["1-x"]}',
      answers: [{ missing_revs: { a: ['1-x'] } }],
      emits: new Map([['a', ['1-x']]]),
    },
  ],
  [
    'db.save of one document with newEdits: false',
    (_, db) => db.save({ _id: 'a', _rev: '2-y', n: 1 }, { newEdits: false }),
    {
      sends: 'PUT /db/a?new_edits=false {"_id":"a","_rev":"2-y","n":1}',
      answers: [{ ok: true, id: 'a', rev: '2-y' }],
      contains: saved,
    },
  ],
  [
    'db.save of two revisions of a document with newEdits: false, of which one is refused',
    (_, db) =>
      db.save(
        [
          { _id: 'a', _rev: '2-x' },
          { _id: 'a', _rev: '2-y' },
        ],
        { newEdits: false },
      ),
    {
      sends:
        'POST /db/_bulk_docs {"new_edits":false,"docs":[{"_id":"a","_rev":"2-x"},{"_id":"a","_rev":"2-y"}]}',
      answers: [[{ id: 'a', rev: '2-y', error: 'forbidden', reason: 'no' }]],
      contains: {
        resolved: new Map([['a', { _id: 'a', _rev: '2-x' }]]),
        pending: new Map([
          ['a', { doc: { _id: 'a', _rev: '2-y' }, error: 'forbidden', reason: 'no' }],
        ]),
      },
    },
  ],
  [
    'db.save of many documents with newEdits: false',
    (_, db) =>
      db.save(
        [
          { _id: 'a', _rev: '2-y' },
          { _id: 'b', _rev: '1-b' },
        ],
        { newEdits: false },
      ),
    {
      sends:
        'POST /db/_bulk_docs {"new_edits":false,"docs":[{"_id":"a","_rev":"2-y"},{"_id":"b","_rev":"1-b"}]}',
      answers: [[{ id: 'b', rev: '1-b', error: 'forbidden', reason: 'no' }]],
      contains: {
        resolved: new Map([['a', { _id: 'a', _rev: '2-y' }]]),
        pending: new Map([
          ['b', { doc: { _id: 'b', _rev: '1-b' }, error: 'forbidden', reason: 'no' }],
        ]),
      },
    },
  ],
  [
    'db.get with attsSince',
    (_, db) => db.get('a', { attachments: true, attsSince: ['1-x'] }),
    {
      sends: 'GET /db/a?attachments=true&atts_since=%5B%221-x%22%5D',
      answers: [{ _id: 'a', _rev: '2-y' }],
    },
  ],
  [
    'db.getAttachment.info',
    (_, db) => db.getAttachment({ _id: 'a' }, 'f/g', { rev: '1-x' }).info(),
    {
      sends: 'HEAD /db/a/f%2Fg?rev=1-x',
      headers: {
        'content-type': 'image/png',
        'content-length': '7',
        'content-md5': 'abc==',
        'accept-ranges': 'bytes',
      },
      emits: { contentType: 'image/png', length: 7, digest: 'md5-abc==', acceptsRanges: true },
    },
  ],
  // Local documents
  [
    'db.local.get',
    (_, db) => db.local.get('a/b'),
    {
      sends: 'GET /db/_local/a%2Fb',
      answers: [{ _id: '_local/a/b', _rev: '0-1', n: 1 }],
      emits: { _id: '_local/a/b', _rev: '0-1', n: 1 },
    },
  ],
  [
    'db.local.save',
    (_, db) => db.local.save({ _id: 'a', _rev: '0-1', n: 1 }),
    {
      sends: 'PUT /db/_local/a {"_id":"_local/a","_rev":"0-1","n":1}',
      answers: [{ ok: true, id: '_local/a', rev: '0-2' }],
      emits: { id: '_local/a', rev: '0-2' },
    },
  ],
  [
    'db.local.delete',
    (_, db) => db.local.delete('_local/a'),
    {
      sends: 'DELETE /db/_local/a',
      answers: [{ ok: true, id: '_local/a', rev: '0-0' }],
      emits: { id: '_local/a', rev: '0-0' },
    },
  ],
  [
    'db.local.copy',
    (_, db) => db.local.copy('a', 'b/c'),
    {
      sends: 'COPY /db/_local/a → _local%2Fb%2Fc',
      answers: [{ ok: true, id: '_local/b/c', rev: '0-1' }],
    },
  ],
  [
    'db.local.list',
    (_, db) => db.local.list({ startKey: '_local/a', limit: 1 }),
    {
      sends: 'GET /db/_local_docs?startkey=%22_local%2Fa%22&limit=1',
      answers: [{ total_rows: null, offset: null, rows: [listed] }],
      emits: expect.objectContaining({ rows: [row], totalRows: null }),
    },
  ],
  [
    'db.local.list by ids',
    (_, db) => db.local.list({ keys: ['_local/a'] }),
    { sends: 'POST /db/_local_docs {"keys":["_local/a"]}', answers: [rows] },
  ],
  // Listings
  [
    'db.allDocs',
    (_, db) => db.allDocs({ startKey: 'a', inclusiveEnd: false, endKey: 'b', descending: true }),
    {
      sends:
        'GET /db/_all_docs?startkey=%22a%22&inclusive_end=false&endkey=%22b%22&descending=true',
      answers: [rows],
      emits: expect.objectContaining({ rows: [row], totalRows: 1 }),
    },
  ],
  [
    'db.allDocs by ids',
    (_, db) => db.allDocs({ keys: ['a', 'b'], includeDocs: true }),
    {
      sends: 'POST /db/_all_docs?include_docs=true {"keys":["a","b"]}',
      answers: [{ ...rows, rows: [listed, { key: 'b', error: 'not_found' }] }],
      emits: expect.objectContaining({
        rows: [row, { id: null, key: 'b', value: null, doc: null, error: 'not_found' }],
      }),
    },
  ],
  [
    'db.designs.list',
    (_, db) => db.designs.list({ includeDocs: true }),
    { sends: 'GET /db/_design_docs?include_docs=true', answers: [rows] },
  ],
  [
    'db.viewQueries',
    (_, db) =>
      db.viewQueries('d/v', [
        { key: 0, reduce: false },
        { keys: [null], groupLevel: 'exact', stale: 'ok' },
        { startKey: 1, endKeyDocId: 'a', groupLevel: 2 },
      ]),
    {
      sends:
        'POST /db/_design/d/_view/v/queries {"queries":[{"key":0,"reduce":false},' +
        '{"keys":[null],"stable":true,"update":false,"group":true},' +
        '{"startkey":1,"endkey_docid":"a","group_level":2}]}',
      answers: [{ results: [rows, { rows: [{ key: null, value: 3 }] }, rows] }],
      emits: [
        expect.objectContaining({ rows: [row] }),
        expect.objectContaining({
          rows: [{ id: null, key: null, value: 3, doc: null, error: null }],
          totalRows: null,
        }),
        expect.objectContaining({ rows: [row] }),
      ],
    },
  ],
  [
    'db.viewQueries of all documents',
    (_, db) => db.viewQueries('_all_docs', [{ limit: 1 }]),
    {
      sends: 'POST /db/_all_docs/queries {"queries":[{"limit":1}]}',
      answers: [{ results: [rows] }],
    },
  ],
  [
    'db.viewQueries of design documents',
    (_, db) => db.viewQueries('_design_docs', []),
    {
      sends: 'POST /db/_design_docs/queries {"queries":[]}',
      answers: [{ results: [] }],
      emits: [],
    },
  ],
  [
    'db.viewQueries of local documents',
    (_, db) => db.viewQueries('_local_docs', []),
    { sends: 'POST /db/_local_docs/queries {"queries":[]}', answers: [{ results: [] }], emits: [] },
  ],
  // Partitions
  [
    'db.partition.info',
    (_, db) => db.partition('a/b').info(),
    {
      sends: 'GET /db/_partition/a%2Fb',
      answers: [
        {
          db_name: 'db',
          partition: 'a/b',
          doc_count: 2,
          doc_del_count: 1,
          sizes: { active: 3, external: 4 },
        },
      ],
      emits: {
        key: 'a/b',
        docCount: 2,
        deletedDocCount: 1,
        sizes: { active: 3, external: 4 },
      },
    },
  ],
  [
    'db.partition.allDocs',
    (_, db) => db.partition('p').allDocs({ limit: 1 }),
    { sends: 'GET /db/_partition/p/_all_docs?limit=1', answers: [rows] },
  ],
  [
    'db.partition.view',
    (_, db) => db.partition('p').view('d/v', { keys: [1] }),
    { sends: 'POST /db/_partition/p/_design/d/_view/v {"keys":[1]}', answers: [rows] },
  ],
  [
    'db.partition.find',
    (_, db) => db.partition('p').find({ selector: {} }),
    { sends: 'POST /db/_partition/p/_find {"selector":{}}', answers: [{ docs: [] }] },
  ],
  [
    'db.partition.explain',
    (_, db) => db.partition('p').explain({ selector: {} }),
    {
      sends: 'POST /db/_partition/p/_explain {"selector":{}}',
      answers: [{ index: { name: 'i', type: 'json', def: {} }, selector: {}, opts: {} }],
    },
  ],
  [
    'db.partition.search',
    (_, db) => db.partition('p').search('d/i', { q: 'x' }),
    {
      sends: 'POST /db/_partition/p/_design/d/_search/i {"q":"x"}',
      answers: [{ total_rows: 0, bookmark: 'b', rows: [] }],
    },
  ],
  [
    'db.partition.nouveau',
    (_, db) => db.partition('p').nouveau('d/i', { q: 'x' }),
    {
      sends: 'POST /db/_partition/p/_design/d/_nouveau/i {"q":"x"}',
      answers: [{ total_hits: 0, total_hits_relation: 'EQUAL_TO', hits: [] }],
    },
  ],
  // Search
  [
    'db.search',
    (_, db) =>
      db.search('d/i', {
        q: 'title:a',
        limit: 2,
        bookmark: 'b',
        sort: ['-n<number>'],
        includeDocs: true,
        includeFields: ['n'],
        counts: ['n'],
        ranges: { n: { few: '[0 TO 1]' } },
        drilldown: [['n', 'x']],
        highlightFields: ['n'],
        highlightPreTag: '<b>',
        highlightNumber: 2,
        stale: 'ok',
      }),
    {
      sends:
        'POST /db/_design/d/_search/i {"q":"title:a","limit":2,"bookmark":"b","sort":["-n<number>"],' +
        '"include_docs":true,"include_fields":["n"],"counts":["n"],"ranges":{"n":{"few":"[0 TO 1]"}},' +
        '"drilldown":[["n","x"]],"highlight_fields":["n"],"highlight_pre_tag":"<b>","highlight_number":2,' +
        '"stale":"ok"}',
      answers: [
        {
          total_rows: 1,
          bookmark: 'c',
          rows: [{ ...hit, doc: { _id: 'a' }, highlights: { n: ['<b>x'] } }],
          counts: { n: { x: 1 } },
          ranges: { n: { few: 1 } },
        },
      ],
      emits: {
        totalRows: 1,
        bookmark: 'c',
        rows: [{ ...decodedHit, doc: { _id: 'a' }, highlights: { n: ['<b>x'] } }],
        groups: null,
        counts: { n: { x: 1 } },
        ranges: { n: { few: 1 } },
      },
    },
  ],
  [
    'db.search in groups',
    (_, db) => db.search('d/i', { q: 'a', groupField: 'n', groupLimit: 1, groupSort: '-n' }),
    {
      sends:
        'POST /db/_design/d/_search/i {"q":"a","group_field":"n","group_limit":1,"group_sort":"-n"}',
      answers: [{ total_rows: 1, groups: [{ by: 'x', total_rows: 1, rows: [hit] }] }],
      emits: {
        totalRows: 1,
        bookmark: null,
        rows: [],
        groups: [{ by: 'x', totalRows: 1, rows: [{ ...decodedHit, highlights: null }] }],
        counts: null,
        ranges: null,
      },
    },
  ],
  [
    'db.search.info',
    (_, db) => db.search.info('d/i'),
    {
      sends: 'GET /db/_design/d/_search_info/i',
      answers: [{ name: '_design/d/i', search_index: { doc_count: 1 } }],
      emits: { name: '_design/d/i', searchIndex: { doc_count: 1 } },
    },
  ],
  [
    'db.search.diskSize',
    (_, db) => db.search.diskSize('d/i'),
    {
      sends: 'GET /db/_design/d/_search_disk_size/i',
      answers: [{ name: '_design/d/i', search_index: { disk_size: 1 } }],
      emits: { name: '_design/d/i', searchIndex: { disk_size: 1 } },
    },
  ],
  [
    'db.search.nouveau',
    (_, db) =>
      db.search.nouveau('d/i', {
        q: 'a',
        sort: '-n',
        counts: ['n'],
        ranges: { n: [{ label: 'few', min: 0, max: 1 }] },
        topN: 3,
        locale: 'de',
        update: false,
        includeDocs: true,
      }),
    {
      sends:
        'POST /db/_design/d/_nouveau/i {"q":"a","sort":"-n","counts":["n"],' +
        '"ranges":{"n":[{"label":"few","min":0,"max":1}]},"top_n":3,"locale":"de","update":false,' +
        '"include_docs":true}',
      answers: [
        {
          total_hits: 1,
          total_hits_relation: 'EQUAL_TO',
          bookmark: 'c',
          hits: [hit],
          counts: { n: { x: 1 } },
          ranges: null,
        },
      ],
      emits: {
        totalHits: 1,
        totalHitsRelation: 'EQUAL_TO',
        bookmark: 'c',
        hits: [decodedHit],
        counts: { n: { x: 1 } },
        ranges: null,
      },
    },
  ],
  [
    'db.search.nouveau.info',
    (_, db) => db.search.nouveau.info('d/i'),
    {
      sends: 'GET /db/_design/d/_nouveau_info/i',
      answers: [{ name: '_design/d/i', search_index: { num_docs: 1 } }],
      emits: { name: '_design/d/i', searchIndex: { num_docs: 1 } },
    },
  ],
  // Design documents
  [
    'db.designs.get',
    (_, db) => db.designs.get('d/e', { revs: true }),
    { sends: 'GET /db/_design/d%2Fe?revs=true', answers: [{ _id: '_design/d/e', _rev: '1-x' }] },
  ],
  [
    'db.designs.save',
    (_, db) => db.designs.save({ _id: '_design/d', _rev: '1-x', views: { v: { map: 'm' } } }),
    {
      sends: 'PUT /db/_design/d {"_id":"_design/d","_rev":"1-x","views":{"v":{"map":"m"}}}',
      answers: [written],
      emits: { id: '_design/d', rev: '2-y' },
    },
  ],
  [
    'db.designs.delete',
    (_, db) => db.designs.delete({ _id: '_design/d', _rev: '1-x' }),
    { sends: 'DELETE /db/_design/d?rev=1-x', answers: [written] },
  ],
  [
    'db.view of a design document with a slash in its name',
    (_, db) => db.view('a/b/v'),
    { sends: 'GET /db/_design/a%2Fb/_view/v', answers: [rows] },
  ],
  [
    'db.show of a design document with a slash in its name',
    (_, db) => db.show('a/b/s', 'x/y'),
    { sends: 'GET /db/_design/a%2Fb/_show/s/x%2Fy' },
  ],
  [
    'db.list of a view of such a design document',
    (_, db) => db.list('a/b/l', 'c/d/v'),
    { sends: 'GET /db/_design/a%2Fb/_list/l/c%2Fd/v' },
  ],
  [
    'db.search of such a design document',
    (_, db) => db.search.info('a/b/i'),
    { sends: 'GET /db/_design/a%2Fb/_search_info/i', answers: [{ name: 'x', search_index: {} }] },
  ],
  [
    'db.designs.copy',
    (_, db) => db.designs.copy('d', { _id: '_design/e', _rev: '1-x' }),
    {
      sends: 'COPY /db/_design/d → _design%2Fe?rev=1-x',
      answers: [{ ...written, id: '_design/e' }],
    },
  ],
  [
    'db.designs.info',
    (_, db) => db.designs.info('d'),
    {
      sends: 'GET /db/_design/d/_info',
      answers: [{ name: 'd', view_index: { signature: 's' } }],
      emits: { name: 'd', viewIndex: { signature: 's' } },
    },
  ],
  [
    'db.designs.deploy of an unchanged document',
    (_, db) => db.designs.deploy({ _id: '_design/d', views: { v: { map: 'm' } }, language: 'l' }),
    {
      sends: 'GET /db/_design/d',
      answers: [{ _rev: '1-x', language: 'l', _id: '_design/d', views: { v: { map: 'm' } } }],
      emits: { deployed: false, id: '_design/d', rev: '1-x' },
    },
  ],
  [
    'db.designs.deploy with new views',
    (_, db) => db.designs.deploy({ _id: '_design/d', views: { v: { map: 'new' } }, filters: {} }),
    {
      sends: [
        'GET /db/_design/d',
        'GET /db/_design/d-deploying',
        'PUT /db/_design/d-deploying {"_id":"_design/d-deploying","views":{"v":{"map":"new"}},"_rev":"7-left"}',
        'GET /db/_design/d-deploying/_view/v?limit=1&reduce=false',
        'GET /db/_design/d-deploying/_info',
        'PUT /db/_design/d {"_id":"_design/d","views":{"v":{"map":"new"}},"filters":{},"_rev":"1-x"}',
        'GET /db/_design/d/_info',
        'DELETE /db/_design/d-deploying?rev=2-y',
      ].join('\n'),
      answers: [
        { _id: '_design/d', _rev: '1-x', views: { v: { map: 'old' } } },
        { _id: '_design/d-deploying', _rev: '7-left' },
        { ...written, id: '_design/d-deploying' },
        { rows: [] },
        { name: 'd-deploying', view_index: { signature: 's', waiting_commit: true } },
        { ...written, rev: '3-z' },
        { name: 'd', view_index: { signature: 's', waiting_commit: false } },
        written,
      ],
      emits: { deployed: true, id: '_design/d', rev: '3-z' },
    },
  ],
  [
    'db.designs.deploy without new views',
    (_, db) =>
      db.designs.deploy({ _id: '_design/d', views: { v: { map: 'm' } }, filters: { f: 'f' } }),
    {
      sends: [
        'GET /db/_design/d',
        'PUT /db/_design/d {"_id":"_design/d","views":{"v":{"map":"m"}},"filters":{"f":"f"},"_rev":"1-x",' +
          '"_attachments":{"a":{"stub":true}}}',
      ].join('\n'),
      answers: [
        {
          _id: '_design/d',
          _rev: '1-x',
          views: { v: { map: 'm' } },
          language: 'javascript',
          _attachments: { a: { stub: true } },
        },
        written,
      ],
      emits: { deployed: true, id: '_design/d', rev: '2-y' },
    },
  ],
  [
    'db.designs.deploy without warmUp',
    (_, db) =>
      db.designs.deploy({ _id: '_design/d', views: { v: { map: 'new' } } }, { warmUp: false }),
    {
      sends:
        'GET /db/_design/d\nPUT /db/_design/d {"_id":"_design/d","views":{"v":{"map":"new"}},"_rev":"1-x"}',
      answers: [{ _id: '_design/d', _rev: '1-x' }, written],
    },
  ],
  // Upkeep
  [
    'db.upkeep.revsLimit',
    (_, db) => db.upkeep.revsLimit(),
    { sends: 'GET /db/_revs_limit', answers: [1000], emits: 1000 },
  ],
  [
    'db.upkeep.revsLimit, set',
    (_, db) => db.upkeep.revsLimit(7),
    { sends: 'PUT /db/_revs_limit 7', answers: [{ ok: true }], emits: 7 },
  ],
  [
    'db.upkeep.purgedInfosLimit',
    (_, db) => db.upkeep.purgedInfosLimit(),
    { sends: 'GET /db/_purged_infos_limit', answers: [1000], emits: 1000 },
  ],
  [
    'db.upkeep.purgedInfosLimit, set',
    (_, db) => db.upkeep.purgedInfosLimit(7),
    { sends: 'PUT /db/_purged_infos_limit 7', answers: [{ ok: true }], emits: 7 },
  ],
  [
    'db.upkeep.purgedInfos',
    (_, db) => db.upkeep.purgedInfos(),
    {
      sends: 'GET /db/_purged_infos',
      answers: [{ purged_infos: [{ id: 'a', revs: ['1-x'] }] }],
      emits: [{ id: 'a', revs: ['1-x'] }],
    },
  ],
  [
    'db.upkeep.autoPurge',
    (_, db) => db.upkeep.autoPurge(),
    {
      sends: 'GET /db/_auto_purge',
      answers: [{ deleted_document_ttl: '30_day' }],
      emits: { deleted_document_ttl: '30_day' },
    },
  ],
  [
    'db.upkeep.autoPurge, set',
    (_, db) => db.upkeep.autoPurge({ deleted_document_ttl: '30_day' }),
    {
      sends: 'PUT /db/_auto_purge {"deleted_document_ttl":"30_day"}',
      answers: [{ ok: true }],
      emits: { deleted_document_ttl: '30_day' },
    },
  ],
  [
    'db.upkeep.shards',
    (_, db) => db.upkeep.shards(),
    {
      sends: 'GET /db/_shards',
      answers: [{ shards: { '0-7': ['a@h'], '8-f': ['a@h', 'b@h'] } }],
      emits: new Map([
        ['0-7', ['a@h']],
        ['8-f', ['a@h', 'b@h']],
      ]),
    },
  ],
  [
    'db.upkeep.shards of an id',
    (_, db) => db.upkeep.shards('a/b'),
    {
      sends: 'GET /db/_shards/a%2Fb',
      answers: [{ range: '0-7', nodes: ['a@h'] }],
      emits: { range: '0-7', nodes: ['a@h'] },
    },
  ],
  ...(
    [
      ['upkeep.syncShards', '_sync_shards', (db: Database) => db.upkeep.syncShards()],
      ['search.cleanup', '_search_cleanup', (db: Database) => db.search.cleanup()],
      ['search.nouveau.cleanup', '_nouveau_cleanup', (db: Database) => db.search.nouveau.cleanup()],
    ] as const
  ).map(([name, path, call]): WireTable[number] => [
    `db.${name}`,
    (_, db) => call(db),
    { sends: `POST /db/${path}`, answers: [{ ok: true }], emits: { ok: true } },
  ]),
];

describe('on the wire', () => {
  it.each(wire)('%s', (_, call, exchange) => expectExchange(stub, call, exchange));

  it('db.revs.current emits null for a missing document', async () => {
    stub.answer((_request, response) => response.writeHead(404).end());
    const db = new Couch(stub.url).use('db');
    expect(await firstValueFrom(db.revs.current('a'))).toBeNull();
    expect(await firstValueFrom(db.revs.current('a').status())).toMatchObject({
      ok: true,
      code: 404,
    });
    stub.answer((_request, response) => response.writeHead(401).end());
    await expect(firstValueFrom(db.revs.current('a'))).rejects.toMatchObject({
      name: 'Unauthorized',
    });
  });

  it.each([
    [{ start: 2, end: 4 }, 'bytes=2-4'],
    [{ start: 2 }, 'bytes=2-'],
  ])('a range of an attachment: %j', async (range, header) => {
    const db = new Couch(stub.url).use('db');
    for (const read of [
      db.getAttachment('a', 'f', { range }),
      db.getAttachment('a', 'f', { range }).chunks(),
    ]) {
      stub.requests.length = 0;
      stub.answer((_request, response) => response.writeHead(206).end('abc'));
      await firstValueFrom<unknown>(read);
      expect(stub.requests[0]?.headers).toMatchObject({ range: header });
    }
  });

  it('sets the revision on a local document and on a design document', async () => {
    stub.answer((_request, response) => response.end('{"ok":true,"id":"_local/a","rev":"0-1"}'));
    const db = new Couch(stub.url).use('db');
    const note = { _id: 'a' };
    await firstValueFrom(db.local.save(note));
    expect(note).toEqual({ _id: '_local/a', _rev: '0-1' });
    const design = designDocument({ name: 'd' });
    stub.answer((_request, response) => response.end('{"ok":true,"id":"_design/d","rev":"1-x"}'));
    await firstValueFrom(db.designs.save(design));
    expect(design._rev).toBe('1-x');
  });
});
