import { describe, expect, it } from '@jest/globals';
import { Conflict, ConflictResolution, isConflict } from 'corduroy';
import type { AnyFields, Database, Document, Draft } from 'corduroy';
import { of } from 'rxjs';
import { emptyDatabase, failure, value } from './steps.ts';

interface Page {
  title: string;
  tags: string[];
}

/** Two editors have the same revision in hand, and the first has saved hers. */
async function contested(): Promise<{ db: Database<Page>; second: Document<Page> }> {
  const db = await emptyDatabase<Page>();
  const first: Draft<Page> = { _id: 'second', title: 'of both', tags: ['both'] };
  await value(db.save(first));
  const second = await value(db.get('second'));
  first.title = 'of the first';
  first.tags = ['first'];
  await value(db.save(first));
  second.tags = ['second'];
  return { db, second };
}

async function resolution(db: Database<Page>, doc: Draft<Page>): Promise<ConflictResolution> {
  const error = await failure(db.save(doc));
  if (!isConflict(error) || !(error.resolution instanceof ConflictResolution)) throw error;
  return error.resolution as ConflictResolution;
}

/** The resolution that came of a save, typed as its database is. */
const typed = (left: ConflictResolution): ConflictResolution<Page> =>
  left as unknown as ConflictResolution<Page>;

describe('a conflict', () => {
  it('of two editors of one revision: the second gets Conflict and is in pending', async () => {
    const { db, second } = await contested();
    const error = await failure(db.save(second));
    expect(error).toBeInstanceOf(Conflict);
    const { pending, resolved } = await resolution(db, second);
    expect([...pending]).toEqual([
      ['second', { doc: second, error: 'conflict', reason: 'Document update conflict.' }],
    ]);
    expect(resolved.size).toBe(0);
    expect((await value(db.get('second'))).tags).toEqual(['first']);
  });

  it('is what a save without a revision gets', async () => {
    const { db } = await contested();
    expect(await failure(db.save({ _id: 'second', title: '', tags: [] }))).toBeInstanceOf(Conflict);
  });

  it('prints as <Conflict: second>, and as <Success: …> when it is none', async () => {
    const { db, second } = await contested();
    const left = await resolution(db, second);
    expect(String(left)).toBe('<Conflict: second>');
    expect(String(await value(left.overwrite()))).toBe('<Success: 1 doc updated>');
  });

  it('overwrite resolves it', async () => {
    const { db, second } = await contested();
    const after = await value((await resolution(db, second)).overwrite());
    expect(after.pending.size).toBe(0);
    expect([...after.resolved.keys()]).toEqual(['second']);
    expect(second._rev).toMatch(/^3-/);
    expect(await value(db.get('second'))).toEqual(second);
    expect(second.tags).toEqual(['second']);
  });

  it('resolve merges the local and the server’s copy', async () => {
    const { db, second } = await contested();
    const left = typed(await resolution(db, second));
    const after = await value(
      left.resolve((local, server) => ({
        ...local,
        title: server?.title ?? local.title,
        tags: [...(server?.tags ?? []), ...local.tags],
      })),
    );
    expect(String(after)).toBe('<Success: 1 doc updated>');
    expect(await value(db.get('second'))).toMatchObject({
      title: 'of the first',
      tags: ['first', 'second'],
    });
    // The object that was saved is up to date.
    expect(second).toMatchObject({ title: 'of the first', tags: ['first', 'second'] });
    second.title = 'saved once more';
    await value(db.save(second));
  });

  it('resolve takes a Promise and an Observable of the merged document', async () => {
    for (const later of [
      (doc: Draft<Page>) => Promise.resolve(doc),
      (doc: Draft<Page>) => of(doc),
    ]) {
      const { db, second } = await contested();
      const left = typed(await resolution(db, second));
      const after = await value(left.resolve((local) => later({ ...local, title: 'later' })));
      expect(after.pending.size).toBe(0);
      expect((await value(db.get('second'))).title).toBe('later');
    }
  });

  it('resolve leaves pending what the merge gives null for', async () => {
    const { db, second } = await contested();
    const after = await value((await resolution(db, second)).resolve(() => null));
    expect(String(after)).toBe('<Conflict: second>');
    expect((await value(db.get('second'))).tags).toEqual(['first']);
  });

  it('resolve gives null for what was deleted on the server, and can bring it back', async () => {
    const { db, second } = await contested();
    const left = typed(await resolution(db, second));
    await value(db.delete(await value(db.get('second'))));
    const seen: unknown[] = [];
    const after = await value(
      left.resolve((local, server) => {
        seen.push(server);
        return local;
      }),
    );
    expect(seen).toEqual([null]);
    expect(after.pending.size).toBe(0);
    expect((await value(db.get('second'))).tags).toEqual(['second']);
  });
});

describe('save with a way out', () => {
  it('force on one', async () => {
    const { db, second } = await contested();
    const { pending, resolved } = await value(db.save(second, { force: true }));
    expect([pending.size, [...resolved.keys()]]).toEqual([0, ['second']]);
    expect((await value(db.get('second'))).tags).toEqual(['second']);
  });

  it('force on many', async () => {
    const { db, second } = await contested();
    const docs: Draft<Page>[] = [second, { _id: 'new', title: 'n', tags: [] }];
    const result = await value(db.save(docs, { force: true }));
    expect(String(result)).toBe('<Success: 2 docs updated>');
    expect([...result.resolved.keys()].sort()).toEqual(['new', 'second']);
    expect((await value(db.get('second'))).tags).toEqual(['second']);
  });

  it('merge on one and on many', async () => {
    const merge = (local: Draft<Page>, server: Document<Page> | null): Draft<Page> => ({
      ...local,
      tags: [...(server?.tags ?? []), ...local.tags],
    });
    const one = await contested();
    await value(one.db.save(one.second, { merge }));
    expect((await value(one.db.get('second'))).tags).toEqual(['first', 'second']);
    const many = await contested();
    const result = await value(many.db.save([many.second], { merge }));
    expect(result.pending.size).toBe(0);
    expect((await value(many.db.get('second'))).tags).toEqual(['first', 'second']);
  });

  it('merge that gives null errors with Conflict for one, and leaves one of many pending', async () => {
    const { db, second } = await contested();
    const merge = (): null => null;
    expect(await failure(db.save(second, { merge }))).toBeInstanceOf(Conflict);
    const docs: Draft<Page>[] = [second, { _id: 'new', title: 'n', tags: [] }];
    const result = await value(db.save(docs, { merge }));
    expect([...result.pending.keys()]).toEqual(['second']);
    expect([...result.resolved.keys()]).toEqual(['new']);
  });

  it('merge and force together are refused, and a merge that is no function', async () => {
    const db = await emptyDatabase();
    const merge = (local: AnyFields): AnyFields => local;
    expect(() => db.save({ _id: 'a' }, { merge, force: true })).toThrow(TypeError);
    expect(() => db.save({ _id: 'a' }, { merge: 'mine' as never })).toThrow(TypeError);
  });
});
