import fc from 'fast-check';
import { scalar, selector, value } from '../selectors.ts';
import { DESIGNS, VIEWS } from './designs.ts';

/**
 * A call of Corduroy's API, as JSON: the method of a `Database`, and its arguments. A string such as
 * `'$rev a 0'` stands for a revision: the latest of the document `a` that the run has seen, with 1 the one
 * before, and so on. `'$leaf a 1'` is the second leaf of the document. `'$seq 2'` stands for the second last sequence.
 */
export type Operation = readonly [method: string, ...args: unknown[]];

const IDS = ['a', 'b', 'c', 'd', 'B', 'é', 'x/y', '~t'];
/** The hash of a replicated revision is the way to it, one letter for each generation. */
const LETTERS = ['a', 'b', 'c', 'd'];

const id = fc.constantFrom(...IDS);
const flag = fc.boolean();
const text = fc.constantFrom(
  '',
  'a',
  'A',
  'b',
  'B',
  'a b',
  'a-b',
  '_',
  '~',
  '10',
  '9',
  'é',
  'ü',
  'z',
  'ß',
);
const number = fc.constantFrom(-1, 0, 1, 2, 2.5, 10, 1e21);
const fields = fc.record(
  { n: fc.oneof(number, scalar), t: text, a: value, b: value, c: value },
  { requiredKeys: [] },
);
/** Leaves out options at random: each is there about one time in three. */
function options<T>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> {
  const names = Object.keys(shape) as (keyof T & string)[];
  return fc.subarray(names, { maxLength: Math.min(3, names.length) }).chain((chosen) => {
    const picked = Object.fromEntries(chosen.map((name) => [name, shape[name]]));
    return fc.record(picked as never);
  });
}

const rev = (of: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(of, fc.constantFrom(0, 0, 0, 1, 2)).map(([name, nth]) => `$rev ${name} ${nth}`);
const knownRev = fc.constantFrom(
  '1-a',
  '2-ab',
  '2-ac',
  '3-abd',
  '9-f',
  '1-0123456789abcdef0123456789abcdef',
);

/** A document of an editor: new, with the current revision, an old one, another's, or a wrong one. */
const draft = id.chain((name) =>
  fc
    .tuple(
      fields,
      fc.oneof(
        { weight: 3, arbitrary: fc.constant({}) },
        { weight: 8, arbitrary: fc.record({ _rev: rev(fc.constant(name)) }) },
        { weight: 1, arbitrary: fc.record({ _rev: rev(id) }) },
        { weight: 1, arbitrary: fc.record({ _rev: knownRev }) },
      ),
      fc.oneof(
        { weight: 9, arbitrary: fc.constant({}) },
        { weight: 2, arbitrary: fc.constant({ _deleted: true }) },
        {
          weight: 1,
          arbitrary: fc.constant({ _attachments: attachment('hi.png', 'image/png', 'aGVsbG8=') }),
        },
        { weight: 1, arbitrary: fc.constant({ _attachments: { 'hi.png': { stub: true } } }) },
      ),
    )
    .map(([own, at, more]) => ({ _id: name, ...own, ...at, ...more })),
);

function attachment(name: string, type: string, data: string): object {
  return { [name]: { content_type: type, data } };
}

/** The letters of the way to a revision. */
const way = fc.array(fc.constantFrom(...LETTERS), { minLength: 1, maxLength: 4 });

/**
 * A revision with its history, as a replication writes it: long and short, branching anywhere. Its way decides
 * its content, because a revision has the same content in all databases.
 */
const replicated = fc
  .tuple(
    id,
    way,
    // Some histories lack their oldest revisions.
    fc.integer({ min: 1, max: 4 }),
    fc.constantFrom(0, 0, 1),
  )
  .map(([_id, letters, known, bare]) => {
    const start = letters.length;
    const ids = letters.map((_, i) => letters.slice(0, start - i).join('')).slice(0, known);
    const last = letters.at(-1);
    return {
      _id,
      n: start,
      t: last,
      a: { x: letters[0] },
      b: letters,
      _rev: `${start}-${ids[0]}`,
      ...(bare === 0 && { _revisions: { start, ids } }),
      ...(last === 'd' && { _deleted: true }),
    };
  });

const key = fc.oneof(
  { weight: 3, arbitrary: id },
  { weight: 1, arbitrary: text },
  { weight: 1, arbitrary: fc.constantFrom('_design/', '_design/v', '\ufff0') },
);
const page = {
  descending: flag,
  limit: fc.constantFrom(0, 1, 2, 3, 100),
  skip: fc.constantFrom(0, 1, 2, 50),
};
const range = { startKey: key, endKey: key, inclusiveEnd: flag };
const columns = fc.constantFrom('n', 't', 'a', 'a.x', '_id');
const sortBy = fc.oneof(
  fc.uniqueArray(columns, { minLength: 1, maxLength: 2 }),
  fc
    .tuple(fc.uniqueArray(columns, { minLength: 1, maxLength: 2 }), fc.constantFrom('asc', 'desc'))
    .map(([names, direction]) => names.map((name) => ({ [name]: direction }))),
);
const simpleSelector = fc.oneof(
  fc.record({ n: fc.oneof(number, fc.record({ $gt: fc.constantFrom<unknown>(null, 0, 1) })) }),
  fc.record({ t: fc.oneof(text, fc.record({ $gte: text }), fc.record({ $lt: text })) }),
  fc.record({ t: text, n: fc.record({ $gte: number }) }),
  fc.constant({ _id: { $gt: null } }),
  fc.constant({}),
);
const anySelector = fc.oneof(
  { weight: 3, arbitrary: simpleSelector },
  { weight: 2, arbitrary: selector },
);
const query = fc
  .tuple(
    anySelector,
    options({
      sort: sortBy,
      fields: fc.subarray(['_id', '_rev', 'n', 't', 'a.x', 'c'], { minLength: 1 }),
      limit: fc.constantFrom(0, 1, 2, 100),
      skip: fc.constantFrom(0, 1, 2),
      conflicts: flag,
      useIndex: fc.constantFrom('byN', 'nope', '_design/byT'),
      allowFallback: flag,
      bookmark: fc.constantFrom('$bookmark', 'nil', 'garbage'),
    }),
  )
  .map(([wanted, more]) => ({ selector: wanted, ...more }));

const viewKey = fc.oneof(number, text, scalar, fc.tuple(text, number));
const viewOptions = options({
  key: viewKey,
  keys: fc.array(viewKey, { maxLength: 3 }),
  startKey: viewKey,
  endKey: viewKey,
  startKeyDocId: id,
  endKeyDocId: id,
  inclusiveEnd: flag,
  ...page,
  includeDocs: flag,
  conflicts: flag,
  reduce: flag,
  group: flag,
  groupLevel: fc.constantFrom(1, 2),
});

const idOptions = options({
  key,
  keys: fc.array(key, { maxLength: 3 }),
  ...range,
  ...page,
  startKeyDocId: id,
  endKeyDocId: id,
  includeDocs: flag,
  conflicts: flag,
  reduce: flag,
  group: flag,
  updateSeq: flag,
});

const revisions = fc.dictionary(
  id,
  fc.array(fc.oneof(knownRev, rev(id)), { minLength: 1, maxLength: 3 }),
  {
    minKeys: 1,
    maxKeys: 3,
  },
);
const grants = options({
  admins: fc.constant({ names: ['ann'], roles: [] }),
  members: fc.constant({ names: [], roles: ['editor'] }),
});

const call = (weight: number, method: string, ...args: readonly fc.Arbitrary<unknown>[]) => ({
  weight,
  arbitrary: fc.tuple(fc.constant(method), ...args) as fc.Arbitrary<Operation>,
});
const raw = (weight: number, requests: readonly object[]) =>
  call(weight, 'request', fc.constantFrom(...requests));
const post = (path: string, json: unknown): object => ({ method: 'POST', path, json });
const put = (path: string, json: unknown): object => ({ method: 'PUT', path, json });

/** Requests that CouchDB refuses, or answers in a surprising way. */
const HOSTILE = [
  post('/_bulk_docs', { docs: [{ _id: 'h' }, { _id: 'i', _x: 1 }] }),
  post('/_bulk_docs', { docs: [{ _id: 'h' }, { _id: 'i', _rev: 'bad' }] }),
  post('/_bulk_docs', { docs: [{ _id: 'h' }, { _id: 'h' }] }),
  post('/_bulk_docs', { docs: [{ _id: 5 }] }),
  post('/_bulk_docs', { docs: [null] }),
  post('/_bulk_docs', { docs: [{ _id: '_bad' }] }),
  post('/_bulk_docs', { docs: [{ _id: '' }] }),
  post('/_bulk_docs', { docs: 5 }),
  post('/_bulk_docs', [1]),
  post('/_bulk_docs', { docs: [], new_edits: 'x' }),
  post('/_bulk_docs', { docs: [{ _id: 'h', _rev: null }] }),
  post('/_bulk_docs', { docs: [{ _id: 'h', n: 1 }], new_edits: false }),
  post('/_bulk_docs', { docs: [{ _id: 'h', _deleted: 'true' }] }),
  post('/_bulk_docs', { docs: [{ _id: 'h', _revisions: 1 }] }),
  post('/_bulk_docs', {
    docs: [{ _id: 'h', _rev: '1-a', _revisions: { start: 1 } }],
    new_edits: false,
  }),
  post('/_bulk_docs', { docs: [{ _id: '_local/l1', n: 1 }] }),
  post('/_bulk_docs', { docs: [{ _id: 'h', _attachments: 5 }] }),
  post('/_bulk_docs', { docs: [{ _id: 'h', _attachments: { x: { stub: true } } }] }),
  post('/_bulk_get', { docs: [null] }),
  post('/_bulk_get', { docs: [{}] }),
  post('/_bulk_get', { docs: [{ id: 'a', rev: 5 }] }),
  post('/_bulk_get', { docs: [{ id: 'a', rev: 'bad' }] }),
  post('/_bulk_get', {}),
  post('/_find', { selector: { n: { $foo: 1 } } }),
  post('/_find', { selector: { n: { $in: 5 } } }),
  post('/_find', { selector: { n: { $regex: '(' } } }),
  post('/_find', { selector: { n: { $mod: [0, 1] } } }),
  post('/_find', { selector: { n: { $size: 'x' } } }),
  post('/_find', { selector: { $and: 5 } }),
  post('/_find', { selector: { 'a..b': 1 } }),
  post('/_find', { selector: { '': 1 } }),
  post('/_find', { selector: {}, limit: -1 }),
  post('/_find', { selector: {}, skip: 'x' }),
  post('/_find', { selector: {}, sort: 'n' }),
  post('/_find', { selector: {}, sort: [5] }),
  post('/_find', { selector: {}, sort: [{ n: 'up' }] }),
  post('/_find', { selector: {}, sort: [{ n: 'asc' }, { t: 'desc' }] }),
  post('/_find', { selector: {}, fields: 'n' }),
  post('/_find', { selector: {}, fields: [] }),
  post('/_find', { selector: {}, unknown: 1 }),
  post('/_find', { selector: {}, bookmark: 'garbage' }),
  post('/_find', { selector: {}, use_index: 5 }),
  post('/_find', { selector: [] }),
  post('/_find', {}),
  post('/_find', [1]),
  post('/_find', { selector: { $or: [] } }),
  post('/_find', { selector: { $and: [] } }),
  post('/_find', { selector: { $nor: [] } }),
  post('/_find', { selector: { $not: { $or: [] } } }),
  post('/_index', {}),
  post('/_index', { index: {} }),
  post('/_index', { index: { fields: [] }, name: 'e', ddoc: 'e' }),
  post('/_index', { index: { fields: 'n' } }),
  post('/_index', { index: { fields: [5] } }),
  post('/_index', { index: { fields: [{ n: 'up' }] } }),
  post('/_index', { index: { fields: ['n'] }, name: 5, ddoc: 'y' }),
  post('/_index', { index: { fields: ['n'] }, type: 'bogus' }),
  post('/_index', { index: { fields: [{ n: 'asc' }, { t: 'desc' }] } }),
  post('/_index', { index: { fields: ['n'], partial_filter_selector: { n: { $foo: 1 } } } }),
  put('/h', [1]),
  put('/h', { _foo: 1 }),
  put('/h', { _id: 'other' }),
  put('/h', { _rev: 'x' }),
  put('/h', { _rev: '1-' }),
  put('/h', { _rev: 'x-1' }),
  put('/h', { _rev: 5 }),
  put('/h?rev=1-a', { _rev: '2-ab' }),
  put('/_h', {}),
  put('/_design/x', { views: 5 }),
  put('/_design/x', { views: { v: {} } }),
  put('/_design/x', { views: { v: { map: 5 } } }),
  put('/_design/x', { views: { v: { map: 'function (doc) {' } } }),
  put('/_design/x', {
    views: { v: { map: 'function (doc) { emit(doc._id); }', reduce: '_bogus' } },
  }),
  put('/_design/x', { language: 'query', views: {} }),
  put('/_design/x', { filters: 5 }),
  put('/_local/l1', { n: 1 }),
  put('/_local/l1', { n: 1, _rev: '0-9' }),
  put('/_local/l1', { n: 1, _rev: 'x' }),
  put('/_local/_foo', { n: 1 }),
  put('/_security', 5),
  put('/_security', { admins: 5 }),
  put('/_revs_limit', 'x'),
  put('/_revs_limit', 1000),
  post('/_revs_diff', { a: 5 }),
  post('/_revs_diff', { a: ['bad'] }),
  post('/_revs_diff', 5),
  post('/_missing_revs', { a: ['1-z'] }),
  post('/_purge', { a: 5 }),
  post('/_purge', { nope: ['1-a'] }),
  post('/_all_docs', { keys: 5 }),
  post('/_all_docs', { keys: ['a'], startkey: 'a' }),
  post('/_changes?filter=_doc_ids', { doc_ids: 5 }),
  post('/_changes?filter=_selector', {}),
  post('/_changes?filter=_selector', { selector: 5 }),
  { path: '/_changes?style=bogus' },
  { path: '/_changes?feed=bogus' },
  { path: '/_changes?since=bogus' },
  { path: '/_changes?limit=-1' },
  { path: '/_changes?limit=x' },
  { path: '/_changes?filter=nope/x' },
  { path: '/_changes?filter=bogus' },
  { path: '/_changes?filter=_view&view=nope/x' },
  { path: '/_changes?descending=true&since=0' },
  { path: '/_all_docs?limit=-1' },
  { path: '/_all_docs?limit=x' },
  { path: '/_all_docs?skip=-1' },
  { path: '/_all_docs?startkey=x' },
  { path: '/_all_docs?descending=x' },
  { path: '/_all_docs?include_docs=x' },
  { path: '/_all_docs?reduce=true' },
  { path: '/_all_docs?group=true' },
  { path: '/_all_docs?key=5' },
  { path: '/_all_docs?bogus=1' },
  { path: '/_design_docs' },
  { path: '/_local_docs' },
  { path: '/a?rev=bad' },
  { path: '/a?open_revs=bad' },
  { path: '/a?open_revs=%5B%22bad%22%5D' },
  { path: '/a?conflicts=x' },
  { path: '/a?atts_since=x' },
  { path: '/_nope' },
  { path: '/_design/v/_view/nope' },
  { path: '/_design/nope/_view/nope' },
  { path: '/_design/v/_nope/x' },
  { path: '/a/none.txt' },
  { method: 'POST', path: '/a', json: {} },
  { method: 'DELETE', path: '/a' },
  { method: 'DELETE', path: '/a?rev=bad' },
  { method: 'DELETE', path: '/_all_docs' },
  { method: 'PUT', path: '/_find', json: {} },
  { method: 'GET', path: '/_find' },
  { method: 'POST', path: '/_find', body: '{', headers: { 'content-type': 'application/json' } },
  { method: 'POST', path: '/_bulk_docs', body: 'x', headers: { 'content-type': 'text/plain' } },
  { method: 'POST', path: '/', json: [1] },
  { method: 'POST', path: '/', json: { _id: 'posted', n: 1 } },
  { method: 'POST', path: '/', json: { _id: 5 } },
];

const bulk = fc.array(draft, { minLength: 1, maxLength: 4 });

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  call(14, 'save', draft),
  call(4, 'save', bulk),
  call(
    6,
    'save',
    fc.array(replicated, { minLength: 1, maxLength: 3 }),
    fc.constant({ newEdits: false }),
  ),
  call(2, 'save', replicated, fc.constant({ newEdits: false })),
  call(
    4,
    'delete',
    id.chain((name) => fc.record({ _id: fc.constant(name), _rev: rev(fc.constant(name)) })),
  ),
  call(
    6,
    'get',
    id,
    options({
      rev: fc.oneof(rev(id), knownRev),
      revs: flag,
      revsInfo: flag,
      conflicts: flag,
      deletedConflicts: flag,
      localSeq: flag,
      meta: flag,
      latest: flag,
      attachments: flag,
    }),
  ),
  call(2, 'get', fc.array(id, { maxLength: 4 }), options({ conflicts: flag, ...page })),
  call(
    4,
    'allDocs',
    options({
      key,
      keys: fc.array(key, { maxLength: 3 }),
      ...range,
      ...page,
      includeDocs: flag,
      conflicts: flag,
      updateSeq: flag,
    }),
  ),
  call(
    5,
    'changes',
    options({
      since: fc.constantFrom<unknown>(0, 'now', '$seq 0', '$seq 1'),
      limit: fc.constantFrom(0, 1, 2, 100),
      includeDocs: flag,
      conflicts: flag,
      style: fc.constantFrom('main_only', 'all_docs'),
      descending: flag,
    }),
  ),
  call(1, 'changes', fc.record({ docIds: fc.array(id, { maxLength: 3 }) })),
  call(
    2,
    'changes',
    fc
      .tuple(anySelector, options({ style: fc.constant('all_docs'), includeDocs: flag }))
      .map(([wanted, more]) => ({ selector: wanted, ...more })),
  ),
  call(
    2,
    'changes',
    fc.constantFrom(
      { filter: 'v/big' },
      { filter: 'v/query', query: { t: 'a' } },
      { view: 'v/byN' },
      { view: 'v/nope' },
      { filter: 'v/nope' },
      { filter: '_design' },
    ),
  ),
  call(7, 'find', query),
  call(2, 'indexes.explain', query),
  call(
    3,
    'indexes.create',
    fc
      .tuple(
        fc.uniqueArray(columns, { minLength: 1, maxLength: 2 }),
        fc.record({
          name: fc.constantFrom('byN', 'byT', 'x'),
          ddoc: fc.constantFrom('byN', 'byT'),
        }),
        options({ partialFilterSelector: simpleSelector }),
      )
      .map(([names, named, more]) => ({ fields: names, ...named, ...more })),
  ),
  call(1, 'indexes.list'),
  call(
    1,
    'indexes.delete',
    fc.constantFrom(
      { ddoc: 'byN', name: 'byN' },
      { ddoc: 'byT', name: 'byT' },
      { ddoc: 'nope', name: 'x' },
    ),
  ),
  call(2, 'revs.leaves', id),
  call(
    2,
    'revs.open',
    id,
    fc.oneof(
      fc.constant('all'),
      fc.array(fc.oneof(rev(id), knownRev), { minLength: 1, maxLength: 3 }),
    ),
    options({ latest: flag, revs: flag }),
  ),
  call(
    2,
    'revs.bulkGet',
    fc.array(fc.oneof(id, fc.record({ id, rev: fc.oneof(rev(id), knownRev) })), {
      minLength: 1,
      maxLength: 3,
    }),
    options({ latest: flag, revs: flag }),
  ),
  call(1, 'revs.diff', revisions),
  call(1, 'revs.missing', revisions),
  call(1, 'revs.current', id),
  call(1, 'revisions', id),
  call(1, 'local.save', fc.record({ _id: fc.constantFrom('l1', 'l2'), n: number })),
  call(1, 'local.get', fc.constantFrom('l1', 'l2')),
  call(1, 'local.delete', fc.constantFrom('l1', 'l2')),
  call(1, 'local.list', options({ ...page, includeDocs: flag })),
  // A purge of some leaves alone confuses CouchDB's indexes and counts.
  call(
    1,
    'purge',
    id.map((_id) => [0, 1, 2, 3, 4, 5].map((nth) => ({ _id, _rev: `$leaf ${_id} ${nth}` }))),
  ),
  call(1, 'copy', id, id),
  call(
    1,
    'copy',
    id,
    id.chain((name) => fc.record({ _id: fc.constant(name), _rev: rev(fc.constant(name)) })),
  ),
  call(
    3,
    'putAttachment',
    id.chain((name) => fc.record({ _id: fc.constant(name), _rev: rev(fc.constant(name)) })),
    fc.constantFrom('hello', 'x'),
    fc.constantFrom('hi.png', 'b.bin'),
    // CouchDB compresses text, which changes the digest and the revision.
    fc.constant({ contentType: 'image/png' }),
  ),
  call(1, 'getAttachment', id, fc.constantFrom('hi.png', 'b.bin')),
  call(
    1,
    'deleteAttachment',
    id.chain((name) => fc.record({ _id: fc.constant(name), _rev: rev(fc.constant(name)) })),
    fc.constantFrom('hi.png', 'b.bin'),
  ),
  call(4, 'designs.deploy', fc.constantFrom(...DESIGNS)),
  call(6, 'view', fc.constantFrom(...VIEWS), viewOptions),
  call(1, 'view', fc.constant('_all_docs'), idOptions),
  call(1, 'designs.list', options({ includeDocs: flag })),
  call(1, 'security'),
  call(1, 'security', grants),
  call(1, 'info'),
  raw(9, HOSTILE),
);

/** Operations on a database of its own. */
export interface Sequence {
  readonly partitioned?: boolean;
  readonly operations: readonly Operation[];
}

/** The ids of a partitioned database. */
const PARTITIONED: Readonly<Record<string, string>> = {
  a: 'p:a',
  b: 'p:b',
  c: 'q:c',
  d: 'q:d',
  B: 'p:B',
  é: 'p:é',
  'x/y': 'q:x/y',
  '~t': 'q:~t',
};

/** Puts ids of a partitioned database in place of the others, also in references to revisions. */
function inPartitions([method, ...args]: Operation): Operation {
  const areNamesIds = method === 'revs.diff' || method === 'revs.missing';
  const convert = (of: unknown, name: string): unknown => {
    if (typeof of === 'string') {
      const [kind, owner = '', nth] = of.split(' ');
      if (kind === '$rev' || kind === '$leaf')
        return `${kind} ${PARTITIONED[owner] ?? owner} ${nth}`;
      // CouchDB 3.5.0 breaks its response if a key has no partition.
      return PARTITIONED[of] ?? (name === 'keys' && !of.startsWith('_') ? `q:${of}` : of);
    }
    if (Array.isArray(of)) return of.map((one) => convert(one, name));
    if (typeof of !== 'object' || of === null || name === '_revisions') return of;
    // CouchDB 3.5.0 has no answer for reduce functions in JavaScript on a partition.
    const entries = Object.entries(of).filter(([field]) => field !== 'custom');
    return Object.fromEntries(
      entries.map(([field, one]) => [
        areNamesIds ? (PARTITIONED[field] ?? field) : field,
        convert(one, field),
      ]),
    );
  };
  return [method, ...args.map((one) => convert(one, ''))];
}

const partition = (name: string): string => `partition ${name}.`;
const inPartition = fc
  .constantFrom('p', 'p', 'q', 'empty')
  .chain((name): fc.Arbitrary<Operation> =>
    fc.oneof(
      call(1, `${partition(name)}info`),
      call(3, `${partition(name)}allDocs`, idOptions),
      call(4, `${partition(name)}view`, fc.constantFrom(...VIEWS), viewOptions),
      call(3, `${partition(name)}find`, query),
      call(1, `${partition(name)}explain`, query),
    ),
  );
const partitionedOperation = fc.oneof(
  { weight: 4, arbitrary: operation },
  { weight: 1, arbitrary: inPartition },
  raw(1, [
    put('/p:', {}),
    put('/:p', {}),
    put('/_p:a', {}),
    put('/none', {}),
    { path: '/none' },
    { path: '/none?rev=1-a' },
    { path: '/none?open_revs=all' },
    { method: 'DELETE', path: '/none' },
    { path: '/none/a.txt' },
    { method: 'DELETE', path: '/none/a.txt?rev=1-a' },
    { method: 'PUT', path: '/none/a.txt', body: 'x', headers: { 'content-type': 'image/png' } },
    { method: 'PUT', path: '/p:/a.txt', body: 'x', headers: { 'content-type': 'image/png' } },
    { method: 'COPY', path: '/none', headers: { destination: 'p:a' } },
    { method: 'COPY', path: '/p:a', headers: { destination: 'none' } },
    post('/_bulk_get', { docs: [{ id: 'none' }, { id: 'p:' }, { id: 'none', rev: 'bad' }] }),
    post('/_revs_diff', { none: ['1-a'] }),
    post('/_purge', { none: ['1-a'] }),
    post('/_partition/p/_all_docs', { keys: ['p:a', 'q:c'] }),
    post('/_bulk_docs', { docs: [{ _id: 'p:h' }, { _id: 'none' }] }),
    post('/_bulk_docs', { docs: [{ n: 1, _id: ':x' }] }),
    post('/_index', { index: { fields: ['n'] }, name: 'g', ddoc: 'g', partitioned: false }),
    post('/_find', { selector: { n: { $gt: 0 } }, partition: 'p' }),
    put('/_design/g', {
      options: { partitioned: false },
      views: { byN: { map: 'function (doc) { emit(doc.n, doc._id); }' } },
    }),
    { path: '/_design/g/_view/byN' },
    { path: '/_partition/p/_design/g/_view/byN' },
    { path: '/_partition/_p' },
    { path: '/_partition/p/_nope' },
    { path: '/_partition/p/_design/v' },
    { path: '/_partition' },
    { path: '/_partition/p/_changes' },
  ]),
);

/** Returns the same random sequences of operations for the same seed. Each sixth is on a partitioned database. */
export function sampleSequences(count: number, seed: number): Sequence[] {
  const sequenceOf = (one: fc.Arbitrary<Operation>): fc.Arbitrary<Operation[]> =>
    fc.array(one, { minLength: 20, maxLength: 60, size: 'max' });
  const plain = fc.sample(sequenceOf(operation), { numRuns: count, seed });
  const partitioned = fc.sample(sequenceOf(partitionedOperation), {
    numRuns: Math.floor(count / 6),
    seed,
  });
  return plain.map((operations, i) => {
    const other = i % 6 === 5 ? partitioned[(i - 5) / 6] : undefined;
    return other === undefined
      ? { operations }
      : { partitioned: true, operations: other.map(inPartitions) };
  });
}
