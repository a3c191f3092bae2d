import { describe, expect, it } from '@jest/globals';
import { BadRequest, Conflict, NotFound } from 'corduroy';
import type { DocumentRef, Draft } from 'corduroy';
import { backwards, emptyDatabase, failure, value } from './steps.ts';

interface Note {
  text: string;
  n?: number;
}
const hundred = (): Draft<Note>[] =>
  Array.from({ length: 100 }, (_, n) => ({
    _id: `note-${String(n).padStart(3, '0')}`,
    text: 'x',
    n,
  }));

describe('one document', () => {
  it('goes round: created, got, changed, deleted, with _rev visible on the object saved', async () => {
    const db = await emptyDatabase<Note>();
    const note: Draft<Note> = { _id: 'first', text: 'created' };
    await value(db.save(note));
    expect(note._rev).toMatch(/^1-/);
    const got = await value(db.get('first'));
    expect(got).toEqual(note);
    got.text = 'changed';
    await value(db.save(got));
    expect(got._rev).toMatch(/^2-/);
    expect((await value(db.get('first'))).text).toBe('changed');
    expect(await value(db.delete(got))).toMatchObject({ ok: true, id: 'first' });
    expect(await failure(db.get('first'))).toBeInstanceOf(NotFound);
  });

  it('without an id is given one', async () => {
    const db = await emptyDatabase<Note>();
    const note: Draft<Note> = { text: 'nameless' };
    await value(db.save(note));
    expect(note._id).toMatch(/^[0-9a-f]{32}$/);
    expect(await value(db.get(note._id as string))).toEqual(note);
  });

  it('delete with a missing id is refused before HTTP', async () => {
    const db = await emptyDatabase<Note>();
    for (const ref of [{}, { _rev: '1-a' }, { _id: null, _rev: '1-a' }, { _id: '', _rev: '1-a' }]) {
      expect(() => db.delete(ref as unknown as DocumentRef)).toThrow(TypeError);
    }
  });

  it('delete of what is not there is NotFound, with an old revision Conflict', async () => {
    const db = await emptyDatabase<Note>();
    const note: Draft<Note> = { _id: 'moving', text: 'first' };
    await value(db.save(note));
    const old = { ...note } as DocumentRef;
    await value(db.save(note));
    expect(await failure(db.delete(old))).toBeInstanceOf(Conflict);
    expect(await failure(db.delete({ ...old, _id: 'elsewhere' }))).toBeInstanceOf(NotFound);
  });

  it('revisions come newest first', async () => {
    const db = await emptyDatabase<Note>();
    const note: Draft<Note> = { _id: 'many', text: '' };
    const written: string[] = [];
    for (const text of ['a', 'b', 'c']) {
      note.text = text;
      await value(db.save(note));
      written.unshift(note._rev as string);
    }
    expect(await value(db.revisions('many'))).toEqual(written);
    expect(await value(db.get('many', { rev: written[2] as string }))).toMatchObject({ text: 'a' });
    expect(await failure(db.revisions('none'))).toBeInstanceOf(NotFound);
    const more = await value(db.get('many', { revs: true, revsInfo: true }));
    expect(more._revisions?.ids).toHaveLength(3);
    expect(more._revs_info?.map(({ rev }) => rev)).toEqual(written);
  });

  it('of a revision that is none is BadRequest', async () => {
    const db = await emptyDatabase<Note>();
    await value(db.save({ _id: 'a', text: '' }));
    expect(await failure(db.get('a', { rev: 'nonsense' }))).toBeInstanceOf(BadRequest);
  });
});

describe('many documents', () => {
  it('a hundred are read ordered and descending', async () => {
    const db = await emptyDatabase<Note>();
    await value(db.save(hundred()));
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    const up = await value(db.view('_all_docs', { includeDocs: true }));
    expect(up.rows.map(({ doc }) => doc?.n)).toEqual(numbers);
    expect(up).toMatchObject({ totalRows: 100, offset: 0 });
    const down = await value(db.view('_all_docs', { includeDocs: true, descending: true }));
    expect(down.rows.map(({ doc }) => doc?.n)).toEqual(backwards(numbers));
    const some = await value(db.view('_all_docs', { startKey: 'note-095', limit: 3 }));
    expect([...some].map(({ key }) => key)).toEqual(['note-095', 'note-096', 'note-097']);
  });

  it('get() without an id reads the first fifty', async () => {
    const db = await emptyDatabase<Note>();
    await value(db.save(hundred()));
    const first = await value(db.get());
    expect(first.map(({ n }) => n)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  it('_all_docs with keys says not_found of a missing one', async () => {
    const db = await emptyDatabase<Note>();
    await value(db.save(hundred()));
    const { rows } = await value(db.view('_all_docs', { keys: ['note-007', 'nothing'] }));
    expect(rows.map(({ id, error }) => [id, error])).toEqual([
      ['note-007', null],
      [null, 'not_found'],
    ]);
  });

  it('multi-get keeps the order, with null for what is missing and for what is deleted', async () => {
    const db = await emptyDatabase<Note>();
    const docs = hundred();
    await value(db.save(docs));
    await value(db.delete(docs[5] as DocumentRef));
    const ids = ['note-042', 'nothing', 'note-005', 'note-000', 'note-042'];
    const got = await value(db.get(ids));
    expect(got.map((doc) => doc?.n ?? null)).toEqual([42, null, null, 0, 42]);
    expect(await value(db.get([]))).toEqual([]);
  });
});

describe('copy', () => {
  it('is from an id or an object', async () => {
    const db = await emptyDatabase<Note>();
    const note: Draft<Note> = { _id: 'from', text: 'old' };
    await value(db.save(note));
    const old = { ...note } as DocumentRef;
    note.text = 'new';
    await value(db.save(note));
    expect(await value(db.copy('from', 'by id'))).toMatchObject({
      id: 'by id',
      rev: expect.stringMatching(/^1-/),
    });
    await value(db.copy(note as DocumentRef, 'by object'));
    await value(db.copy(old, { _id: 'of the old revision' }));
    const copies = await value(db.get(['by id', 'by object', 'of the old revision']));
    expect(copies.map((doc) => doc?.text)).toEqual(['new', 'new', 'old']);
  });

  it('over an existing document conflicts without its revision, and works with it', async () => {
    const db = await emptyDatabase<Note>();
    const there: Draft<Note> = { _id: 'there', text: 'b' };
    await value(db.save([{ _id: 'from', text: 'a' }, there]));
    expect(await failure(db.copy('from', 'there'))).toBeInstanceOf(Conflict);
    expect(await failure(db.copy('from', { _id: 'there' }))).toBeInstanceOf(Conflict);
    const { rev } = await value(db.copy('from', there as DocumentRef));
    expect(await value(db.get('there'))).toEqual({ _id: 'there', _rev: rev, text: 'a' });
    expect(await failure(db.copy('nothing', 'x'))).toBeInstanceOf(NotFound);
  });

  it('of wrong types is refused', async () => {
    const db = await emptyDatabase<Note>();
    for (const wrong of [7, null, undefined, [], { id: 'a' }, '', { _id: 7 }]) {
      expect(() => db.copy(wrong as never, 'b')).toThrow(TypeError);
      expect(() => db.copy('a', wrong as never)).toThrow(TypeError);
    }
  });
});
