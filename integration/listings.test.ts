import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, NotFound } from 'corduroy';
import type { AllDocsOptions, Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, needs, server } from './helpers/server.ts';

interface Pet {
  kind: string;
}

let db: Database<Pet>;
beforeAll(async () => {
  db = new Couch(server.authenticatedUrl).use<Pet>(await createDatabase());
  await firstValueFrom(db.save(['a', 'b', 'c', 'd'].map((id) => ({ _id: id, kind: `k${id}` }))));
  const [gone] = await firstValueFrom(db.get(['d']));
  if (gone) await firstValueFrom(db.delete(gone));
  await firstValueFrom(
    db.designs.save({
      _id: '_design/pets',
      views: { kinds: { map: 'function (doc) { emit(doc.kind, 1); }', reduce: '_sum' } },
    }),
  );
});

describe('allDocs', () => {
  it('emits ids and revisions', async () => {
    const { rows, totalRows } = await firstValueFrom(db.allDocs({ startKey: 'a', limit: 2 }));
    expect(rows.map(({ id, key }) => [id, key])).toEqual([
      ['a', 'a'],
      ['b', 'b'],
    ]);
    expect(rows.map(({ value }) => value.rev)).toEqual(Array(2).fill(expect.stringMatching(/^1-/)));
    expect(totalRows).toBe(4);
  });

  it('takes numbers as keys, as view(_all_docs) does', async () => {
    const idsOf = async (options: AllDocsOptions): Promise<(string | null)[]> => {
      const { rows } = await firstValueFrom(db.allDocs(options));
      const viewed = await firstValueFrom(db.view('_all_docs', options));
      expect(rows.map(({ id, key }) => [id, key])).toEqual(viewed.rows.map((r) => [r.id, r.key]));
      return rows.map(({ id }) => id);
    };
    expect(await idsOf({ startKey: 0, endKey: 'b' })).toContain('a');
    await idsOf({ endKey: 7 });
    await idsOf({ key: 7 });
    await idsOf({ keys: [7, 'a'] });
  });

  it('emits documents with includeDocs', async () => {
    const { rows } = await firstValueFrom(db.allDocs({ key: 'b', includeDocs: true }));
    expect(rows.map(({ doc }) => doc.kind)).toEqual(['kb']);
  });

  it('emits a row for each of the keys, also if it is deleted or missing', async () => {
    const keys = ['c', 'd', 'never'];
    const { rows } = await firstValueFrom(db.allDocs({ keys, includeDocs: true }));
    expect(
      rows.map(({ value, doc, error }) => [value?.deleted ?? false, doc?.kind, error]),
    ).toEqual([
      [false, 'kc', null],
      [true, undefined, null],
      [false, undefined, 'not_found'],
    ]);
  });

  it.each([
    [{ descending: true, limit: 2 }, ['c', 'b']],
    [{ startKey: 'b', endKey: 'c', inclusiveEnd: false }, ['b']],
    [{ startKey: 'a', skip: 1 }, ['b', 'c']],
  ])('applies %j', async (options, ids) => {
    const { rows } = await firstValueFrom(db.allDocs(options));
    expect(rows.map(({ id }) => id)).toEqual(ids);
  });
});

describe('designs.list', () => {
  it('emits only design documents', async () => {
    const { rows } = await firstValueFrom(db.designs.list());
    expect(rows.map(({ id }) => id)).toEqual(['_design/pets']);
    const read = await firstValueFrom(db.designs.list({ includeDocs: true }));
    expect(read.rows[0]?.doc?.views?.['kinds']?.reduce).toBe('_sum');
  });
});

describe('viewQueries', () => {
  it('sends several queries in one request, and emits the results in their order', async () => {
    const [one, all, some] = await firstValueFrom(
      db.viewQueries<string, number>('pets/kinds', [
        { key: 'ka', reduce: false, includeDocs: true },
        {},
        { keys: ['kc', 'ka'], reduce: false },
      ]),
    );
    expect(one?.rows.map(({ id, doc }) => [id, doc?.kind])).toEqual([['a', 'ka']]);
    expect(all?.rows.map(({ key, value }) => [key, value])).toEqual([[null, 3]]);
    expect(some?.rows.map(({ id }) => id)).toEqual(['c', 'a']);
  });

  it('queries all documents and design documents', async () => {
    const [first, last] = await firstValueFrom(
      db.viewQueries('_all_docs', [
        { startKey: 'a', limit: 1 },
        { descending: true, limit: 1 },
      ]),
    );
    expect([first?.rows[0]?.id, last?.rows[0]?.id]).toEqual(['a', 'c']);
    const [designs] = await firstValueFrom(db.viewQueries('_design_docs', [{}]));
    expect(designs?.rows.map(({ id }) => id)).toEqual(['_design/pets']);
  });

  it('errors with NotFound for a missing view', async () => {
    await expect(firstValueFrom(db.viewQueries('pets/none', [{}]))).rejects.toBeInstanceOf(
      NotFound,
    );
  });
});

describe('local documents', () => {
  it('are saved, read, overwritten and deleted', async () => {
    const note: { _id: string; _rev?: string; at: number } = { _id: 'note', at: 1 };
    const first = await firstValueFrom(db.local.save(note));
    expect(first).toEqual({ id: '_local/note', rev: '0-1' });
    expect(note).toEqual({ _id: '_local/note', _rev: '0-1', at: 1 });
    note.at = 2;
    await firstValueFrom(db.local.save(note));
    expect(note._rev).toBe('0-2');
    const read = await firstValueFrom(db.local.get<{ at: number }>('note'));
    expect(read).toEqual({ _id: '_local/note', _rev: '0-2', at: 2 });
    expect(await firstValueFrom(db.local.delete(note))).toMatchObject({
      id: '_local/note',
    });
    await expect(firstValueFrom(db.local.get('note'))).rejects.toBeInstanceOf(NotFound);
    await expect(firstValueFrom(db.local.delete('note'))).rejects.toBeInstanceOf(NotFound);
  });

  needs('local-overwrite')('are overwritten and deleted without their revision', async () => {
    await firstValueFrom(db.local.save({ _id: 'over', n: 1 }));
    await firstValueFrom(db.local.save({ _id: 'over', n: 2 }));
    expect(await firstValueFrom(db.local.get('over'))).toMatchObject({ n: 2 });
    await firstValueFrom(db.local.delete('over'));
    await expect(firstValueFrom(db.local.get('over'))).rejects.toBeInstanceOf(NotFound);
  });

  it('are copied', async () => {
    await firstValueFrom(db.local.save({ _id: 'c/y', n: 1 }));
    expect(await firstValueFrom(db.local.copy('c/y', 'c/z'))).toMatchObject({ id: '_local/c/z' });
    expect(await firstValueFrom(db.local.get('c/z'))).toMatchObject({ n: 1 });
  });

  needs('local-docs')('are listed', async () => {
    for (const _id of ['x/y', 'x/z']) await firstValueFrom(db.local.save({ _id }));
    const { rows } = await firstValueFrom(
      db.local.list({ startKey: '_local/x/', endKey: '_local/x/\ufff0' }),
    );
    expect(rows.map(({ id, value }) => [id, value.rev])).toEqual([
      ['_local/x/y', '0-1'],
      ['_local/x/z', '0-1'],
    ]);
    const short = await firstValueFrom(db.local.list({ startKey: 'x/', endKey: 'x/\ufff0' }));
    expect(short.rows.map(({ id }) => id)).toEqual(['_local/x/y', '_local/x/z']);
    for (const options of [{ key: 'x/y' }, { keys: ['x/y'] }, { key: '_local/x/y' }]) {
      const one = await firstValueFrom(db.local.list(options));
      expect(one.rows.map(({ id }) => id)).toEqual(['_local/x/y']);
    }
    const some = await firstValueFrom(db.local.list({ keys: ['_local/x/z'] }));
    expect(some.rows.map(({ id }) => id)).toEqual(['_local/x/z']);
    const [queried] = await firstValueFrom(db.viewQueries('_local_docs', [{ key: '_local/x/y' }]));
    expect(queried?.rows.map(({ id }) => id)).toEqual(['_local/x/y']);
  });
});
