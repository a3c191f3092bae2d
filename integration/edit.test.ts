import { describe, expect, it } from '@jest/globals';
import { Couch, fields, resolveAllLeaves } from 'corduroy';
import type { DocumentConflict, Database, EditState, LeavesOutcome } from 'corduroy';
import { distinctUntilChanged, filter, firstValueFrom, map, take, takeWhile, toArray } from 'rxjs';
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

/** Writes several leaves of one document, as replication does. */
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
  it('lists present conflicts, adds new ones, and removes resolved ones', async () => {
    const db = await database();
    await firstValueFrom(db.save([{ _id: 'plain' }]));
    await branch(db, 'a', { left: 1 }, { right: 2 });
    const lists = firstValueFrom(
      db.conflicts$().pipe(
        map(idsOf),
        // The merge is written before the loser is deleted. The list may show the state in between.
        distinctUntilChanged(),
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

  it('resolves a stream of conflicts with limited concurrency, and emits failures without ending', async () => {
    const db = await database();
    const ids = Array.from({ length: 12 }, (_, i) => `d${i}`);
    for (const id of ids) await branch(db, id, { left: 1 }, { right: 2 }, { text: id });
    let peak = 0;
    let running = 0;
    const merge = async (...[local, other, base]: Parameters<ReturnType<typeof fields<Card>>>) => {
      running += 1;
      peak = Math.max(peak, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      if (local._id === 'd7') throw new Error('not this one');
      return fields<Card>()(local, other, base) as Card;
    };
    const outcomes: LeavesOutcome<Card>[] = await firstValueFrom(
      db.conflicts$().pipe(resolveAllLeaves(db, merge, { concurrency: 3 }), take(12), toArray()),
    );
    expect(outcomes.filter(({ ok }) => !ok)).toMatchObject([
      { id: 'd7', error: { name: 'Conflict', reason: expect.stringContaining('not this one') } },
    ]);
    expect(peak).toBeLessThanOrEqual(3);
    // The query lingers, and may not have heard of the last write yet.
    await firstValueFrom(db.conflicts$().pipe(filter((left) => idsOf(left) === 'd7')));
    expect(await firstValueFrom(db.get('d3'))).toMatchObject({ left: 1, right: 2, text: 'd3' });
  });
});

describe('edit$', () => {
  it('merges the edits of two editors of one document', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'card', text: 'old' }));
    const other = new Couch(server.authenticatedUrl).use<Card>(db.name);
    const [ada, ben] = [db.edit$('card', { debounce: 10 }), other.edit$('card', { debounce: 10 })];
    const shown: EditState<Card>[] = [];
    const subscription = ada.subscribe((state) => shown.push(state));
    subscription.add(ben.subscribe());
    await Promise.all([firstValueFrom(ada), firstValueFrom(ben)]);
    ada.patch({ left: 1 });
    ben.patch({ right: 2 });
    const bothSaved = filter<EditState<Card>>(
      ({ value, pending }) => value?.left === 1 && value.right === 2 && !pending,
    );
    await Promise.all([firstValueFrom(ada.pipe(bothSaved)), firstValueFrom(ben.pipe(bothSaved))]);
    expect(await firstValueFrom(db.get('card'))).toMatchObject({ text: 'old', left: 1, right: 2 });
    expect(shown[1]).toMatchObject({ value: { left: 1 }, pending: true });
    subscription.unsubscribe();
  });

  it('does not save twice if the answer to a save is lost', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'card', left: 1 }));
    const proxy = await startFaultyProxy(server.url);
    const [, credentials] = /\/\/(.*)@/.exec(server.authenticatedUrl) as RegExpExecArray;
    const unreliable = new Couch(proxy.url.replace('//', `//${credentials}@`)).use<Card>(db.name);
    const edit = unreliable.edit$('card', { debounce: 0, backoff: { initialDelay: 5 } });
    const subscription = edit.subscribe();
    await firstValueFrom(edit);
    proxy.cutAfter(9, { of: 'wire', match: ({ method }) => method === 'PUT', times: 1 });
    edit.patch({ left: 2 });
    await firstValueFrom(edit.pipe(filter(({ pending }) => !pending)));
    expect((await firstValueFrom(db.get('card')))._rev).toMatch(/^2-/);
    subscription.unsubscribe();
    await proxy.close();
  });
});
