import { beforeAll, describe, expect, it } from '@jest/globals';
import { Conflict, Couch, NotFound, ProtocolError, isConflict } from 'corduroy';
import type { Database, DocumentRef } from 'corduroy';
import { firstValueFrom, retry, toArray } from 'rxjs';
import { createDatabase, server } from './helpers/server.ts';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import { startStub } from './helpers/stub-server.ts';

interface Pet {
  kind: string;
  legs?: number;
}

let db: Database<Pet>;
beforeAll(async () => {
  db = new Couch(server.authenticatedUrl).use<Pet>(await createDatabase());
});

const fails = async (source: Parameters<typeof firstValueFrom>[0]): Promise<unknown> =>
  firstValueFrom(source).then(
    () => 'it did not fail',
    (error: unknown) => error,
  );

describe('get with ifNoneMatch', () => {
  it('emits null for the current revision, and the document for another one', async () => {
    const pet = { _id: 'matched', kind: 'cat', _rev: '' } as Pet & DocumentRef;
    await firstValueFrom(db.save({ _id: 'matched', kind: 'cat' }));
    const first = await firstValueFrom(db.get('matched'));
    expect(await firstValueFrom(db.get(pet._id, { ifNoneMatch: first._rev }))).toBeNull();
    const status = await firstValueFrom(db.get(pet._id, { ifNoneMatch: first._rev }).status());
    expect(status).toMatchObject({ ok: true, code: 304, value: null });
    await firstValueFrom(db.save({ ...first, legs: 3 }));
    const read = await firstValueFrom(db.get(pet._id, { ifNoneMatch: first._rev }));
    expect(read).toMatchObject({ legs: 3 });
    expect(await fails(db.get('no-such-pet', { ifNoneMatch: first._rev }))).toBeInstanceOf(
      NotFound,
    );
  });

  it.each([
    ['', /^get: ifNoneMatch must be a string that is not empty/],
    ['1-a\n', /^get: ifNoneMatch: if-none-match must be a string of characters that a header/],
  ])('refuses %j', (ifNoneMatch, message) => {
    expect(() => db.get('a', { ifNoneMatch })).toThrow(message);
  });
});

describe('save', () => {
  it('creates, changes and deletes a document, and sets _id and _rev on the object', async () => {
    const pet: Pet & Partial<DocumentRef> = { kind: 'cat' };
    const created = await firstValueFrom(db.save(pet));
    expect(pet._id).toMatch(/^[0-9a-f]{32}$/);
    expect(pet._rev).toMatch(/^1-/);
    expect([...created.resolved]).toEqual([[pet._id, pet]]);
    expect(String(created)).toBe('<Success: 1 doc updated>');
    pet.legs = 4;
    await firstValueFrom(db.save(pet));
    expect(pet._rev).toMatch(/^2-/);
    expect(await firstValueFrom(db.get(pet._id as string))).toEqual(pet);
    const deleted = await firstValueFrom(db.delete(pet as DocumentRef));
    expect(deleted).toMatchObject({ ok: true, id: pet._id });
    expect(deleted.rev).toMatch(/^3-/);
  });

  it('errors with a Conflict if another client has changed the document', async () => {
    const mine: Pet & Partial<DocumentRef> = { _id: 'contested', kind: 'dog' };
    await firstValueFrom(db.save(mine));
    const theirs = { ...mine, legs: 3 };
    await firstValueFrom(db.save(theirs));
    const error = await fails(db.save({ ...mine, legs: 4 }));
    expect(error).toBeInstanceOf(Conflict);
    expect(isConflict(error) && [...(error.resolution?.pending.keys() ?? [])]).toEqual([
      'contested',
    ]);
    expect(error).toMatchObject({ status: 409, error: 'conflict', transient: false });
  });

  it('sends the object as it is at the subscription, not at the call', async () => {
    const pet: Pet & Partial<DocumentRef> = { _id: 'late', kind: 'fish' };
    const save = db.save(pet);
    pet.legs = 0;
    await firstValueFrom(save);
    expect(await firstValueFrom(db.get('late'))).toMatchObject({ legs: 0 });
    // A second subscription reads the new _rev, and writes the next revision.
    await firstValueFrom(save);
    expect(pet._rev).toMatch(/^2-/);
  });

  it('leaves a frozen object alone, and emits the revision in the result', async () => {
    const frozen = Object.freeze({ _id: 'frozen', kind: 'stone' });
    const { resolved } = await firstValueFrom(db.save(frozen));
    expect(frozen).not.toHaveProperty('_rev');
    expect(resolved.get('frozen')).toMatchObject({
      kind: 'stone',
      _rev: expect.stringMatching(/^1-/),
    });
  });

  it('saves many documents in one request, with one conflict pending and the others resolved', async () => {
    await firstValueFrom(db.save({ _id: 'taken', kind: 'old' }));
    const docs: (Pet & Partial<DocumentRef>)[] = [
      { _id: 'one', kind: 'a' },
      { _id: 'taken', kind: 'new' },
      { kind: 'nameless' },
      Object.freeze({ _id: 'ice', kind: 'b' }),
    ];
    const result = await firstValueFrom(db.save(docs));
    expect([...result.pending]).toEqual([
      ['taken', { doc: docs[1], error: 'conflict', reason: 'Document update conflict.' }],
    ]);
    expect([...result.resolved.keys()]).toEqual(['one', docs[2]?._id, 'ice']);
    expect(docs[2]?._rev).toMatch(/^1-/);
    expect(String(result)).toBe('<Conflict: taken>');
  });

  it('saves an empty list', async () => {
    const { pending, resolved } = await firstValueFrom(db.save([]));
    expect([pending.size, resolved.size]).toEqual([0, 0]);
  });

  it('does not write a document without an id twice if a retry follows a lost answer', async () => {
    const proxy = await startFaultyProxy(server.url);
    const couch = new Couch(proxy.url, { auth: [server.username, server.password] });
    const through = couch.use<Pet>(await createDatabase());
    proxy.cutAfter(0, { times: 1, match: ({ method }) => method === 'PUT' });
    const pet: Pet = { kind: 'once' };
    const { resolved } = await firstValueFrom(through.save(pet).pipe(retry(1)));
    // CouchDB executed the first attempt, and a read finds that out.
    expect([...resolved.values()]).toEqual([pet]);
    expect((await firstValueFrom(through.info())).docCount).toBe(1);
    await proxy.close();
  });

  it.each([
    ['NaN', { price: { net: [1, Number.NaN] } }, /NaN at price\.net\[1\]/],
    ['Infinity', { far: Infinity }, /Infinity at far/],
    ['a BigInt', { big: 1n }, /a bigint at big/],
    ['a function', { f: () => 1 }, /a function at f/],
    ['a Map', { m: new Map() }, /a Map \(use an object or an array\) at m/],
    ['bytes', { b: new Uint8Array(2) }, /binary data .* at b/],
    ['a hole', { list: [undefined] }, /undefined at list\[0\]/],
    ['an invalid date', { when: new Date('never') }, /an invalid date at when/],
    ['a number', 7, /must be an object \(received 7\)/],
    ['null', null, /must be an object \(received null\)/],
    ['an empty id', { _id: '' }, /must be a string that is not empty \(received ""\)/],
    ['a number as id', { _id: 7 }, /must be a string that is not empty \(received 7\)/],
    ['a private id', { _id: '_x' }, /must not begin with an underscore/],
  ])('refuses %s at the call', (_, doc, why) => {
    expect(() => db.save(doc as never)).toThrow(TypeError);
    expect(() => db.save(doc as never)).toThrow(why);
  });

  it('refuses a cycle and a list with an invalid document, and names the path', () => {
    const loop: Record<string, unknown> = { _id: 'loop' };
    loop['list'] = [{ back: loop }];
    expect(() => db.save(loop as never)).toThrow(
      /"loop" cannot be written as JSON: a cycle at list\[0\]\.back/,
    );
    expect(() => db.save([{ kind: 'a' }, 'b' as never])).toThrow(
      /^docs\[1\] must be an object \(received "b"\)/,
    );
  });

  it('errors before any request if the document has become invalid since the call', async () => {
    const stub = await startStub();
    const pet: Pet = { kind: 'ok', legs: 1 };
    const save = new Couch(stub.url).use<Pet>('x').save(pet);
    pet.legs = Number.NaN;
    expect(await fails(save)).toMatchObject({ message: expect.stringContaining('NaN at legs') });
    expect(stub.requests).toHaveLength(0);
    await stub.close();
  });

  it('writes dates, undefined fields and objects with toJSON as JSON does', async () => {
    const when = new Date(0);
    await firstValueFrom(db.save({ _id: 'dated', kind: 'x', when, not: undefined } as never));
    expect(await firstValueFrom(db.get('dated'))).toMatchObject({ when: when.toJSON() });
  });
});

describe('get', () => {
  it('errors with NotFound, and distinguishes a deleted document from a missing one', async () => {
    expect(await fails(db.get('never'))).toMatchObject({ name: 'NotFound', deleted: false });
    const pet: Pet & Partial<DocumentRef> = { _id: 'gone', kind: 'x' };
    await firstValueFrom(db.save(pet));
    await firstValueFrom(db.delete(pet as DocumentRef));
    expect(await fails(db.get('gone'))).toMatchObject({ name: 'NotFound', deleted: true });
  });

  it('reads a list in its order, with null for missing and deleted documents', async () => {
    await firstValueFrom(db.save([1, 2, 3].map((n) => ({ _id: `list-${n}`, kind: String(n) }))));
    const found = await firstValueFrom(db.get(['list-3', 'never', 'list-1', 'gone', 'list-3']));
    expect(found.map((doc) => doc?.kind ?? null)).toEqual(['3', null, '1', null, '3']);
  });

  it('reads the first documents without an argument, and refuses undefined as an argument', async () => {
    const first = await firstValueFrom(db.get());
    expect(first.length).toBeGreaterThan(3);
    expect(first.every(({ _rev }) => typeof _rev === 'string')).toBe(true);
    expect(() => db.get(undefined as never)).toThrow(
      /must be a string that is not empty \(received undefined\)/,
    );
    expect(() => db.get(['a', undefined as never])).toThrow(/ids\[1\] must be a string/);
  });

  it('reads an old revision, and the ancestry of a document', async () => {
    const pet: Pet & Partial<DocumentRef> = { _id: 'versions', kind: 'first' };
    await firstValueFrom(db.save(pet));
    const rev = pet._rev as string;
    pet.kind = 'second';
    await firstValueFrom(db.save(pet));
    expect(await firstValueFrom(db.get('versions', { rev }))).toMatchObject({
      kind: 'first',
      _rev: rev,
    });
    const { _revisions } = await firstValueFrom(db.get('versions', { revs: true }));
    expect(_revisions?.start).toBe(2);
  });

  it('refuses an unknown option, and suggests the right one', () => {
    expect(() => db.get('a', { revs_info: true } as never)).toThrow(/did you mean 'revsInfo'/);
    expect(() => db.get('a', { revs: 1 } as never)).toThrow(
      /revs must be true or false \(received 1\)/,
    );
  });

  it('errors with a ProtocolError if the answer is not a document', async () => {
    const stub = await startStub((_, response) => response.end('[]'));
    expect(await fails(new Couch(stub.url).use('x').get('y'))).toBeInstanceOf(ProtocolError);
    await stub.close();
  });
});

describe('delete', () => {
  it.each([
    ['without _id', { _rev: '1-a' }, /_id must be a string/],
    [
      'with null as _id',
      { _id: null, _rev: '1-a' },
      /_id must be a string that is not empty \(received null\)/,
    ],
    ['without _rev', { _id: 'x' }, /has no _rev; read it first/],
    [
      'that is a string',
      'x',
      /^delete: the document must be an object with _id and _rev \(received "x"\)$/,
    ],
  ])('refuses a document %s', (_, doc, why) => {
    expect(() => db.delete(doc as never)).toThrow(why);
  });

  it('errors with Conflict for an old revision, and with NotFound for a missing document', async () => {
    const pet: Pet & Partial<DocumentRef> = { _id: 'moving', kind: 'x' };
    await firstValueFrom(db.save(pet));
    const old = { ...pet } as DocumentRef;
    await firstValueFrom(db.save(pet));
    expect(await fails(db.delete(old))).toBeInstanceOf(Conflict);
    expect(await fails(db.delete({ _id: 'never-was', _rev: old._rev }))).toBeInstanceOf(NotFound);
  });
});

it('emits once and completes', async () => {
  expect(await firstValueFrom(db.get('one').pipe(toArray()))).toHaveLength(1);
});

it('status() emits success and failure without an error', async () => {
  const good = await firstValueFrom(db.get('one').status());
  expect(good).toMatchObject({
    ok: true,
    code: 200,
    error: null,
    exception: null,
    value: { _id: 'one' },
  });
  const bad = await firstValueFrom(db.get('never').status());
  expect(bad).toMatchObject({
    ok: false,
    code: 404,
    value: null,
    exception: { reason: 'missing' },
  });
  expect(bad.error).toBe(NotFound);
});
