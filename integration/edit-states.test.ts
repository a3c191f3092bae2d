import { afterEach, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { CouchOptions, Database, EditState, LiveEdit } from 'corduroy';
import type { Observable, Subscription } from 'rxjs';
import {
  Subject,
  catchError,
  combineLatest,
  filter,
  firstValueFrom,
  map,
  of,
  switchMap,
  takeUntil,
} from 'rxjs';
import { lack } from './helpers/capabilities.ts';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import type { FaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

interface Card {
  text?: string;
  left?: number;
  right?: number;
  other?: number;
}

const [, credentials] = /\/\/(.*)@/.exec(server.authenticatedUrl) as RegExpExecArray;
const hash = (letter: string): string => letter.repeat(32);
const subscriptions: Subscription[] = [];
const proxies: FaultyProxy[] = [];
/** Ends the waits of a test that failed. */
const ended$ = new Subject<void>();

afterEach(async () => {
  ended$.next();
  for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
  for (const proxy of proxies.splice(0)) await proxy.close();
});

/** Sends a request as another client. Returns the decoded body. */
async function send(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await rawFetch(path, { method, ...(body !== undefined && { body }) });
  return response.json();
}

/** A client of its own for a database, through a proxy if there is one. */
function client(name: string, proxy?: FaultyProxy, options: CouchOptions = {}): Database<Card> {
  const url = proxy?.url.replace('//', `//${credentials}@`) ?? server.authenticatedUrl;
  return new Couch(url, { live: { backoff: { initialDelay: 5 } }, ...options }).use<Card>(name);
}

/** Waits for the first value with a property. */
function first<V>(values$: Observable<V>, matches: (value: V) => boolean): Promise<V> {
  return firstValueFrom(values$.pipe(filter(matches), takeUntil(ended$)));
}

/** Starts an editor of the document `card`, and waits until it is loaded. */
async function start(db: Database<Card>): Promise<LiveEdit<Card>> {
  const edit = db.edit$('card', { debounce: 10, backoff: { initialDelay: 5, maxDelay: 50 } });
  subscriptions.push(edit.subscribe());
  await firstValueFrom(edit);
  return edit;
}

/** Waits until an editor emits a clean state whose document has these fields. */
async function cleanWith(edit: LiveEdit<Card>, fields: Card | null): Promise<EditState<Card>> {
  const matches = ({ status, value }: EditState<Card>): boolean =>
    status === 'clean' &&
    (fields === null || value === null
      ? fields === value
      : Object.entries(fields).every(([name, field]) => value[name as keyof Card] === field));
  return first(edit, matches);
}

/** Writes a leaf revision as a replicator does. */
async function writeLeaf(name: string, revs: readonly string[], body: object): Promise<void> {
  const [rev = ''] = revs;
  const doc = {
    ...body,
    _id: 'card',
    _rev: rev,
    _revisions: {
      start: Number.parseInt(rev, 10),
      ids: revs.map((one) => one.slice(one.indexOf('-') + 1)),
    },
  };
  await send('POST', `/${name}/_bulk_docs`, { new_edits: false, docs: [doc] });
}

/** Reads all leaf revisions, also the deleted ones. */
async function leavesOf(name: string): Promise<readonly (Card & { readonly _rev: string })[]> {
  const response = await rawFetch(`/${name}/card?open_revs=all`, {
    headers: { accept: 'application/json' },
  });
  const leaves = (await response.json()) as readonly { ok?: Card & { _rev: string } }[];
  return response.ok ? leaves.flatMap(({ ok }) => ok ?? []) : [];
}

async function purge(name: string): Promise<void> {
  const revs = (await leavesOf(name)).map(({ _rev }) => _rev);
  await send('POST', `/${name}/_purge`, { card: revs });
}

describe('edit$ follows', () => {
  it('the losing revision that wins when the leaf of the winner is deleted', async () => {
    const name = await createDatabase();
    await writeLeaf(name, [`1-${hash('a')}`], { text: 'loser' });
    await writeLeaf(name, [`1-${hash('b')}`], { text: 'winner' });
    const edit = await start(client(name));
    await cleanWith(edit, { text: 'winner' });
    await send('DELETE', `/${name}/card?rev=1-${hash('b')}`);
    await cleanWith(edit, { text: 'loser' });
    edit.patch({ left: 1 });
    await cleanWith(edit, { text: 'loser', left: 1 });
    expect(await send('GET', `/${name}/card`)).toMatchObject({ text: 'loser', left: 1 });
  });

  it('the losing revision that wins when the editor deletes the winner', async () => {
    const name = await createDatabase();
    await writeLeaf(name, [`1-${hash('a')}`], { text: 'loser' });
    await writeLeaf(name, [`1-${hash('b')}`], { text: 'winner' });
    const edit = await start(client(name));
    edit.delete();
    await cleanWith(edit, { text: 'loser' });
  });

  it('a live revision that is older than a tombstone', async () => {
    const name = await createDatabase();
    const root = `1-${hash('a')}`;
    await writeLeaf(name, [`3-${hash('c')}`, `2-${hash('b')}`, root], { _deleted: true });
    const edit = await start(client(name));
    await cleanWith(edit, null);
    await writeLeaf(name, [`2-${hash('d')}`, root], { text: 'back' });
    await cleanWith(edit, { text: 'back' });
    edit.patch({ left: 1 });
    await cleanWith(edit, { text: 'back', left: 1 });
  });

  needs('purge')('a document that is purged and created again', async () => {
    const name = await createDatabase();
    const db = client(name);
    for (let left = 1; left < 4; left++)
      await firstValueFrom(db.save({ _id: 'card', left }, { force: true }));
    const edit = await start(client(name));
    await purge(name);
    await send('PUT', `/${name}/card`, { text: 'new' });
    await cleanWith(edit, { text: 'new' });
    edit.patch({ right: 1 });
    await cleanWith(edit, { text: 'new', right: 1 });
    expect(await send('GET', `/${name}/card`)).toMatchObject({ text: 'new', right: 1 });
  });

  needs('purge')('a purge, as soon as it saves, and creates the document again', async () => {
    const name = await createDatabase();
    await firstValueFrom(client(name).save({ _id: 'card', left: 1 }));
    const edit = await start(client(name));
    await purge(name);
    edit.patch({ right: 1 });
    await cleanWith(edit, { left: 1, right: 1 });
    expect(await send('GET', `/${name}/card`)).toMatchObject({ left: 1, right: 1 });
  });

  it('its own deletion, and creates the document again', async () => {
    const name = await createDatabase();
    await firstValueFrom(client(name).save({ _id: 'card', left: 1 }));
    const edit = await start(client(name));
    edit.set({ _deleted: true });
    expect(await firstValueFrom(edit)).toMatchObject({ value: null, pending: true });
    await cleanWith(edit, null);
    expect((await rawFetch(`/${name}/card`)).status).toBe(404);
    edit.patch({ right: 1 });
    expect((await cleanWith(edit, { right: 1 })).value).toEqual({
      _id: 'card',
      _rev: expect.stringMatching(/^3-/),
      right: 1,
    });
  });

  it('other writers while a save is retried', async () => {
    const name = await createDatabase();
    await firstValueFrom(client(name).save({ _id: 'card', left: 1 }));
    const proxy = await startFaultyProxy(server.url);
    proxies.push(proxy);
    const edit = await start(client(name, proxy));
    const heal = proxy.answer({
      match: ({ method }) => method === 'PUT',
      status: 503,
      body: '{"error":"busy","reason":"busy"}',
    });
    edit.patch({ left: 2 });
    await first(edit.state$, ({ status }) => status === 'retrying');
    const { _rev } = (await send('GET', `/${name}/card`)) as { _rev: string };
    await send('PUT', `/${name}/card`, { left: 1, right: 5, _rev });
    const shown = await first(edit, ({ value }) => value?.right === 5);
    expect(shown).toMatchObject({ value: { left: 2 }, status: 'retrying' });
    heal();
    await cleanWith(edit, { left: 2, right: 5 });
  });

  it('a login after a save that was refused with 401', async () => {
    const name = await createDatabase();
    await send('PUT', `/${name}/_security`, { admins: {}, members: {} });
    await send('PUT', `/${name}/card`, { left: 1 });
    const proxy = await startFaultyProxy(server.url);
    proxies.push(proxy);
    proxy.answer({
      match: ({ method, headers }) => method === 'PUT' && headers['cookie'] === undefined,
      status: 401,
      body: '{"error":"unauthorized","reason":"log in"}',
    });
    const couch = new Couch(proxy.url, { live: { backoff: { initialDelay: 5 } } });
    const edit = await start(couch.use<Card>(name));
    edit.patch({ left: 2 });
    const refused = await first(edit, ({ error }) => error !== null);
    expect(refused).toMatchObject({ value: { left: 2 }, error: { name: 'Unauthorized' } });
    await firstValueFrom(couch.login(server.username, server.password));
    await cleanWith(edit, { left: 2 });
    expect(await send('GET', `/${name}/card`)).toMatchObject({ left: 2 });
  });
});

describe('edit$ keeps', () => {
  it('edits that the server refuses, until they are valid or reset', async () => {
    const name = await createDatabase();
    await send('PUT', `/${name}/card`, { text: 'short' });
    await send('PUT', `/${name}/_design/rules`, {
      validate_doc_update:
        "function (doc) { if (doc.text && doc.text.length > 9) throw({ forbidden: 'too long' }); }",
    });
    const edit = await start(client(name));
    edit.patch({ text: 'much too long' });
    await expect(firstValueFrom(edit.save())).rejects.toMatchObject({ name: 'Forbidden' });
    expect(await firstValueFrom(edit)).toMatchObject({
      value: { text: 'much too long' },
      pending: true,
      status: 'refused',
    });
    edit.patch({ text: 'fits' });
    expect(await firstValueFrom(edit.save())).toMatchObject({ text: 'fits' });
    edit.patch({ text: 'much too long' });
    await first(edit.state$, ({ status }) => status === 'refused');
    edit.reset();
    await cleanWith(edit, { text: 'fits' });
  });
});

/** Returns a generator of numbers from 0 up to 1, the same for each seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Writes as another client: an edit, a deletion, a replicated leaf, a deleted leaf or a purge. */
async function rival(name: string, random: () => number, step: number): Promise<void> {
  const leaves = await leavesOf(name);
  const leaf = leaves[Math.floor(random() * leaves.length)];
  const generation = leaf === undefined ? 0 : Number.parseInt(leaf._rev, 10);
  const dice = random();
  if (leaf === undefined || dice < 0.35) {
    await send('PUT', `/${name}/card`, { ...leaf, _deleted: false, other: step });
  } else if (dice < 0.55) {
    await send('DELETE', `/${name}/card?rev=${leaf._rev}`);
  } else if (dice < 0.8 || lack(server.kind, 'purge') !== undefined) {
    const ids = step.toString(16).padStart(32, '0');
    const replicated = 1 + Math.floor(random() * (generation + 2));
    await writeLeaf(name, [`${replicated}-${ids}`], { other: step });
  } else {
    await purge(name);
  }
}

describe('two editors and a rival, over a network that fails', () => {
  it.each([1, 2, 3])('end equal to the server, or in conflict (seed %i)', async (seed) => {
    const name = await createDatabase();
    await send('PUT', `/${name}/card`, { text: 'start' });
    const random = randomOf(seed);
    const proxy = await startFaultyProxy(server.url);
    proxies.push(proxy);
    const edits = [await start(client(name, proxy)), await start(client(name, proxy))] as const;
    const isSave = ({ method }: { readonly method: string }): boolean => method === 'PUT';
    for (let step = 1; step <= 40; step++) {
      const edit = edits[step % 2] as LiveEdit<Card>;
      const dice = random();
      if (dice < 0.5) edit.patch(step % 2 === 0 ? { left: step } : { right: step });
      else if (dice < 0.56) edit.delete();
      else if (dice < 0.6) edit.reset();
      else if (dice < 0.7) proxy.cut();
      else if (dice < 0.76) proxy.lose({ match: isSave, times: 1 });
      else if (dice < 0.82) proxy.drop({ match: isSave, times: 1 });
      await rival(name, random, step);
    }
    proxy.heal();
    // No feed reports the last purge, so that a write follows it.
    let code = 409;
    for (let i = 0; code === 409 && i < 50; i++) {
      const { _rev } = (await send('GET', `/${name}/card`)) as { _rev?: string };
      const doc = { other: 99, ...(_rev !== undefined && { _rev }) };
      const response = await rawFetch(`/${name}/card`, { method: 'PUT', body: doc });
      await response.arrayBuffer();
      code = response.status;
    }
    expect(code).toBe(201);
    const read = client(name);
    const present$ = of(0).pipe(
      switchMap(() => read.get('card')),
      catchError(() => of(null)),
    );
    const isSettled = ({ status }: EditState<Card>): boolean =>
      status === 'clean' || status === 'conflict';
    const settled$ = combineLatest(edits).pipe(
      filter((all) => all.every(isSettled)),
      switchMap((all) => present$.pipe(map((doc) => [all, doc] as const))),
    );
    const [states, present] = await first(settled$, ([all, doc]) =>
      all.every(({ status, value }) => status === 'conflict' || value?._rev === doc?._rev),
    );
    for (const { status, value, error } of states) {
      if (status === 'clean') expect(value).toEqual(present);
      else expect([value, error?.name]).toEqual([null, 'Conflict']);
    }
  });
});
