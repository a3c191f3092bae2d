import { describe, expect, it } from '@jest/globals';
import { Conflict, NotFound } from 'corduroy';
import type { Document } from 'corduroy';
import { begin, bytesOf, type Owner, utf8 } from './attached.ts';
import { failure, unlessEmbedded, value } from './steps.ts';

const needsOnlyTheName = unlessEmbedded('the embedded server wants the digest in a stub');
describe('an attachment', () => {
  it('of text', async () => {
    const { db, doc, typeOf } = await begin();
    const written = await value(db.putAttachment(doc, 'Grüße', 'greeting.txt'));
    expect(written).toEqual({ ok: true, id: 'owner', rev: doc._rev });
    expect(doc._rev).toMatch(/^2-/);
    expect(utf8(await value(db.getAttachment(doc as Document, 'greeting.txt')))).toBe('Grüße');
    expect(await typeOf('greeting.txt')).toMatch(/^text\/plain/);
  });

  it('that is binary', async () => {
    const { db, doc, typeOf } = await begin();
    await value(db.putAttachment(doc, bytesOf(1000), 'picture.png'));
    expect(await value(db.getAttachment('owner', 'picture.png'))).toEqual(bytesOf(1000));
    expect(await typeOf('picture.png')).toBe('image/png');
    await value(db.putAttachment(doc, bytesOf(9).buffer, 'no-such-ending.q'));
    expect(await typeOf('no-such-ending.q')).toBe('application/octet-stream');
    expect(await value(db.getAttachment('owner', 'no-such-ending.q'))).toHaveLength(9);
  });

  it('that is empty', async () => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, '', 'empty.txt'));
    await value(db.putAttachment(doc, new Uint8Array(), 'empty.bin'));
    for (const name of ['empty.txt', 'empty.bin']) {
      expect(await value(db.getAttachment('owner', name))).toHaveLength(0);
    }
  });

  it('that is JSON, as raw bytes', async () => {
    const { db, doc, typeOf } = await begin();
    const json = '{"b": 1,   "a": [2]}';
    await value(db.putAttachment(doc, json, 'data.json', { contentType: 'application/json' }));
    expect(utf8(await value(db.getAttachment('owner', 'data.json')))).toBe(json);
    expect(await typeOf('data.json')).toBe('application/json');
  });

  it('that is missing is NotFound', async () => {
    const { db, doc } = await begin();
    expect(await failure(db.getAttachment('owner', 'none'))).toBeInstanceOf(NotFound);
    expect(await failure(db.getAttachment('nobody', 'none'))).toBeInstanceOf(NotFound);
    expect(await failure(db.deleteAttachment(doc as Document, 'none'))).toBeInstanceOf(NotFound);
  });

  it('without a file name is refused', async () => {
    const { db, doc } = await begin();
    expect(() => db.putAttachment(doc, 'text')).toThrow(/give a filename/);
    expect(() => db.putAttachment(doc, 'text', '')).toThrow(TypeError);
    expect(() => db.getAttachment('owner', undefined as never)).toThrow(TypeError);
    expect(() => db.deleteAttachment(doc as Document, '')).toThrow(TypeError);
    expect(() => db.putAttachment(doc, 7 as never, 'n')).toThrow(TypeError);
    expect(() => db.putAttachment({} as never, 'text', 'n')).toThrow(TypeError);
  });

  it('is replaced, and deleted', async () => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, 'one', 'file.txt'));
    await value(db.putAttachment(doc, 'two', 'file.txt'));
    expect(utf8(await value(db.getAttachment('owner', 'file.txt')))).toBe('two');
    const { rev } = await value(db.deleteAttachment(doc as Document, 'file.txt'));
    expect(doc._rev).toBe(rev);
    expect(await failure(db.getAttachment('owner', 'file.txt'))).toBeInstanceOf(NotFound);
    await value(db.save(doc));
    expect(doc).toEqual({ _id: 'owner', _rev: doc._rev, kept: true });
    expect(await value(db.get('owner'))).toEqual(doc);
  });

  it('of an old revision of its document is a Conflict', async () => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, 'one', 'file.txt'));
    const old = { ...doc };
    await value(db.putAttachment(doc, 'other', 'other.txt'));
    expect(await failure(db.putAttachment(old, 'two', 'file.txt'))).toBeInstanceOf(Conflict);
    expect(await failure(db.deleteAttachment(old as Document, 'file.txt'))).toBeInstanceOf(
      Conflict,
    );
    expect(old._rev).toMatch(/^2-/);
  });

  it('creates a document that is not there yet', async () => {
    const { db } = await begin();
    const fresh: Owner = { _id: 'fresh' };
    await value(db.putAttachment(fresh, 'text', 'file.txt'));
    expect(fresh._rev).toMatch(/^1-/);
    expect(utf8(await value(db.getAttachment(fresh as Document, 'file.txt')))).toBe('text');
  });

  it.each(['a/b.txt', 'a b+c%.txt', 'ünïcödé.txt', '漢字.txt'])('is named %j', async (name) => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, 'text', name));
    expect(utf8(await value(db.getAttachment('owner', name)))).toBe('text');
    expect(Object.keys((await value(db.get('owner')))._attachments ?? {})).toEqual([name]);
    await value(db.deleteAttachment(doc as Document, name));
  });

  needsOnlyTheName('survives the next save, which sends its stub', async () => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, 'text', 'file.txt'));
    doc['changed'] = true;
    await value(db.save(doc));
    expect(utf8(await value(db.getAttachment('owner', 'file.txt')))).toBe('text');
    expect((await value(db.get('owner')))['changed']).toBe(true);
  });

  needsOnlyTheName('survives that another one is written, and the next save', async () => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, 'one', 'one.txt'));
    await value(db.putAttachment(doc, 'two', 'two.txt'));
    await value(db.save(doc));
    expect(utf8(await value(db.getAttachment('owner', 'one.txt')))).toBe('one');
    expect(utf8(await value(db.getAttachment('owner', 'two.txt')))).toBe('two');
  });

  it('survives a save of its document as it was read', async () => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, 'text', 'file.txt'));
    const read = await value(db.get('owner'));
    read['changed'] = true;
    await value(db.save(read));
    expect(utf8(await value(db.getAttachment('owner', 'file.txt')))).toBe('text');
  });
});
