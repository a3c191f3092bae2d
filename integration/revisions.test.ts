import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, isTombstone } from 'corduroy';
import type { Database, DocumentRef } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, needs, server } from './helpers/server.ts';

interface Pet {
  kind: string;
}

let couch: Couch;
let db: Database<Pet>;
beforeAll(async () => {
  couch = new Couch(server.authenticatedUrl);
  db = couch.use<Pet>(await createDatabase());
});

const branch = (id: string, hash: string, kind: string) => ({
  _id: id,
  _rev: `2-${hash}`,
  _revisions: { start: 2, ids: [hash, 'aaa'] },
  kind,
});
const A = 'a'.repeat(32);
const B = 'b'.repeat(32);
const C = 'c'.repeat(32);

describe('save with newEdits: false', () => {
  it('writes several leaves, without a conflict', async () => {
    const docs = [branch('kept', A, 'cat'), branch('kept', B, 'dog')];
    const { pending, resolved } = await firstValueFrom(db.save(docs, { newEdits: false }));
    expect([pending.size, resolved.get('kept')?._rev]).toEqual([0, `2-${B}`]);
    expect(docs.map(({ _rev }) => _rev)).toEqual([`2-${A}`, `2-${B}`]);
    expect(await firstValueFrom(db.revisions('kept'))).toEqual([`2-${B}`, '1-aaa']);
    expect((await firstValueFrom(db.revs.leaves('kept'))).map(({ kind }) => kind)).toEqual([
      'dog',
      'cat',
    ]);
  });

  it('writes a single document, and the same revision again without an error', async () => {
    const doc = branch('alone', A, 'cat');
    for (let round = 0; round < 2; round++) {
      const { resolved } = await firstValueFrom(db.save(doc, { newEdits: false }));
      expect(resolved.get('alone')?._rev).toBe(`2-${A}`);
    }
    expect(await firstValueFrom(db.revisions('alone'))).toEqual([`2-${A}`, '1-aaa']);
  });
});

describe('revs', () => {
  beforeAll(async () => {
    const gone = { ...branch('tree', C, 'fox'), _deleted: true };
    const docs = [branch('tree', A, 'cat'), branch('tree', B, 'dog'), gone];
    await firstValueFrom(db.save(docs, { newEdits: false }));
  });

  it('open reads all leaves, including deleted ones', async () => {
    const all = await firstValueFrom(db.revs.open('tree', 'all'));
    const read = new Map(all.map((one) => [one.rev, one.ok && isTombstone(one.doc)]));
    expect(read).toEqual(
      new Map([
        [`2-${A}`, false],
        [`2-${B}`, false],
        [`2-${C}`, true],
      ]),
    );
  });

  it('open reads the named revisions, and reports the missing ones', async () => {
    const read = await firstValueFrom(db.revs.open('tree', [`2-${A}`, '9-none'], { revs: true }));
    expect(read).toHaveLength(2);
    expect(read.find(({ ok }) => ok)).toMatchObject({
      id: 'tree',
      rev: `2-${A}`,
      doc: { kind: 'cat', _revisions: { start: 2, ids: [A, 'aaa'] } },
    });
    expect(read.find(({ ok }) => !ok)).toEqual({
      ok: false,
      id: 'tree',
      rev: '9-none',
      error: 'not_found',
      reason: 'missing',
    });
  });

  it('bulkGet reads many documents, and emits each outcome as a value', async () => {
    await firstValueFrom(db.save({ _id: 'single', kind: 'cow' }));
    const read = await firstValueFrom(
      db.revs.bulkGet(['single', { id: 'tree', rev: `2-${A}` }, { id: 'never' }]),
    );
    expect(read.map(({ id }) => id)).toEqual(['single', 'tree', 'never']);
    const [single, tree, never] = read.map(({ revisions }) => revisions);
    expect(single).toMatchObject([{ ok: true, doc: { kind: 'cow' } }]);
    expect(tree).toMatchObject([{ ok: true, rev: `2-${A}`, doc: { kind: 'cat' } }]);
    expect(never).toMatchObject([{ ok: false, rev: null, error: 'not_found' }]);
  });

  needs('bulk-get-leaves')('bulkGet reads all leaves if no revision is named', async () => {
    const [tree] = await firstValueFrom(db.revs.bulkGet(['tree'], { revs: true }));
    expect(tree?.revisions.map(({ rev }) => rev).sort()).toEqual([`2-${A}`, `2-${B}`, `2-${C}`]);
  });

  it('open with latest reads the leaf that descends from a revision', async () => {
    const pet: Pet & Partial<DocumentRef> = { _id: 'grown', kind: 'pup' };
    await firstValueFrom(db.save(pet));
    const first = pet._rev as string;
    await firstValueFrom(db.save(Object.assign(pet, { kind: 'dog' })));
    const read = await firstValueFrom(db.revs.open('grown', [first], { latest: true }));
    expect(read).toMatchObject([{ ok: true, rev: pet._rev, doc: { kind: 'dog' } }]);
  });

  it('current reads the revision, or null for a missing or deleted document', async () => {
    const pet: Pet & Partial<DocumentRef> = { _id: 'headed', kind: 'cat' };
    await firstValueFrom(db.save(pet));
    expect(await firstValueFrom(db.revs.current('headed'))).toBe(pet._rev);
    await firstValueFrom(db.delete(pet as DocumentRef));
    expect(await firstValueFrom(db.revs.current('headed'))).toBeNull();
    expect(await firstValueFrom(db.revs.current('never'))).toBeNull();
  });

  needs('atts-since')('get with attsSince reads only newer attachments', async () => {
    const pet: Pet & DocumentRef = { _id: 'filed', kind: 'cat' } as Pet & DocumentRef;
    await firstValueFrom(db.putAttachment(pet, 'one', 'one.txt'));
    const since = pet._rev;
    await firstValueFrom(db.putAttachment(pet, 'two', 'two.txt'));
    const read = await firstValueFrom(db.get('filed', { attachments: true, attsSince: [since] }));
    expect(read._attachments).toMatchObject({
      'one.txt': { stub: true },
      'two.txt': { data: btoa('two') },
    });
  });
});

describe('missing revisions', () => {
  it('are emitted by diff', async () => {
    await firstValueFrom(db.save(branch('known', A, 'cat'), { newEdits: false }));
    const lacking = await firstValueFrom(
      db.revs.diff({ known: [`2-${A}`, `3-${B}`], unknown: [`1-${C}`] }),
    );
    expect(lacking.get('known')?.missing).toEqual([`3-${B}`]);
    expect(lacking.get('unknown')?.missing).toEqual([`1-${C}`]);
    const nothing = await firstValueFrom(db.revs.diff(new Map([['known', [`2-${A}`]]])));
    expect(nothing.size).toBe(0);
  });

  needs('possible-ancestors')('are emitted by diff with their possible ancestors', async () => {
    const lacking = await firstValueFrom(db.revs.diff({ known: [`3-${B}`] }));
    expect(lacking.get('known')?.possibleAncestors).toEqual([`2-${A}`]);
  });

  it('are emitted by missing', async () => {
    const lacking = await firstValueFrom(
      db.revs.missing({ known: [`2-${A}`, `3-${B}`], unknown: [`1-${C}`] }),
    );
    expect(lacking).toEqual(
      new Map([
        ['known', [`3-${B}`]],
        ['unknown', [`1-${C}`]],
      ]),
    );
  });
});

needs('seq-interval')('changes with seqInterval emits only some sequences', async () => {
  const many = couch.use<{ n: number }>(await createDatabase());
  await firstValueFrom(many.save(Array.from({ length: 6 }, (_, n) => ({ n }))));
  const { results } = await firstValueFrom(many.changes({ seqInterval: 3 }));
  expect(results).toHaveLength(6);
  expect(results.filter(({ seq }) => seq !== null).length).toBeLessThan(6);
});

needs('attachment-encoding')(
  'changes with attEncodingInfo emits the encoding of attachments',
  async () => {
    const pet = { _id: 'encoded', kind: 'cat' };
    await firstValueFrom(db.putAttachment(pet, 'a'.repeat(5000), 'long.txt'));
    const { results } = await firstValueFrom(
      db.changes({
        docIds: ['encoded'],
        includeDocs: true,
        attachments: true,
        attEncodingInfo: true,
      }),
    );
    expect(results[0]?.doc).toMatchObject({
      _attachments: { 'long.txt': { encoding: 'gzip', encoded_length: expect.any(Number) } },
    });
  },
);
