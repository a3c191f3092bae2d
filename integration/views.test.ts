import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, NotFound } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, server } from './helpers/server.ts';

interface Person {
  name?: string;
  age?: number;
}

let db: Database<Person>;
beforeAll(async () => {
  db = new Couch(server.authenticatedUrl).use<Person>(await createDatabase());
  const people = ['ada', 'bob', 'cid', 'dot'].map((name, i) => ({
    _id: name,
    name,
    age: 30 + (i % 2),
  }));
  const design = {
    _id: '_design/people',
    views: {
      byAge: { map: 'function (doc) { if (doc.age) emit(doc.age, doc.name); }' },
      count: {
        map: 'function (doc) { if (doc.age) emit([doc.age, doc.name], 1); }',
        reduce: '_sum',
      },
      odd: {
        map: "function (doc) { if (doc.name === 'ada') [null, false, 0, ''].forEach(function (key) { emit(key, key); }); }",
      },
    },
  };
  await firstValueFrom(db.save([...people, design]));
});

const read = async (name: string, options = {}): Promise<unknown[]> =>
  (await firstValueFrom(db.view(name, options))).rows.map(({ id, key, value }) => [id, key, value]);

describe('view', () => {
  it('emits an iterable of rows, with totalRows and offset', async () => {
    const view = await firstValueFrom(db.view<number, string>('people/byAge', { limit: 3 }));
    expect([...view].map(({ key, value }) => [key, value])).toEqual([
      [30, 'ada'],
      [30, 'cid'],
      [31, 'bob'],
    ]);
    expect(view).toMatchObject({
      totalRows: 4,
      offset: 0,
      length: 3,
      options: { limit: 3 },
      updateSeq: null,
    });
    expect(String(view)).toBe('<View: 3 rows of 4>');
    expect(String(view.rows[0])).toBe('<Row: 30 → "ada" of ada>');
  });

  it.each([
    [{ key: 31 }, ['bob', 'dot']],
    [{ keys: [31, 30] }, ['bob', 'dot', 'ada', 'cid']],
    [{ startKey: 31 }, ['bob', 'dot']],
    [{ endKey: 31, inclusiveEnd: false }, ['ada', 'cid']],
    [{ descending: true }, ['dot', 'bob', 'cid', 'ada']],
    [{ skip: 1, limit: 2 }, ['cid', 'bob']],
    [{ keys: [] }, []],
  ])('applies %j', async (options, names) => {
    expect((await read('people/byAge', options)).map((row) => (row as string[])[0])).toEqual(names);
  });

  it('finds falsy keys', async () => {
    for (const key of [null, false, 0, '']) {
      expect(await read('people/odd', { key })).toEqual([['ada', key, key]]);
    }
  });

  it('reduces and groups, or emits rows without reducing', async () => {
    expect(await read('people/count')).toEqual([[null, null, 4]]);
    expect(await read('people/count', { groupLevel: 1 })).toEqual([
      [null, [30], 2],
      [null, [31], 2],
    ]);
    expect(await read('people/count', { groupLevel: 'exact' })).toHaveLength(4);
    expect(await read('people/count', { reduce: false, limit: 1 })).toEqual([
      ['ada', [30, 'ada'], 1],
    ]);
  });

  it('emits the documents with includeDocs', async () => {
    const { rows } = await firstValueFrom(db.view('people/byAge', { includeDocs: true, key: 30 }));
    expect(rows.map(({ doc }) => doc?.name)).toEqual(['ada', 'cid']);
  });

  it('reads _all_docs, with an error row for a missing key', async () => {
    const { rows } = await firstValueFrom(db.view('_all_docs', { keys: ['ada', 'nobody'] }));
    expect(rows.map(({ id, key, error }) => [id, key, error])).toEqual([
      ['ada', 'ada', null],
      [null, 'nobody', 'not_found'],
    ]);
    expect(String(rows[1])).toBe('<Row: "nobody" error not_found>');
  });

  it('errors with NotFound for a missing view', async () => {
    await expect(firstValueFrom(db.view('people/none'))).rejects.toBeInstanceOf(NotFound);
    await expect(firstValueFrom(db.view('none/none'))).rejects.toBeInstanceOf(NotFound);
  });

  it.each([
    ['byAge', {}, /name of a view must be 'design-document\/view' .* \(received "byAge"\)/],
    ['_design/people/_view/byAge', {}, /name of a view must be 'design-document\/view'/],
    ['people/byAge', { startkey: 1 }, /unknown option 'startkey'; did you mean 'startKey'/],
    ['people/byAge', { keys: 'ada' }, /keys must be an array/],
    ['people/byAge', { limit: -1 }, /limit must be a whole number from 0 \(received -1\)/],
    ['people/byAge', { key: Number.NaN }, /key cannot be written as JSON: NaN/],
    ['people/byAge', { stale: 'yes' }, /stale must be one of 'ok', 'update_after'/],
  ])('refuses %s with %j', (name, options, why) => {
    expect(() => db.view(name, options as never)).toThrow(why);
  });
});
