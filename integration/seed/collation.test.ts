import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Database } from 'corduroy';
import { needs } from '../helpers/server.ts';
import { backwards, emptyDatabase, value } from './steps.ts';

// In the order of https://docs.couchdb.org/en/stable/ddocs/views/collation.html.
const KEYS: readonly unknown[] = [
  null,
  false,
  true,
  0,
  1,
  2.5,
  10,
  '',
  'a',
  'A',
  'aa',
  'b',
  'B',
  'ba',
  [],
  ['a'],
  ['b'],
  ['b', 'c'],
  ['b', 'c', 'a'],
  {},
  { a: 1 },
  { a: 2 },
  { b: 1 },
  { b: 2, a: 1 },
];

let db: Database<{ at: number; key: unknown }>;
beforeAll(async () => {
  db = await emptyDatabase();
  // Written in another order than the one they are to be read in.
  const docs = KEYS.map((key, at) => ({ _id: `key-${(at * 7) % KEYS.length}`, at, key }));
  const map = "function (doc) { if ('key' in doc) emit(doc.key, doc.at); }";
  const design = { _id: '_design/keys', language: 'javascript', views: { all: { map } } };
  await value(db.save([...docs, design as never]));
});

describe('the collation of 24 keys of all types', () => {
  it('is tried with 24', () => expect(KEYS).toHaveLength(24));

  needs('collation')('ascending', async () => {
    const view = await value(db.view('keys/all'));
    expect(view.rows.map(({ key }) => key)).toEqual(KEYS);
  });

  needs('collation')('descending', async () => {
    const view = await value(db.view('keys/all', { descending: true }));
    expect(view.rows.map(({ key }) => key)).toEqual(backwards(KEYS));
  });

  it('is the same ascending and descending, wherever it is', async () => {
    const up = await value(db.view('keys/all'));
    const down = await value(db.view('keys/all', { descending: true }));
    expect(down.rows.map(({ key }) => key)).toEqual(backwards(up.rows).map(({ key }) => key));
    // Types come in this order on every server.
    const types = up.rows.map(({ key }) => typeName(key));
    expect([...new Set(types)]).toEqual(['null', 'boolean', 'number', 'string', 'array', 'object']);
  });

  it.each(KEYS.map((key, at) => [JSON.stringify(key), key, at] as const))(
    '%s is found by key',
    async (_, key, at) => {
      const found = await value(db.view<unknown, number>('keys/all', { key }));
      expect(found.rows.map((row) => [row.key, row.value])).toEqual([[key, at]]);
      const among = await value(db.view<unknown, number>('keys/all', { keys: [key] }));
      expect(among.rows.map((row) => row.value)).toEqual([at]);
    },
  );

  needs('collation')('each key as both ends of a range gives the one row', async () => {
    for (const key of KEYS) {
      const { rows } = await value(db.view('keys/all', { startKey: key, endKey: key }));
      expect(rows.map((row) => row.key)).toEqual([key]);
    }
  });
});

function typeName(key: unknown): string {
  if (key === null) return 'null';
  return Array.isArray(key) ? 'array' : typeof key;
}
