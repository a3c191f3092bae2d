import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database, Transport } from 'corduroy';
import { NEVER, firstValueFrom } from 'rxjs';
import { createDatabase, server } from './helpers/server.ts';

let sent = 0;
const transport: Transport = {
  send: () => {
    sent += 1;
    return NEVER;
  },
};
const couch = new Couch('http://couch.test', { transport });
const db = couch.use('db');
const search = { q: 'x' };

/** Calls with `undefined` in place of a restriction, with the path in the error. */
const widened: readonly (readonly [path: string, call: () => unknown])[] = [
  // Selectors.
  ['no selector', () => db.find({ selector: undefined } as never)],
  ['undefined at owner', () => db.find({ selector: { owner: undefined } })],
  ['undefined at a.b', () => db.find({ selector: { a: { b: undefined } } })],
  ['undefined at owner.$in[0]', () => db.find({ selector: { owner: { $in: [undefined] } } })],
  ['undefined at $or[1].a', () => db.find({ selector: { $or: [{ b: 1 }, { a: undefined }] } })],
  ['undefined at a.$eq', () => db.find({ selector: { a: { $eq: undefined } } })],
  ['undefined at owner', () => db.findRows({ selector: { owner: undefined } })],
  ['undefined at owner', () => db.find$({ selector: { owner: undefined } })],
  ['undefined at a.$gt', () => db.find$({ selector: { a: { $gt: undefined } } })],
  ['undefined at owner', () => db.indexes.explain({ selector: { owner: undefined } })],
  ['undefined at owner', () => db.partition('p').find({ selector: { owner: undefined } })],
  [
    'undefined at owner',
    () => db.indexes.create({ fields: ['a'], partialFilterSelector: { owner: undefined } }),
  ],
  [
    'partialFilterSelector',
    () => db.indexes.create({ fields: ['a'], partialFilterSelector: undefined } as never),
  ],
  // Keys.
  ...(['key', 'keys', 'startKey', 'endKey'] as const).flatMap(
    (name): (readonly [string, () => unknown])[] => {
      const options = { [name]: undefined } as never;
      return [
        [name, () => db.allDocs(options)],
        [name, () => db.allDocs$(options)],
        [name, () => db.designs.list(options)],
        [name, () => db.local.list(options)],
        [name, () => db.view('a/b', options)],
        [name, () => db.viewRows('a/b', options)],
        [name, () => db.viewPages('a/b', options)],
        [name, () => db.viewQueries('a/b', [options])],
        [name, () => db.view$('a/b', options)],
        [name, () => db.list('a/b', 'c', options)],
        [name, () => db.query('function () {}', undefined, options)],
        [name, () => db.partition('p').view('a/b', options)],
        [name, () => db.partition('p').allDocs(options)],
      ];
    },
  ),
  ...(['startKeyDocId', 'endKeyDocId'] as const).flatMap(
    (name): (readonly [string, () => unknown])[] => {
      const options = { [name]: undefined } as never;
      return [
        [name, () => db.view('a/b', options)],
        [name, () => db.viewRows('a/b', options)],
        [name, () => db.view$('a/b', options)],
      ];
    },
  ),
  ['undefined at owner', () => db.view('a/b', { key: { owner: undefined } })],
  ['undefined at [1]', () => db.view('a/b', { startKey: ['x', undefined] })],
  ['undefined at [0].owner', () => db.view('a/b', { keys: [{ owner: undefined }] })],
  ['allDocs: keys[0]', () => db.allDocs({ keys: [undefined as never] })],
  ['startKey', () => couch.allDbs({ startKey: undefined } as never)],
  // Feeds.
  ...(['docIds', 'selector', 'filter', 'view', 'query'] as const).flatMap(
    (name): (readonly [string, () => unknown])[] => {
      const options = { [name]: undefined } as never;
      return [
        [name, () => db.changes(options)],
        [name, () => db.changeRows(options)],
        [name, () => db.changes$(options)],
        [name, () => db.consume(() => {}, { name: 'x', ...(options as object) })],
      ];
    },
  ),
  ['undefined at doc_ids[0]', () => db.changes$({ docIds: [undefined as never] })],
  ['undefined at selector.owner', () => db.changes$({ selector: { owner: undefined } })],
  [
    'changes$: query: owner',
    () => db.changes$({ filter: 'a/b', query: { owner: undefined as never } }),
  ],
  [
    'changes: query: owner',
    () => db.changes({ filter: 'a/b', query: { owner: undefined as never } }),
  ],
  // Functions.
  ['show: parameters: owner', () => db.show('a/b', 'c', { owner: undefined as never })],
  ['list: parameters: owner', () => db.list('a/b', 'c', {}, { owner: undefined as never })],
  ['update: parameters: owner', () => db.update('a/b', 'c', '', { owner: undefined as never })],
  ['update: body: owner', () => db.update('a/b', 'c', { owner: undefined as never })],
  // Replications, searches and others.
  ['selector', () => couch.replicate('a', 'b', { selector: undefined } as never)],
  ['docIds', () => couch.replicate('a', 'b', { docIds: undefined } as never)],
  ['filter', () => db.pull('b', { filter: undefined } as never)],
  ['queryParams', () => db.push('b', { queryParams: undefined } as never)],
  ['undefined at owner', () => couch.replicate('a', 'b', { selector: { owner: undefined } })],
  ['undefined at owner', () => couch.replicate('a', 'b', { queryParams: { owner: undefined } })],
  ['q', () => db.search('a/b', { q: undefined } as never)],
  ['q', () => db.search.nouveau('a/b', { q: undefined } as never)],
  ['drilldown', () => db.search('a/b', { ...search, drilldown: undefined } as never)],
  [
    'undefined at [0][1]',
    () => db.search('a/b', { ...search, drilldown: [['a', undefined]] } as never),
  ],
  ['states', () => couch.scheduler.docs({ states: undefined } as never)],
  ['undefined at members', () => db.upkeep.security({ admins: {}, members: undefined } as never)],
  // Ids.
  ['undefined', () => db.get(undefined as never)],
  ['undefined', () => db.get([undefined as never])],
  ['undefined', () => db.doc$(undefined as never)],
  ['undefined', () => db.docs$([undefined as never])],
  ['undefined', () => db.delete(undefined as never)],
  ['undefined', () => db.revs.leaves(undefined as never)],
];

describe('undefined in place of a restriction', () => {
  it.each(widened)('is a TypeError: %s', (path, call) => {
    let error: unknown = 'it did not throw';
    try {
      call();
    } catch (thrown) {
      error = thrown;
    }
    expect([String(call), error]).toEqual([String(call), expect.any(TypeError)]);
    expect((error as TypeError).message).toContain(path);
    expect(sent).toBe(0);
  });

  it('is allowed in options that restrict nothing', () => {
    const none = {
      limit: undefined,
      skip: undefined,
      includeDocs: undefined,
      descending: undefined,
      inclusiveEnd: undefined,
    } as never;
    for (const call of [
      () => db.allDocs(none),
      () => db.view('a/b', none),
      () => db.viewRows('a/b', none),
      () => db.allDocs$({ limit: undefined, latency: undefined } as never),
      () => db.find({ selector: {}, limit: undefined, useIndex: undefined } as never),
      () => db.find$({ selector: {}, sort: undefined } as never),
      () => db.changes$({ since: undefined, includeDocs: undefined, limit: undefined } as never),
      () => couch.replicate('a', 'b', { continuous: undefined } as never),
      () => db.get('a', { rev: undefined, revs: undefined } as never),
      () => db.get('a', undefined),
      () => db.save({ _id: 'a', x: undefined }, undefined),
    ]) {
      expect(call).not.toThrow();
    }
  });
});

describe('on a server', () => {
  let real: Database<{ owner?: string }>;
  beforeAll(async () => {
    real = new Couch(server.authenticatedUrl).use(await createDatabase());
    await firstValueFrom(real.save([{ _id: 'a', owner: 'ada' }, { _id: 'b' }]));
  });

  it('a query whose user is missing finds nothing of others, and an undefined field is left out', async () => {
    const { owner } = await firstValueFrom(real.get('b'));
    expect(() => real.find({ selector: { owner: owner as string } })).toThrow(
      'find: selector cannot be written as JSON: undefined at owner',
    );
    await firstValueFrom(real.save({ _id: 'c', owner: undefined } as never));
    expect(Object.keys(await firstValueFrom(real.get('c')))).toEqual(['_id', '_rev']);
    const { docs } = await firstValueFrom(real.find({ selector: { owner: 'ada' } }));
    expect(docs.map(({ _id }) => _id)).toEqual(['a']);
  });
});
