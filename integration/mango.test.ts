import { beforeAll, describe, expect, it } from '@jest/globals';
import { BadRequest, Couch, NotFound } from 'corduroy';
import type { Database, FindQuery } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, needs, server } from './helpers/server.ts';

interface Film {
  title: string;
  year: number;
  rating?: number | null;
  tags: string[];
  director: { name: string; born?: number };
}

let db: Database<Film>;
beforeAll(async () => {
  db = new Couch(server.authenticatedUrl).use<Film>(await createDatabase());
  const films: (Film & { _id: string })[] = [
    ['ivan', 1962, ['war'], 'Tarkovsky', 1932],
    ['solaris', 1972, ['space', 'sea'], 'Tarkovsky', 1932],
    ['stalker', 1979, ['zone'], 'Tarkovsky', 1932],
    ['alphaville', 1965, ['space', 'city'], 'Godard', 1930],
    ['weekend', 1967, ['road'], 'Godard', 1930],
  ].map(([title, year, tags, name, born]) => ({
    _id: title as string,
    title: title as string,
    year: year as number,
    tags: tags as string[],
    director: { name: name as string, born: born as number },
    ...(title === 'ivan' && { rating: null }),
    ...(title === 'solaris' && { rating: 8 }),
  }));
  await firstValueFrom(db.save(films));
});

const ids = async (selector: FindQuery<Film>['selector']): Promise<string[]> => {
  const { docs } = await firstValueFrom(db.find({ selector }));
  return docs.map(({ _id }) => _id).sort();
};

describe('find', () => {
  it.each<[string, FindQuery<Film>['selector'], string[]]>([
    ['a value', { title: 'ivan' }, ['ivan']],
    ['a range', { year: { $gte: 1965, $lt: 1972 } }, ['alphaville', 'weekend']],
    ['a path', { 'director.name': 'Godard' }, ['alphaville', 'weekend']],
    ['nested fields', { director: { born: { $lt: 1931 } } }, ['alphaville', 'weekend']],
    ['$in', { year: { $in: [1962, 1979] } }, ['ivan', 'stalker']],
    ['$nin', { year: { $nin: [1962, 1979, 1965, 1967] } }, ['solaris']],
    ['$exists', { rating: { $exists: true } }, ['ivan', 'solaris']],
    ['null', { rating: null }, ['ivan']],
    ['$type', { rating: { $type: 'number' } }, ['solaris']],
    ['$mod', { year: { $mod: [5, 0] } }, ['alphaville']],
    ['$regex', { title: { $regex: '^s' } }, ['solaris', 'stalker']],
    ['$all', { tags: { $all: ['space', 'sea'] } }, ['solaris']],
    ['$size', { tags: { $size: 2 } }, ['alphaville', 'solaris']],
    ['$elemMatch', { tags: { $elemMatch: { $eq: 'space' } } }, ['alphaville', 'solaris']],
    ['$allMatch', { tags: { $allMatch: { $gt: 'v' } } }, ['ivan', 'stalker']],
    ['$or', { $or: [{ title: 'ivan' }, { year: 1979 }] }, ['ivan', 'stalker']],
    ['$nor', { $nor: [{ year: { $lt: 1979 } }] }, ['stalker']],
    ['$not', { $not: { year: { $lt: 1979 } } }, ['stalker']],
    ['$and', { $and: [{ year: { $gt: 1965 } }, { year: { $lt: 1972 } }] }, ['weekend']],
  ])('finds documents by %s', async (_, selector, found) => {
    expect(await ids(selector)).toEqual(found);
  });

  needs('mango-operators')('finds documents by operators that only CouchDB has', async () => {
    expect(await ids({ title: { $beginsWith: 'st' } })).toEqual(['stalker']);
    expect(await ids({ director: { $keyMapMatch: { $eq: 'name' } } })).toHaveLength(5);
    expect(await ids({ 'tags.1': 'city' })).toEqual(['alphaville']);
    expect(await ids({ year: { $or: [{ $lt: 1963 }, { $gt: 1978 }] } })).toEqual([
      'ivan',
      'stalker',
    ]);
  });

  it('reads only the requested fields', async () => {
    const query = { selector: { title: 'ivan' }, fields: ['year', 'director.name'] } as const;
    const { docs } = await firstValueFrom(db.find(query));
    expect(docs).toEqual([{ year: 1962, director: { name: 'Tarkovsky' } }]);
  });

  it('reads pages by bookmarks, up to an empty page', async () => {
    const seen: string[] = [];
    let bookmark: string | null = null;
    for (let page = 0; page < 4; page++) {
      const result: { docs: readonly { _id: string }[]; bookmark: string | null } =
        await firstValueFrom(
          db.find({ selector: {}, limit: 2, ...(bookmark !== null && { bookmark }) }),
        );
      seen.push(result.docs.map(({ _id }) => _id).join());
      bookmark = result.bookmark;
    }
    expect(seen).toEqual(['alphaville,ivan', 'solaris,stalker', 'weekend', '']);
  });

  it('stops after 25 documents without a limit', async () => {
    const many = new Couch(server.authenticatedUrl).use<{ n: number }>(await createDatabase());
    await firstValueFrom(many.save(Array.from({ length: 30 }, (_, n) => ({ n }))));
    const { docs } = await firstValueFrom(many.find({ selector: {} }));
    expect(docs).toHaveLength(25);
    const all = await firstValueFrom(many.find({ selector: {}, limit: 100 }));
    expect(all.docs).toHaveLength(30);
  });

  needs('explain-find')('emits execution stats, and a warning if no index fits', async () => {
    const { warning, executionStats } = await firstValueFrom(
      db.find({ selector: { title: 'ivan' }, executionStats: true }),
    );
    expect(warning).toMatch(/no matching index/i);
    expect(executionStats).toMatchObject({ totalDocsExamined: 5, resultsReturned: 1 });
  });

  it('errors with BadRequest for an unknown operator, and for a sort without an index', async () => {
    const wrong = { selector: { title: { $like: 'x' } } } as unknown as FindQuery<Film>;
    await expect(firstValueFrom(db.find(wrong))).rejects.toMatchObject({
      name: 'BadRequest',
      error: 'invalid_operator',
    });
    const sorted = db.find({ selector: { rating: { $gt: null } }, sort: ['rating'] });
    await expect(firstValueFrom(sorted)).rejects.toBeInstanceOf(BadRequest);
  });

  it.each([
    [{}, /has no selector/],
    [{ selector: [] }, /find: selector must be an object \(received an array\)/],
    [{ selector: {}, use_index: 'a' }, /unknown option 'use_index'; did you mean 'useIndex'/],
    [{ selector: {}, limit: 2.5 }, /find: limit must be a whole number from 0 \(received 2.5\)/],
    [{ selector: { year: Number.NaN } }, /find: selector cannot be written as JSON: NaN at year/],
  ])('refuses %j', (query, why) => {
    expect(() => db.find(query as never)).toThrow(why);
  });
});

describe('indexes', () => {
  it('are created, used, listed and deleted', async () => {
    const { indexes } = db;
    const made = await firstValueFrom(
      indexes.create({ fields: ['year', 'title'], name: 'by-year', ddoc: 'films' }),
    );
    expect(made).toEqual({ created: true, ddoc: '_design/films', name: 'by-year' });
    const again = { fields: ['year', 'title'] as const, name: 'by-year', ddoc: 'films' };
    expect((await firstValueFrom(indexes.create(again))).created).toBe(false);

    const { docs, warning } = await firstValueFrom(
      db.find({
        selector: { year: { $gt: 1966 }, title: { $gt: null } },
        sort: [{ year: 'desc' }],
        fields: ['title'],
        useIndex: ['films', 'by-year'],
      }),
    );
    expect([docs.map(({ title }) => title), warning]).toEqual([
      ['stalker', 'solaris', 'weekend'],
      null,
    ]);

    const list = await firstValueFrom(indexes.list());
    expect(list[0]).toMatchObject({ ddoc: null, name: '_all_docs', type: 'special' });
    const [index] = list.slice(1);
    expect(index).toMatchObject({
      ddoc: '_design/films',
      name: 'by-year',
      type: 'json',
      fields: [{ year: 'asc' }, { title: 'asc' }],
      partialFilterSelector: null,
    });
    if (index === undefined) throw new Error('The index is not listed');
    expect(await firstValueFrom(indexes.delete(index))).toBe(true);
    expect(await firstValueFrom(indexes.list())).toHaveLength(1);
    await expect(firstValueFrom(indexes.delete(index))).rejects.toBeInstanceOf(NotFound);
  });

  needs('explain-find')('are explained, with the reasons against the unused ones', async () => {
    const other = new Couch(server.authenticatedUrl).use<Film>(await createDatabase());
    const made = await firstValueFrom(other.indexes.create({ fields: ['rating'], name: 'rated' }));
    const used = await firstValueFrom(other.indexes.explain({ selector: { rating: { $gt: 5 } } }));
    expect(used).toMatchObject({
      index: { name: 'rated', ddoc: made.ddoc, fields: [{ rating: 'asc' }] },
      covering: false,
      selector: { rating: { $gt: 5 } },
      limit: 25,
      skip: 0,
      fields: [],
      mrargs: { start_key: [5] },
      selectorHints: [{ type: 'json', indexable_fields: ['rating'] }],
    });
    expect(used.indexCandidates).toMatchObject([
      { index: { name: '_all_docs' }, usable: true, reasons: ['unfavored_type'] },
    ]);
    const unused = await firstValueFrom(other.indexes.explain({ selector: { title: 'ivan' } }));
    expect(unused.index?.name).toBe('_all_docs');
    expect(unused.indexCandidates).toMatchObject([
      { index: { name: 'rated' }, usable: false, reasons: ['field_mismatch'] },
    ]);
  });

  needs('explain-find')('are explained for a query that no index can serve', async () => {
    const other = new Couch(server.authenticatedUrl).use<Film>(await createDatabase());
    await firstValueFrom(other.indexes.create({ fields: ['rating'], name: 'rated' }));
    const query = { selector: { title: { $gt: null } }, sort: ['year'] as const };
    await expect(firstValueFrom(other.find(query))).rejects.toMatchObject({
      error: 'no_usable_index',
    });
    const { index, indexCandidates } = await firstValueFrom(other.indexes.explain(query));
    expect(index).toBeNull();
    expect(indexCandidates).toContainEqual(
      expect.objectContaining({ usable: false, index: expect.objectContaining({ name: 'rated' }) }),
    );
  });

  needs('partial-index')('are partial with a partialFilterSelector', async () => {
    const made = await firstValueFrom(
      db.indexes.create({ fields: ['year'], partialFilterSelector: { year: { $gt: 1970 } } }),
    );
    const list = await firstValueFrom(db.indexes.list());
    expect(list.find(({ ddoc }) => ddoc === made.ddoc)?.partialFilterSelector).toEqual({
      year: { $gt: 1970 },
    });
    const { docs } = await firstValueFrom(
      db.find({ selector: { year: { $gt: 0 } }, useIndex: made.ddoc.replace('_design/', '') }),
    );
    expect(docs.map(({ title }) => title)).toEqual(['solaris', 'stalker']);
  });

  needs('bulk-index-delete')(
    'are deleted by their design documents, each with its outcome',
    async () => {
      const ddocs: string[] = [];
      for (const field of ['title', 'tags'] as const) {
        ddocs.push((await firstValueFrom(db.indexes.create({ fields: [field] }))).ddoc);
      }
      const outcome = await firstValueFrom(db.indexes.deleteMany([...ddocs, 'nowhere']));
      expect(outcome.failed).toEqual([{ ddoc: '_design/nowhere', error: 'not_found' }]);
      expect([...outcome.deleted].sort()).toEqual(ddocs.sort());
    },
  );
});
