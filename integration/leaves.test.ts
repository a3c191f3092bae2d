import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Couch, counter, fields, union } from 'corduroy';
import type { Database, Document, FieldResolver } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

interface Card {
  [field: string]: unknown;
}

const couch = new Couch(server.authenticatedUrl);
const database = async (): Promise<Database<Card>> => couch.use<Card>(await createDatabase());

/** Writes a revision as replication does: as another leaf, without a conflict. */
async function graft(db: Database<Card>, doc: object, ...hashes: string[]): Promise<void> {
  const start = hashes.length;
  const response = await rawFetch(`/${db.name}/_bulk_docs`, {
    method: 'POST',
    body: {
      new_edits: false,
      docs: [{ ...doc, _rev: `${start}-${hashes[0]}`, _revisions: { start, ids: hashes } }],
    },
  });
  expect(response.ok).toBe(true);
  await response.arrayBuffer();
}
const hash = (letter: string): string => letter.repeat(32);

describe('leaves', () => {
  it("reads the winner first, by CouchDB's own rule", async () => {
    const db = await database();
    await graft(db, { _id: 'card', n: 0 }, hash('a'));
    await graft(db, { _id: 'card', n: 1 }, hash('b'), hash('a'));
    await graft(db, { _id: 'card', n: 2 }, hash('d'), hash('c'), hash('a'));
    await graft(db, { _id: 'card', n: 3 }, hash('e'), hash('c'), hash('a'));
    await graft(db, { _id: 'card', _deleted: true }, hash('f'), hash('a'));
    const all = await firstValueFrom(db.revs.leaves('card'));
    expect(all.map(({ n }) => n)).toEqual([3, 2, 1]);
    expect(all[0]?._rev).toBe((await firstValueFrom(db.get('card')))._rev);
  });

  it('errors with NotFound if the document is missing or deleted', async () => {
    const db = await database();
    await expect(firstValueFrom(db.revs.leaves('none'))).rejects.toMatchObject({
      name: 'NotFound',
    });
    await graft(db, { _id: 'gone', _deleted: true }, hash('a'));
    await expect(firstValueFrom(db.revs.leaves('gone'))).rejects.toMatchObject({ deleted: true });
  });
});

describe('resolveLeaves', () => {
  it('writes the winner and deletes the losers', async () => {
    const db = await database();
    await graft(db, { _id: 'card', base: true }, hash('a'));
    await graft(db, { _id: 'card', base: true, left: 1 }, hash('b'), hash('a'));
    await graft(db, { _id: 'card', base: true, right: 2 }, hash('c'), hash('a'));
    const resolved = await firstValueFrom(db.revs.resolveLeaves('card', fields()));
    expect(resolved).toMatchObject({ base: true, left: 1, right: 2 });
    expect(await firstValueFrom(db.revs.leaves('card'))).toHaveLength(1);
    expect(await firstValueFrom(db.get('card'))).toEqual({
      _id: 'card',
      _rev: resolved._rev,
      base: true,
      left: 1,
      right: 2,
    });
  });

  it('writes nothing without conflicts, or if the merge gives up', async () => {
    const db = await database();
    await graft(db, { _id: 'card', n: 0 }, hash('a'));
    expect((await firstValueFrom(db.revs.resolveLeaves('card', () => null)))._rev).toBe(
      `1-${hash('a')}`,
    );
    await graft(db, { _id: 'card', n: 1 }, hash('b'));
    await expect(firstValueFrom(db.revs.resolveLeaves('card', () => null))).rejects.toMatchObject({
      name: 'Conflict',
      reason: 'the merge gave up',
    });
    expect(await firstValueFrom(db.revs.leaves('card'))).toHaveLength(2);
  });

  it('starts again if the tree changes meanwhile, and loses no leaf', async () => {
    const db = await database();
    await graft(db, { _id: 'card', base: 0 }, hash('a'));
    await graft(db, { _id: 'card', base: 0, left: 1 }, hash('b'), hash('a'));
    await graft(db, { _id: 'card', base: 0, right: 2 }, hash('c'), hash('a'));
    let changed = false;
    const merge = fields<Card>();
    const resolved = await firstValueFrom(
      db.revs.resolveLeaves('card', async (local, other, base) => {
        if (!changed) {
          changed = true;
          const [winner] = await firstValueFrom(db.revs.leaves('card'));
          const { _revisions: _history, ...doc } = winner as Document<Card>;
          await firstValueFrom(db.save({ ...doc, third: 3 }));
        }
        return merge(local, other, base) as Card;
      }),
    );
    expect(resolved).toMatchObject({ left: 1, right: 2, third: 3 });
    expect(await firstValueFrom(db.revs.leaves('card'))).toHaveLength(1);
  });

  it('keeps the attachments of every leaf', async () => {
    const db = await database();
    const file = (text: string): object => ({
      content_type: 'text/plain',
      data: Buffer.from(text).toString('base64'),
    });
    await graft(db, { _id: 'card', _attachments: { 'one.txt': file('1') } }, hash('a'));
    await graft(db, { _id: 'card', _attachments: { 'two.txt': file('2') } }, hash('b'));
    await firstValueFrom(db.revs.resolveLeaves('card', fields()));
    for (const [name, text] of [
      ['one.txt', '1'],
      ['two.txt', '2'],
    ] as const) {
      const bytes = await firstValueFrom(db.getAttachment('card', name));
      expect(Buffer.from(bytes).toString()).toBe(text);
    }
  });

  it('makes two replicas equal that were edited separately, and loses no edit', async () => {
    const edit = fc.record({
      on: fc.constantFrom('left', 'right'),
      doc: fc.constantFrom('x', 'y'),
      field: fc.constantFrom('a', 'b', 'c', 'd'),
      value: fc.integer({ min: 1, max: 99 }),
    });
    const larger: FieldResolver = (_field, local, other) =>
      Number(local ?? 0) > Number(other ?? 0) ? local : other;
    await fc.assert(
      fc.asyncProperty(
        fc.array(edit, { maxLength: 12 }),
        fc.constantFrom('left', 'right'),
        async (edits, resolver) => {
          const sides = { left: await database(), right: await database() };
          const sync = async (): Promise<void> => {
            for (const [source, target] of [
              ['left', 'right'],
              ['right', 'left'],
            ] as const) {
              await copyLeaves(sides[source], sides[target]);
            }
          };
          await firstValueFrom(
            sides.left.save([
              { _id: 'x', z: 0 },
              { _id: 'y', z: 0 },
            ]),
          );
          await sync();
          for (const { on, doc, field, value } of edits) {
            await firstValueFrom(sides[on].upsert(doc, (card) => ({ ...card, [field]: value })));
          }
          await sync();
          for (const id of ['x', 'y']) {
            await firstValueFrom(sides[resolver as 'left'].revs.resolveLeaves(id, fields(larger)));
          }
          await sync();
          for (const id of ['x', 'y']) {
            const [left] = await firstValueFrom(sides.left.revs.leaves(id));
            const right = await firstValueFrom(sides.right.revs.leaves(id));
            expect(right).toEqual([left]);
            for (const field of ['a', 'b', 'c', 'd']) {
              const last = (on: string): number | undefined =>
                edits.filter((one) => one.on === on && one.doc === id && one.field === field).at(-1)
                  ?.value;
              const [mine, other] = [last('left'), last('right')];
              const wanted =
                mine === undefined ? other : other === undefined ? mine : Math.max(mine, other);
              expect(left?.[field]).toBe(wanted);
            }
          }
        },
      ),
      { numRuns: server.kind === 'embedded' ? 8 : 15 },
    );
  }, 120_000);
});

/** Copies all leaves of a small database to another, as the replication protocol does. */
async function copyLeaves(source: Database<Card>, target: Database<Card>): Promise<void> {
  for (const id of ['x', 'y']) {
    const response = await rawFetch(`/${source.name}/${id}?open_revs=all&revs=true`, {
      headers: { accept: 'application/json' },
    });
    const docs = ((await response.json()) as { ok: object }[]).map(({ ok }) => ok);
    const written = await rawFetch(`/${target.name}/_bulk_docs`, {
      method: 'POST',
      body: { new_edits: false, docs },
    });
    await written.arrayBuffer();
  }
}

it('counter and union merge without a server', () => {
  expect(counter('n', 12, 13, 10)).toBe(15);
  expect(union('tags', ['a', 'd'], ['b', 'c'], ['a', 'b'])).toEqual(['c', 'd']);
});
