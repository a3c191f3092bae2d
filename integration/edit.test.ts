import { describe, expect, it } from '@jest/globals';
import { Couch, fields, resolveAllLeaves } from 'corduroy';
import type { DocumentConflict, Database, EditState, LeavesOutcome } from 'corduroy';
import { filter, firstValueFrom, map, take, takeWhile, toArray } from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

interface Card {
  text?: string;
  left?: number;
  right?: number;
}

const couch = new Couch(server.authenticatedUrl);
const database = async (): Promise<Database<Card>> => couch.use<Card>(await createDatabase());
const hash = (letter: string): string => letter.repeat(32);

/** Writes leaves beside each other, as replication does. */
async function branch(db: Database<Card>, id: string, ...leaves: Card[]): Promise<void> {
  const docs = leaves.map((leaf, i) => ({
    ...leaf,
    _id: id,
    _rev: `2-${hash('bcdef'[i] as string)}`,
    _revisions: { start: 2, ids: [hash('bcdef'[i] as string), hash('a')] },
  }));
  const base = { _id: id, _rev: `1-${hash('a')}`, _revisions: { start: 1, ids: [hash('a')] } };
  const response = await rawFetch(`/${db.name}/_bulk_docs`, {
    method: 'POST',
    body: { new_edits: false, docs: [base, ...docs] },
  });
  expect(response.ok).toBe(true);
  await response.arrayBuffer();
}
const idsOf = (list: readonly DocumentConflict<Card>[]): string => list.map(({ id }) => id).join();

describe('conflicts$', () => {
  it('lists what was in conflict before, what is later, and no more what was resolved', async () => {
    const db = await database();
    await firstValueFrom(db.save([{ _id: 'plain' }]));
    await branch(db, 'a', { left: 1 }, { right: 2 });
    const lists = firstValueFrom(
      db.conflicts$().pipe(
        map(idsOf),
        takeWhile((ids) => ids !== 'b', true),
        toArray(),
      ),
    );
    const first = await firstValueFrom(db.conflicts$());
    expect(first).toMatchObject([
      { id: 'a', rev: `2-${hash('c')}`, conflicts: [`2-${hash('b')}`], doc: { right: 2 } },
    ]);
    await branch(db, 'b', { left: 1 }, { right: 2 });
    await firstValueFrom(db.conflicts$().pipe(filter((list) => list.length === 2)));
    const [winner] = await firstValueFrom(db.revs.leaves('a'));
    await firstValueFrom(db.revs.resolveLeaves('a', fields()));
    expect(await lists).toEqual(['a', 'a,b', 'b']);
    expect(winner?._rev).toBe(`2-${hash('c')}`);
  });

  it('is resolved as a stream, by so many at a time; what fails is told, and ends nothing', async () => {
    const db = await database();
    const ids = Array.from({ length: 12 }, (_, i) => `d${i}`);
    for (const id of ids) await branch(db, id, { left: 1 }, { right: 2 }, { text: id });
    let most = 0;
    let now = 0;
    const merge = async (...[local, other, base]: Parameters<ReturnType<typeof fields<Card>>>) => {
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
      if (local._id === 'd7') throw new Error('not this one');
      return fields<Card>()(local, other, base) as Card;
    };
    const outcomes: LeavesOutcome<Card>[] = await firstValueFrom(
      db.conflicts$().pipe(resolveAllLeaves(db, merge, { concurrency: 3 }), take(12), toArray()),
    );
    expect(outcomes.filter(({ ok }) => !ok)).toMatchObject([
      { id: 'd7', error: { name: 'Conflict', reason: expect.stringContaining('not this one') } },
    ]);
    expect(most).toBeLessThanOrEqual(3);
    expect(idsOf(await firstValueFrom(db.conflicts$()))).toBe('d7');
    expect(await firstValueFrom(db.get('d3'))).toMatchObject({ left: 1, right: 2, text: 'd3' });
  });
});

describe('edit$', () => {
  it('two who edit one document see each other, and lose nothing', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'card', text: 'old' }));
    const other = new Couch(server.authenticatedUrl).use<Card>(db.name);
    const [ada, ben] = [db.edit$('card', { debounce: 10 }), other.edit$('card', { debounce: 10 })];
    const shown: EditState<Card>[] = [];
    const watching = ada.subscribe((state) => shown.push(state));
    watching.add(ben.subscribe());
    await Promise.all([firstValueFrom(ada), firstValueFrom(ben)]);
    ada.patch({ left: 1 });
    ben.patch({ right: 2 });
    const settled = filter<EditState<Card>>(
      ({ value, pending }) => value?.left === 1 && value.right === 2 && !pending,
    );
    await Promise.all([firstValueFrom(ada.pipe(settled)), firstValueFrom(ben.pipe(settled))]);
    expect(await firstValueFrom(db.get('card'))).toMatchObject({ text: 'old', left: 1, right: 2 });
    expect(shown[1]).toMatchObject({ value: { left: 1 }, pending: true });
    watching.unsubscribe();
  });

  it('does not write twice what was written, when the answer is lost', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'card', left: 1 }));
    const proxy = await startFaultyProxy(server.url);
    const [, credentials] = /\/\/(.*)@/.exec(server.authenticatedUrl) as RegExpExecArray;
    const shaky = new Couch(proxy.url.replace('//', `//${credentials}@`)).use<Card>(db.name);
    const edit = shaky.edit$('card', { debounce: 0, backoff: { initialDelay: 5 } });
    const watching = edit.subscribe();
    await firstValueFrom(edit);
    proxy.cutAfter(9, { of: 'wire', match: ({ method }) => method === 'PUT', times: 1 });
    edit.patch({ left: 2 });
    await firstValueFrom(edit.pipe(filter(({ pending }) => !pending)));
    expect((await firstValueFrom(db.get('card')))._rev).toMatch(/^2-/);
    watching.unsubscribe();
    await proxy.close();
  });
});
