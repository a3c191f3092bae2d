import { describe, expect, it } from '@jest/globals';
import { EMPTY, NEVER, of } from 'rxjs';
import { counter, fields, newest, ours, theirs, union } from 'corduroy';
import type { AnyFields, Document, Draft, Merge } from 'corduroy';
import {
  attachmentOf,
  isSameAttachment,
  mergeAttachments,
} from '../src/conflicts/merge-attachments.ts';
import type { AttachmentCopies, MergedAttachments } from '../src/conflicts/merge-attachments.ts';
import { exactAttachments, mergeOne } from '../src/conflicts/merge.ts';
import type { AttachmentRule, MergeOutcome } from '../src/conflicts/merge.ts';

const ids = { _id: 'x', _rev: '2-a' };
const stored = (own: object): Document => ({ ...ids, ...own });
const DELETED = { ...ids, _deleted: true };

describe('a merge by fields', () => {
  it.each<[what: string, local: AnyFields, server: object, base: object | null, merged: object]>([
    ['takes the copy that changed', { a: 1, b: 2 }, { a: 2, b: 1 }, { a: 1, b: 1 }, { a: 2, b: 2 }],
    ['takes the local value if both changed', { a: 2 }, { a: 3 }, { a: 1 }, { a: 2 }],
    ['removes what one copy removed', { b: 1 }, { a: 1 }, { a: 1, b: 1 }, {}],
    ['keeps what one copy added', { a: 1 }, { b: 1 }, {}, { a: 1, b: 1 }],
    ['keeps what only one copy has, without a base', { a: 1 }, { b: 1 }, null, { a: 1, b: 1 }],
    ['takes the local value, without a base', { a: 1 }, { a: 2 }, null, { a: 1 }],
    [
      'knows no inherited field',
      { constructor: 1 },
      { toString: 2 },
      {},
      { constructor: 1, toString: 2 },
    ],
    ['ignores the order of keys', { a: { b: 1, c: 1 } }, { a: 2 }, { a: { c: 1, b: 1 } }, { a: 2 }],
    ['leaves out the fields of CouchDB', { _own: 1 }, { _other: 1 }, null, {}],
  ])('%s', (_, local, server, base, merged) => {
    expect(fields()(local, stored(server), base && stored(base))).toEqual(merged);
  });

  it('asks a function about what changed in both copies', () => {
    const asked: unknown[] = [];
    const merge = fields((...args) => {
      asked.push(args);
      return args[0] === 'gone' ? undefined : 'merged';
    });
    const merged = merge(
      { a: 1, gone: 1, c: 5 },
      stored({ a: 2, gone: 2, c: 5 }),
      stored({ a: 0, c: 5 }),
    );
    expect([merged, asked]).toEqual([
      { a: 'merged', c: 5 },
      [
        ['a', 1, 2, 0],
        ['gone', 1, 2, undefined],
      ],
    ]);
    asked.length = 0;
    void merge({ a: 1 }, stored({ a: 2 }), null);
    expect(asked).toEqual([['a', 1, 2, undefined]]);
  });

  it('asks about an attachment that both copies wrote', () => {
    const inline = (data: string): { content_type: string; data: string } => ({
      content_type: 't',
      data,
    });
    const stub = { content_type: 't', stub: true as const, digest: 'd' };
    const asked: unknown[] = [];
    const merge = fields((name, local, server, base) => {
      asked.push([name, local, server, base]);
      return server;
    });
    const copies = [
      { _attachments: { f: inline('1'), own: inline('2'), s: stub } },
      stored({ _attachments: { f: stub, s: stub, other: stub } }),
    ] as const;
    expect(merge(copies[0], copies[1], stored({ _attachments: { f: inline('0') } }))).toEqual({
      _attachments: { f: stub },
    });
    expect(asked).toEqual([['_attachments.f', inline('1'), stub, inline('0')]]);
    expect(merge(copies[0], copies[1], null)).toEqual({ _attachments: { f: stub } });
    expect(asked.at(-1)).toEqual(['_attachments.f', inline('1'), stub, undefined]);
    // Neither copy must write a field if no attachment is in doubt.
    expect(merge({ _attachments: { s: stub } }, copies[1], null)).toEqual({});
    expect(merge({ _attachments: { f: inline('1') } }, stored({}), null)).toEqual({});
  });

  it('reads the base, and the other ready merges do not', () => {
    expect([fields(), newest('a'), ours, theirs].map((merge) => merge.length > 2)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('a deletion that meets an edit', () => {
  const merges: [string, (options?: { deletion?: 'edit' | 'deletion' }) => Merge][] = [
    ['fields', (options) => fields(undefined, options)],
    ['newest', (options) => newest('a', options)],
  ];
  it.each(merges)('is decided by the option of %s', (name, make) => {
    const edit = { ...ids, a: 1 };
    for (const options of [undefined, {}, { deletion: 'edit' }] as const) {
      expect(make(options)(DELETED, stored({ a: 1 }), null)).toBeNull();
      expect(make(options)(edit, null, null)).toEqual(edit);
      expect(make(options)(DELETED, null, null)).toBeNull();
    }
    const wins = make({ deletion: 'deletion' });
    expect(wins(DELETED, stored({ a: 1 }), null)).toEqual(DELETED);
    expect(wins(edit, null, null)).toBeNull();
    expect(wins(DELETED, null, null)).toBeNull();
    expect(() => make({ deletion: 'x' as 'edit' })).toThrow(
      `${name}: deletion must be one of 'edit', 'deletion' (received "x")`,
    );
  });
});

const newestOfA: Merge = newest('a');

describe('the ready merges', () => {
  it('keep one copy', () => {
    const [local, server] = [{ a: 1 }, stored({ a: 2 })];
    expect([ours(local), theirs(local, server), theirs(local, null)]).toEqual([
      local,
      server,
      null,
    ]);
  });

  it.each([
    [1, 2, 2],
    [2, 1, 2],
    ['2024', '2025', '2025'],
    [new Date(5), new Date(3).toISOString(), new Date(5).toISOString()],
    [new Date(3), new Date(5).toISOString(), new Date(5).toISOString()],
  ])('keep the newest: of %p and %p it is %p', (mine, theirs_, wanted) => {
    const merged = newestOfA({ a: mine }, stored({ a: theirs_ }), null);
    expect(JSON.parse(JSON.stringify(merged))).toMatchObject({ a: wanted });
  });

  it('keep the local copy if both are equally new', () => {
    expect(newestOfA({ a: 1, b: 'mine' }, stored({ a: 1 }), null)).toEqual({
      a: 1,
      b: 'mine',
    });
  });

  it.each([
    [[1, 2], [1, 3], [1], [1, 3, 2]],
    [[1], [1, 2], [1, 2], [1]],
    [[1, 2], [1], [1, 2], [1]],
    [[{ a: 1 }, 2], [{ a: 1 }], [], [{ a: 1 }, 2]],
    [[1], [2], undefined, [2, 1]],
    [[1], [2], 'x', [2, 1]],
    [1, [2], [3], 1],
    [[1], 2, [3], [1]],
  ])('join the sets %j and %j since %j to %j', (local, server, base, joined) => {
    expect(union('f', local, server, base)).toEqual(joined);
  });

  it.each([
    [5, 7, 4, 8],
    [5, 7, undefined, 12],
    [5, 7, 'x', 12],
    ['a', 7, 1, 'a'],
    [5, null, 1, 5],
    [0.5, 1, 0.25, 1.25],
    [5n, 7, 4, 8n],
    [5, 7n, 4, 8n],
    [5, 7, 4n, 8n],
    [5n, 0.5, 1, 4.5],
  ])('count %p and %p since %p to %p', (local, server, base, sum) => {
    expect(counter('f', local, server, base)).toBe(sum);
  });
});

type One = NonNullable<MergedAttachments[string]>;
const stub = (digest: string, revpos?: number): One => ({
  content_type: 't',
  stub: true,
  digest,
  ...(revpos !== undefined && { revpos }),
});
const data = (text: string): One => ({ content_type: 't', data: text });

describe('the attachments of two copies', () => {
  const [A, B, C] = [stub('a'), stub('b'), stub('c')];
  const [X, Y] = [data('x'), data('y')];
  const merged = (
    own: Partial<Record<keyof AttachmentCopies, One | string | null>>,
    mentioned?: One | null,
  ): unknown => {
    const {
      local,
      server,
      base,
      readFrom = '2-x',
    } = own as Record<string, One> & { readFrom?: string | null };
    const side = (one: One | undefined): Record<string, One> | undefined => one && { f: one };
    return mergeAttachments(mentioned === undefined ? undefined : { f: mentioned }, {
      local: side(local),
      server: side(server),
      base: side(base),
      readFrom,
    })['f'];
  };

  it.each<[what: string, Parameters<typeof merged>[0], One | undefined]>([
    ['stay if only the server has one', { server: A }, A],
    ['stay if only the local copy wrote one', { local: X }, X],
    ['are gone if the server removed an unchanged one', { local: A }, undefined],
    ['are those of the server if the local one is unchanged', { local: A, server: B }, B],
    [
      'are those of the server if both are the same',
      { local: A, server: stub('a', 1) },
      stub('a', 1),
    ],
    ['are the local ones if the server has not changed them', { local: X, server: A, base: A }, X],
    ['are the local ones if those of the server are older', { local: X, server: stub('a', 2) }, X],
    ['of a leaf stay if the other has none', { local: A, readFrom: null }, A],
    [
      'of a leaf are gone if the other removed them',
      { local: A, base: A, readFrom: null },
      undefined,
    ],
    ['of leaves are the changed ones', { local: A, server: B, base: A, readFrom: null }, B],
    [
      'of leaves are the changed ones of the first',
      { local: A, server: B, base: B, readFrom: null },
      A,
    ],
    [
      'of leaves are those of the first if they are the same',
      { local: stub('a', 1), server: A, readFrom: null },
      stub('a', 1),
    ],
  ])('%s', (_, copies, kept) => {
    expect(merged(copies)).toEqual(kept);
  });

  it.each<[what: string, Parameters<typeof merged>[0]]>([
    ['both wrote them', { local: X, server: A }],
    ['the server wrote them later', { local: X, server: stub('a', 3) }],
    ['both leaves changed them', { local: A, server: B, base: C, readFrom: null }],
    ['leaves differ without a base', { local: stub('a', 1), server: stub('b', 1), readFrom: null }],
  ])('must be mentioned if %s', (_, copies) => {
    expect(() => merged(copies)).toThrow('the attachment "f" changed in both copies');
  });

  it.each<[what: string, Parameters<typeof merged>[0], One | null, One | undefined]>([
    ['removed ones', { local: X, server: A }, null, undefined],
    ['new bytes', { local: A, server: B }, X, X],
    ['those of the server', { local: X, server: A }, stub('a'), A],
    ['local bytes', { local: Y, server: A }, Y, Y],
    ['a local stub, whose bytes may be gone', { local: B, server: A }, stub('b'), A],
    ['the stub of a leaf', { local: B, server: A, readFrom: null }, stub('b'), B],
    ['a stub without a digest', { local: B, server: A }, { content_type: 't' }, A],
    ['a stub without a digest, of the local copy', { local: B }, { content_type: 't' }, B],
  ])('are the mentioned ones: %s', (_, copies, mentioned, kept) => {
    expect(merged(copies, mentioned)).toEqual(kept);
  });

  it('are refused as stubs that no copy has', () => {
    for (const copies of [{}, { local: A, server: B }])
      expect(() => merged(copies, stub('z'))).toThrow(
        'returned a stub of the attachment "f" that no copy has',
      );
    expect(() => merged({}, { content_type: 't' })).toThrow('that no copy has');
  });

  it('may be called constructor, and are all merged', () => {
    const all = mergeAttachments(
      { m: X },
      { local: { constructor: X, l: Y }, server: { s: A }, base: undefined, readFrom: '1-a' },
    );
    expect(all).toEqual({ m: X, constructor: X, l: Y, s: A });
    expect([
      attachmentOf(undefined, 'a'),
      attachmentOf({}, 'constructor'),
      attachmentOf({ a: 1 }, 'a'),
    ]).toEqual([undefined, undefined, 1]);
  });

  it.each<[One | undefined, One | undefined, boolean]>([
    [A, stub('a', 5), true],
    [A, B, false],
    [X, data('x'), true],
    [X, Y, false],
    [X, A, false],
    [{ content_type: 't' }, { content_type: 't' }, false],
    [{ ...X, digest: 'a' }, A, true],
    [undefined, A, false],
    [A, undefined, false],
    [undefined, undefined, false],
  ])('have the same bytes: %j and %j: %p', (a, b, same) => {
    expect(isSameAttachment(a, b)).toBe(same);
    if (a !== undefined) expect(isSameAttachment(a, a)).toBe(true);
  });

  it('of an upsert are exactly those of its result', () => {
    expect(exactAttachments(undefined, { a: A })).toEqual({ a: A });
    expect(exactAttachments(undefined, undefined)).toEqual({});
    expect(
      exactAttachments({ a: A, x: X, gone: B, none: null, constructor: C }, { a: A, other: B }),
    ).toEqual({
      a: A,
      x: X,
    });
  });
});

describe('the outcome of a merge', () => {
  const server = stored({ a: 1, _rev: '3-s', _attachments: { s: stub('s') } });
  const outcome = (
    merge: unknown,
    local: Draft = { _id: 'x', _rev: '2-a', b: 1 },
    onServer: Document | null = server,
    rule?: AttachmentRule,
  ): MergeOutcome<AnyFields> | 'open' => {
    let found: MergeOutcome<AnyFields> | 'open' = 'open';
    mergeOne<AnyFields>(
      merge as Merge,
      'x',
      local,
      { server: onServer, base: null },
      rule,
    ).subscribe((one) => (found = one));
    return found;
  };

  it('is the next revision of the copy on the server', () => {
    const doc = { _id: 'x', _rev: '3-s', c: 1, _attachments: { s: stub('s') } };
    expect(outcome(() => ({ c: 1, _id: 'other', _rev: '9-z' }))).toEqual({ type: 'merged', doc });
    expect(outcome(() => of({ c: 1 }, { c: 2 }))).toEqual({ type: 'merged', doc });
    expect(outcome(() => ({ c: 1 }), {}, null)).toEqual({
      type: 'merged',
      doc: { _id: 'x', c: 1 },
    });
    expect(outcome((_: unknown, theirs_: unknown) => theirs_)).toEqual({
      type: 'merged',
      doc: server,
    });
  });

  it('keeps the attachments of both copies, or exactly those of an upsert', () => {
    const local = { _rev: '2-a', _attachments: { l: data('l') } };
    const attachments = (merge: unknown, rule?: AttachmentRule): unknown => {
      const found = outcome(merge, local, server, rule);
      return found !== 'open' && found.type === 'merged' ? found.doc._attachments : found;
    };
    expect(attachments(() => ({}))).toEqual({ l: data('l'), s: stub('s') });
    expect(attachments(() => ({ _attachments: { s: null } }))).toEqual({ l: data('l') });
    expect(attachments(() => ({}), 'exact')).toEqual({ s: stub('s') });
    expect(attachments(() => ({ _attachments: { n: data('n') } }), 'exact')).toEqual({
      n: data('n'),
    });
    expect(attachments(() => ({ _deleted: true }))).toBeUndefined();
    // A copy that is returned as it is keeps its own.
    expect(attachments((_: unknown, theirs_: unknown) => theirs_)).toEqual({ s: stub('s') });
  });

  it.each([
    ['null', () => null],
    ['undefined', () => undefined],
    ['an empty Observable', () => EMPTY],
  ])('is that it gave up, if it returns %s', (_, merge) => {
    expect(outcome(merge)).toEqual({ type: 'given up' });
  });

  it('is its failure, or open while it waits', () => {
    const failing = (): never => {
      throw new Error('no');
    };
    expect(outcome(failing)).toEqual({ type: 'failed', reason: 'merging "x": Error: no' });
    expect(outcome(() => NEVER)).toBe('open');
  });
});
