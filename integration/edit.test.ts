import { describe, expect, it } from '@jest/globals';
import { Couch, fields, resolveAllLeaves } from 'corduroy';
import type { DocumentConflict, Database, EditState, LeavesOutcome } from 'corduroy';
import {
  distinctUntilChanged,
  filter,
  firstValueFrom,
  map,
  mergeMap,
  take,
  takeWhile,
  timeout,
  toArray,
} from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

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

  /** Opens an editor, and keeps what it emitted last. */
  const editor = async (db: Database<Card>, id: string) => {
    const edit = db.edit$(id, { debounce: 20, backoff: { initialDelay: 20, maxDelay: 100 } });
    const kept: { last: EditState<Card> | undefined } = { last: undefined };
    const subscription = edit.subscribe((state) => {
      kept.last = state;
    });
    await firstValueFrom(edit);
    const until = (condition: (state: EditState<Card>) => boolean) =>
      firstValueFrom(edit.pipe(filter(condition), timeout(10_000)));
    return { edit, kept, until, close: () => subscription.unsubscribe() };
  };
  const clean = ({ status }: EditState<Card>): boolean => status === 'clean';

  it('follows an older leaf that wins after the winner was deleted', async () => {
    const db = await database();
    await branch(db, 'a', { text: 'loser' }, { text: 'winner' });
    const { edit, until, close } = await editor(db, 'a');
    await until(({ value }) => value?.text === 'winner');
    await firstValueFrom(db.delete({ _id: 'a', _rev: `2-${hash('c')}` }));
    await until(({ value }) => value?.text === 'loser');
    edit.patch({ left: 1 });
    const { value } = await until((state) => clean(state) && state.value?.left === 1);
    expect(value).toMatchObject({ text: 'loser', left: 1 });
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ text: 'loser', left: 1 });
    close();
  });

  it('follows a live revision of an older generation than a tombstone', async () => {
    const db = await database();
    const { _rev } = await firstValueFrom(
      db.save({ _id: 'a', text: 'one' }).pipe(mergeMap(() => db.get('a'))),
    );
    const { edit, until, close } = await editor(db, 'a');
    await firstValueFrom(db.delete({ _id: 'a', _rev }));
    await until(({ value }) => value === null);
    // A replication brings a shorter branch, which is not deleted.
    const leaf = { _id: 'a', _rev: `1-${hash('e')}`, text: 'two' };
    await firstValueFrom(db.save(leaf, { newEdits: false }));
    await until(({ value }) => value?.text === 'two');
    edit.patch({ left: 1 });
    await until((state) => clean(state) && state.value?.left === 1);
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ text: 'two', left: 1 });
    close();
  });

  needs('purge')('follows a purge, and a document that is created again', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'a', text: 'one' }));
    const { edit, until, close } = await editor(db, 'a');
    edit.patch({ left: 1 });
    const { value } = await until((state) => clean(state) && state.value?.left === 1);
    await firstValueFrom(db.purge([{ _id: 'a', _rev: value?._rev as string }]));
    await until((state) => state.value === null);
    edit.set({ text: 'new' });
    await until((state) => clean(state) && state.value?.text === 'new');
    expect((await firstValueFrom(db.get('a')))._rev).toMatch(/^1-/);
    close();
  });

  it('edits again after a deletion', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'a', text: 'one' }));
    const { edit, until, close } = await editor(db, 'a');
    edit.set({ _deleted: true });
    await until((state) => clean(state) && state.value === null);
    await expect(firstValueFrom(db.get('a'))).rejects.toMatchObject({ name: 'NotFound' });
    edit.set({ text: 'two' });
    await until((state) => clean(state) && state.value?.text === 'two');
    edit.delete();
    expect(await firstValueFrom(edit.save())).toBeNull();
    await expect(firstValueFrom(db.get('a'))).rejects.toMatchObject({ name: 'NotFound' });
    close();
  });

  it('saves what the server refused with 401 after a login', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'a', text: 'one' }));
    const proxy = await startFaultyProxy(server.url);
    const session = new Couch(proxy.url);
    await firstValueFrom(session.login(server.username, server.password));
    const { edit, until, close } = await editor(session.use<Card>(db.name), 'a');
    proxy.answer({ status: 401, body: '{"error":"unauthorized","reason":"x"}', match: isWrite });
    edit.patch({ left: 1 });
    const refused = await until(({ error }) => error !== null);
    expect(refused).toMatchObject({ pending: true, status: 'retrying' });
    expect(refused.error?.name).toBe('Unauthorized');
    proxy.heal();
    await firstValueFrom(session.login(server.username, server.password));
    await until(clean);
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ left: 1 });
    close();
    await proxy.close();
  });
});

const isWrite = ({ method }: { readonly method: string }): boolean => method === 'PUT';
