import { afterEach, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { CouchOptions, Database, Merge } from 'corduroy';
import { EMPTY, filter, firstValueFrom, lastValueFrom, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import type { FaultyProxy } from './helpers/faulty-proxy.ts';
import { createDatabase, server as couchdb } from './helpers/server.ts';

// Documents and merges that are legal but rare: objects with methods, empty Observables, read-only fields.

type Note = Record<string, unknown>;

const couch = new Couch(couchdb.authenticatedUrl);

async function database(): Promise<Database<Note>> {
  return couch.use<Note>(await createDatabase());
}

const proxies: FaultyProxy[] = [];
afterEach(async () => {
  for (const proxy of proxies.splice(0)) await proxy.close();
});

/** A database behind a proxy that records requests. */
async function proxied(options: CouchOptions = {}): Promise<{
  readonly db: Database<Note>;
  readonly direct: Database<Note>;
  readonly proxy: FaultyProxy;
}> {
  const proxy = await startFaultyProxy(couchdb.url);
  proxies.push(proxy);
  const direct = await database();
  const through = new Couch(proxy.url, {
    ...options,
    auth: [couchdb.username, couchdb.password],
  });
  return { db: through.use<Note>(direct.name), direct, proxy };
}

/** Keeps an edited document subscribed while the function runs, after its first value. */
async function editing(
  db: Database<Note>,
  options: { readonly merge?: Merge<Note> },
  use: (edit: ReturnType<Database<Note>['edit$']>) => Promise<void>,
): Promise<void> {
  const edit = db.edit$('e', { debounce: 100_000, ...options });
  const subscription = edit.subscribe();
  try {
    await firstValueFrom(edit);
    await use(edit as ReturnType<Database<Note>['edit$']>);
  } finally {
    subscription.unsubscribe();
  }
}

describe('a merge that emits nothing', () => {
  const giveUpOnA: Merge<Note> = (local) =>
    local._id === 'a' ? (EMPTY as Observable<null>) : local;

  it('gives up on its document only', async () => {
    const db = await database();
    for (const id of ['a', 'b']) await firstValueFrom(db.save({ _id: id, v: 1 }));
    const docs = ['a', 'b'].map((_id) => ({ _id, v: 2 }));
    const { pending, resolved } = await firstValueFrom(db.save(docs, { merge: giveUpOnA }));
    expect([[...pending.keys()], [...resolved.keys()]]).toEqual([['a'], ['b']]);
    expect(await firstValueFrom(db.get('b'))).toMatchObject({ v: 2 });
  });

  it('leaves a document as it is in upsert', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'a', v: 1 }));
    const change = (): Observable<null> => EMPTY;
    expect(await firstValueFrom(db.upsert('a', change))).toMatchObject({ v: 1 });
    const { pending } = await firstValueFrom(db.upsert(['a'], change));
    expect(pending.get('a')?.error).toBe('unchanged');
  });

  it('discards the edits of edit$, with an error', async () => {
    const { db, direct } = await proxied();
    const doc: Note = { _id: 'e', n: 0 };
    await firstValueFrom(direct.save(doc));
    await editing(db, { merge: () => EMPTY as Observable<null> }, async (edit) => {
      edit.patch({ n: 1 });
      await firstValueFrom(direct.save({ ...doc, n: 5 }));
      const { value, pending, error } = await firstValueFrom(
        edit.pipe(filter((state) => state.error !== null)),
      );
      expect([value?.['n'], pending]).toEqual([5, false]);
      expect(error).toMatchObject({ error: 'merge_failed' });
    });
  });
});

describe('a merge that emits several documents', () => {
  it('writes the first', async () => {
    const { db, direct, proxy } = await proxied();
    await firstValueFrom(direct.save({ _id: 'a', v: 1 }));
    const twice = (): Observable<Note> => of({ v: 'x' }, { v: 'y' });
    await lastValueFrom(db.save({ _id: 'a', v: 2 }, { merge: twice }));
    expect(await firstValueFrom(direct.get('a'))).toMatchObject({ v: 'x' });
    await lastValueFrom(db.upsert('u', twice));
    expect(await firstValueFrom(direct.get('u'))).toMatchObject({ v: 'x' });
    expect(
      proxy.requests.filter(({ method, url }) => method === 'PUT' && url.endsWith('/u')),
    ).toHaveLength(1);
  });
});
