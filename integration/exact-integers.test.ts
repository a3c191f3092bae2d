import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Couch, fields, isConflict, union } from 'corduroy';
import type { Change, ChangesBatch, Document, Transport } from 'corduroy';
import { exactIntegers } from 'corduroy/exact-integers';
import { memoryServer } from 'corduroy/testing';
import { filter, firstValueFrom, map, mergeMap, of, take, toArray } from 'rxjs';
import { canonical, equal } from '../src/model/json.ts';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

const codec = exactIntegers();
const LARGE = 9_223_372_036_854_775_807n;

interface Row {
  n: bigint;
  c: number;
  list?: readonly bigint[];
}

describe('exactIntegers', () => {
  it.each([
    ['9223372036854775807', LARGE],
    ['-9223372036854775808', -9_223_372_036_854_775_808n],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740992', 9_007_199_254_740_992n],
    ['-9007199254740993', -9_007_199_254_740_993n],
    ['1234567890123456', 1_234_567_890_123_456],
    ['0.1234567890123456789', 0.123_456_789_012_345_68],
    ['1234567890123456789.5', 1_234_567_890_123_456_800],
    ['12345678901234567890e2', 1.234_567_890_123_456_8e21],
    ['"9223372036854775807"', '9223372036854775807'],
    ['[9223372036854775807,1,"a"]', [LARGE, 1, 'a']],
    ['{"a":9223372036854775807,"a":1}', { a: 1 }],
  ])('reads %s', (text, value) => {
    expect(codec.parse(text)).toEqual(value);
  });

  it('reads a field __proto__ as JSON.parse does', () => {
    const text = '{"__proto__":{"n":9223372036854775807}}';
    const parsed = codec.parse(text) as object;
    expect(Object.keys(parsed)).toEqual(['__proto__']);
    expect(codec.stringify(parsed)).toBe(text);
  });

  it('writes each bigint as an integer, and all else as JSON.stringify does', () => {
    expect(codec.stringify({ n: LARGE, list: [-1n, undefined], no: undefined })).toBe(
      '{"n":9223372036854775807,"list":[-1,null]}',
    );
    const value = {
      d: new Date(0),
      t: { toJSON: () => 'x' },
      s: '🍕\u2028"',
      z: -0,
      b: Object(1) as unknown,
    };
    expect(codec.stringify({ ...value, n: LARGE })).toBe(
      JSON.stringify({ ...value, n: 'LARGE' }).replace('"LARGE"', String(LARGE)),
    );
    expect(codec.stringify(value)).toBe(JSON.stringify(value));
  });

  it('writes integers, despite a toJSON of BigInt', () => {
    const prototype: object = Object.getPrototypeOf(1n) as object;
    Object.defineProperty(prototype, 'toJSON', { value: String, configurable: true });
    try {
      expect(codec.stringify({ n: [LARGE] })).toBe('{"n":[9223372036854775807]}');
    } finally {
      Reflect.deleteProperty(prototype, 'toJSON');
    }
  });

  it('refuses what JSON.parse refuses', () => {
    for (const text of [
      '{"a":1234567890123456789',
      '01234567890123456789',
      '[1234567890123456789,]',
    ])
      expect(() => codec.parse(text)).toThrow(SyntaxError);
  });

  it('reads and writes any JSON value unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.bigInt(), (value, n) => {
        const text = JSON.stringify(value);
        expect(codec.stringify(codec.parse(text))).toBe(JSON.stringify(JSON.parse(text)));
        expect(codec.stringify(codec.parse(`{"n":${n}}`))).toBe(`{"n":${n}}`);
      }),
    );
  });
});

describe('comparisons', () => {
  it('take a bigint for a number of its value', () => {
    expect(equal({ n: 5n }, { n: 5 })).toBe(true);
    expect(equal({ n: 5 }, { n: 6n })).toBe(false);
    expect(equal(LARGE, Number(LARGE))).toBe(false);
    expect(equal(LARGE, '9223372036854775807')).toBe(false);
    expect(equal(1n, Number.NaN)).toBe(false);
  });

  it('write a bigint as an integer', () => {
    expect(canonical({ b: [LARGE, 1n], a: { d: undefined, c: null } })).toBe(
      '{"a":{"c":null},"b":[9223372036854775807,1]}',
    );
    expect(canonical(1n)).toBe(canonical(1));
    expect(canonical([new Date(0), Object(1), undefined, '"'])).toBe(
      '["1970-01-01T00:00:00.000Z",1,null,"\\""]',
    );
  });
});

/** Returns a database with the document `a`, which holds an integer beyond 2⁵³. */
const memory = (
  docs: readonly object[] = [{ _id: 'a', n: LARGE, c: 1 }],
  options: { readonly coalesce?: boolean } = {},
) => {
  const memoryCouch = memoryServer({ databases: { db: docs }, codec });
  return memoryCouch.couch(options).use<Row>('db');
};
type MemoryDatabase = ReturnType<typeof memory>;

const readBack = async (db: MemoryDatabase, id = 'a'): Promise<Document<Row>> =>
  firstValueFrom(db.get(id));

describe('an integer beyond 2⁵³ that a document carries', () => {
  it('is rounded by the default codec, which is the hazard', async () => {
    const db = memoryServer({ databases: { db: [{ _id: 'a' }] } })
      .couch()
      .use<{ n: number }>('db');
    await firstValueFrom(db.request({ method: 'PUT', path: '/b', body: `{"n":${LARGE}}` }));
    expect(String((await firstValueFrom(db.get('b'))).n)).toBe('9223372036854776000');
    expect(() => db.save({ n: LARGE as never })).toThrow('a bigint at n');
  });

  it.each([false, true])('survives get and save, coalesced: %s', async (coalesce) => {
    const db = memory(
      [
        { _id: 'a', n: LARGE, c: 1 },
        { _id: 'b', n: -LARGE, c: 1 },
      ],
      { coalesce },
    );
    const [a, b] = await Promise.all([firstValueFrom(db.get('a')), firstValueFrom(db.get('b'))]);
    expect([a.n, b.n]).toEqual([LARGE, -LARGE]);
    await Promise.all([
      firstValueFrom(db.save({ ...a, c: 2 })),
      firstValueFrom(db.save({ ...b, c: 2 })),
    ]);
    expect(await firstValueFrom(db.get(['a', 'b']))).toMatchObject([
      { n: LARGE, c: 2 },
      { n: -LARGE, c: 2 },
    ]);
    const again = await firstValueFrom(db.get(['a', 'b']));
    await firstValueFrom(db.save(again.map((doc) => ({ ...(doc as Document<Row>), c: 3 }))));
    expect(await readBack(db)).toMatchObject({ n: LARGE, c: 3 });
  });

  it('survives upsert, of one document and of a list', async () => {
    const db = memory();
    const written = await firstValueFrom(db.upsert('a', (doc) => ({ ...(doc as Row), c: 2 })));
    expect(written).toMatchObject({ n: LARGE, c: 2 });
    await firstValueFrom(db.upsert(['a'], (doc) => ({ ...(doc as Row), c: 3 })));
    expect(await readBack(db)).toMatchObject({ n: LARGE, c: 3 });
  });

  it('survives a save with a merge', async () => {
    const db = memory([{ _id: 'a', n: LARGE, c: 1, list: [LARGE, LARGE - 1n] }]);
    const mine = await readBack(db);
    await firstValueFrom(db.save({ ...mine, c: 2 }));
    const save = db.save({ ...mine, list: [LARGE, LARGE - 2n] }, { merge: fields<Row>(union) });
    await firstValueFrom(save);
    const merged = await readBack(db);
    expect(merged).toMatchObject({ n: LARGE, c: 2 });
    expect(new Set(merged.list)).toEqual(new Set([LARGE, LARGE - 2n]));
    await firstValueFrom(db.save(mine)).catch((error: unknown) => {
      expect(isConflict(error)).toBe(true);
    });
  });

  it('survives leaves, and the resolution of a conflict', async () => {
    const db = memory([
      { _id: 'a', _rev: '1-a', n: LARGE, c: 1 },
      { _id: 'a', _rev: '1-b', n: LARGE, c: 2 },
    ]);
    const leaves = await firstValueFrom(db.revs.leaves('a'));
    expect(leaves.map(({ n }) => n)).toEqual([LARGE, LARGE]);
    const [opened] = await firstValueFrom(db.revs.open('a', 'all'));
    expect(opened).toMatchObject({ doc: { n: LARGE } });
    await firstValueFrom(
      db.revs.resolveLeaves('a', (one, other) => ({ ...one, c: one.c + (other?.c ?? 0) })),
    );
    expect(await readBack(db)).toMatchObject({ n: LARGE, c: 3 });
  });

  it('survives edit$', async () => {
    const db = memory();
    const edit = db.edit$('a', { debounce: 0 });
    const saved = firstValueFrom(
      edit.pipe(filter(({ value, pending }) => !pending && value?.c === 2)),
    );
    await firstValueFrom(edit);
    edit.patch({ c: 2 });
    expect((await saved).value).toMatchObject({ n: LARGE, c: 2 });
    expect(await readBack(db)).toMatchObject({ n: LARGE, c: 2 });
  });

  it('is read by allDocs, findRows, find$ and doc$', async () => {
    const db = memory();
    const { rows } = await firstValueFrom(db.allDocs({ includeDocs: true }));
    expect(rows[0]?.doc).toMatchObject({ n: LARGE });
    expect(String(rows[0])).toContain('Row');
    const selector = { n: { $gt: LARGE - 1n } };
    const found = await firstValueFrom(db.findRows({ selector }).pipe(toArray()));
    expect(found.map(({ n }) => n)).toEqual([LARGE]);
    expect(await firstValueFrom(db.find$({ selector }))).toMatchObject([{ n: LARGE }]);
    expect(await firstValueFrom(db.find({ selector: { n: LARGE - 1n } }))).toMatchObject({
      docs: [],
    });
    expect(await firstValueFrom(db.doc$('a'))).toMatchObject({ n: LARGE });
  });

  it.each(['continuous', 'longpoll', 'eventsource', 'normal'] as const)(
    'is read by a %s feed, and by its selector',
    async (feed) => {
      const db = memory();
      const changes = db.changes$({
        feed,
        since: 0,
        latency: 0,
        includeDocs: true,
        selector: { n: LARGE },
      });
      const [change] = await firstValueFrom(
        changes.pipe(
          map(({ changes: batch }: ChangesBatch<Row>) => batch),
          mergeMap((batch): readonly (readonly Change<Row>[])[] => [batch]),
          take(1),
        ),
      );
      expect(change?.doc).toMatchObject({ n: LARGE });
    },
  );

  it('is read by changes, changeRows and consume', async () => {
    const db = memory();
    const { results } = await firstValueFrom(db.changes({ includeDocs: true }));
    expect(results[0]?.doc).toMatchObject({ n: LARGE });
    const rows = await firstValueFrom(db.changeRows({ includeDocs: true }).pipe(toArray()));
    expect(rows[0]?.doc).toMatchObject({ n: LARGE });
    const seen: unknown[] = [];
    const options = { name: 'x', since: 0, includeDocs: true } as const;
    await firstValueFrom(db.consume(({ doc }) => seen.push(doc), options));
    expect(seen).toMatchObject([{ n: LARGE }]);
  });

  it('is read in the rows, keys and pages of a view', async () => {
    const urls: string[] = [];
    const text =
      '{"total_rows":2,"offset":0,"rows":[\n' +
      `{"id":"a","key":[${LARGE}],"value":${LARGE}},\n` +
      `{"id":"b","key":[${LARGE}],"value":1,"doc":{"_id":"b","_rev":"1-a","n":${LARGE}}}\n]}\n`;
    const transport: Transport = {
      send: ({ url, body }) => {
        urls.push(decodeURIComponent(url) + (typeof body === 'string' ? body : ''));
        return of({ status: 200, headers: {}, body: of(new TextEncoder().encode(text)) });
      },
    };
    const db = new Couch('http://couch.test', { transport, codec }).use<Row>('db');
    const rows = await firstValueFrom(
      db.viewRows<bigint[], bigint>('d/v', { key: [LARGE], includeDocs: true }).pipe(toArray()),
    );
    expect(rows.map(({ key, value }) => [key, value])).toEqual([
      [[LARGE], LARGE],
      [[LARGE], 1],
    ]);
    expect(rows[1]?.doc?.n).toBe(LARGE);
    expect(String(rows[0])).toContain(String(LARGE));
    expect(urls.at(-1)).toContain(`key=[${LARGE}]`);
    const [page] = await firstValueFrom(
      db.viewPages('d/v', { pageSize: 1, startKey: LARGE }).pipe(take(1), toArray()),
    );
    expect(page?.next?.startKey).toEqual([LARGE]);
    await firstValueFrom(db.view('d/v', { keys: [LARGE] }));
    expect(urls.at(-1)).toContain(`{"keys":[${LARGE}]}`);
  });
});

describe('on a server', () => {
  needs('exact-integers')('the same integers pass through every kind of request', async () => {
    const name = await createDatabase();
    const path = `/${name}/a`;
    await rawFetch(path, { method: 'PUT', body: `{"n":${LARGE},"c":1}` });
    const couch = new Couch(server.authenticatedUrl, { codec });
    const db = couch.use<Row>(name);
    await firstValueFrom(db.upsert('a', (doc) => ({ ...(doc as Row), c: 2 })));
    await firstValueFrom(db.upsert(['a'], (doc) => ({ ...(doc as Row), c: 3 })));
    const coalesced = couch.use<Row>(name, { coalesce: true });
    const doc = await firstValueFrom(coalesced.get('a'));
    await Promise.all([
      firstValueFrom(coalesced.save({ ...doc, c: 4 })),
      firstValueFrom(coalesced.save({ _id: 'b', n: LARGE, c: 1 })),
    ]);
    await firstValueFrom(db.copy('a', 'copy'));
    expect(await firstValueFrom(db.get('copy'))).toMatchObject({ n: LARGE, c: 4 });
    const source = 'function (doc) { emit(doc._id, null); }';
    await firstValueFrom(db.designs.save({ _id: '_design/d', views: { v: { map: source } } }));
    const rows = await firstValueFrom(db.viewRows('d/v', { includeDocs: true }).pipe(toArray()));
    expect(rows.map((row) => row.doc?.n)).toEqual([LARGE, LARGE, LARGE]);
    const found = await firstValueFrom(db.findRows({ selector: { n: LARGE } }).pipe(toArray()));
    expect(found.map(({ n }) => n)).toEqual([LARGE, LARGE, LARGE]);
    for (const feed of ['continuous', 'longpoll', 'eventsource', 'normal'] as const) {
      const options = { feed, since: 0, includeDocs: true, latency: 50, docIds: ['a'] } as const;
      const [change] = (await firstValueFrom(db.changes$(options))).changes;
      expect([feed, change?.doc]).toMatchObject([feed, { n: LARGE }]);
    }
    const text = await (await rawFetch(path)).text();
    expect(text).toContain('"n":9223372036854775807,"c":4');
  });
});
