import { afterEach, describe, expect, it } from '@jest/globals';
import { Couch, counter, fields, newest } from 'corduroy';
import type { CouchOptions, Database, Draft, Merge } from 'corduroy';
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

/** Saves two revisions of a document, and returns the revision of the first. */
async function overwritten(db: Database<Note>, first: Note, second: Note): Promise<string> {
  const doc: Note = { ...first };
  await firstValueFrom(db.save(doc));
  const rev = doc['_rev'] as string;
  await firstValueFrom(db.save({ ...second, _id: first['_id'], _rev: rev } as Note));
  return rev;
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
    await use(edit);
  } finally {
    subscription.unsubscribe();
  }
}

describe('a merge that emits nothing', () => {
  const giveUpOnA: Merge<Note> = (local) => (local._id === 'a' ? EMPTY : local);

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

  it('leaves the edits of edit$ unsaved, with an error', async () => {
    const { db, direct } = await proxied();
    const doc: Note = { _id: 'e', n: 0 };
    await firstValueFrom(direct.save(doc));
    await editing(db, { merge: () => EMPTY }, async (edit) => {
      edit.patch({ n: 1 });
      await firstValueFrom(direct.save({ ...doc, n: 5 }));
      const { value, pending, error } = await firstValueFrom(
        edit.pipe(filter((state) => state.error !== null)),
      );
      expect([value?.['n'], pending]).toEqual([1, true]);
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

/** A document whose fields are private. */
class Pet {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  toJSON(): Note {
    return { name: this.#name };
  }
}

const pet = (name: string): Draft<Note> => new Pet(name) as unknown as Draft<Note>;

describe('a document with the method toJSON', () => {
  it('is written as its result by save, alone and in a list, and again', async () => {
    const db = await database();
    for (const save of [
      (doc: Draft<Note>) => db.save(doc),
      (doc: Draft<Note>) => db.save([doc]),
      (doc: Draft<Note>) => db.save(doc, { merge: fields() }),
    ]) {
      const doc = pet('Ada');
      for (let i = 0; i < 2; i++) {
        const { pending } = await firstValueFrom(save(doc));
        expect(pending.size).toBe(0);
        expect(await firstValueFrom(db.get(doc._id as string))).toEqual({
          _id: doc._id,
          _rev: doc._rev,
          name: 'Ada',
        });
      }
    }
  });

  it('is written as its result by upsert, merge, force and edit$', async () => {
    const db = await database();
    expect(await firstValueFrom(db.upsert('u', () => pet('Bob')))).toMatchObject({ name: 'Bob' });
    await firstValueFrom(db.upsert(['v'], () => pet('Bob')));
    await firstValueFrom(
      db.save([
        { _id: 'm', v: 1 },
        { _id: 'e', v: 1 },
        { _id: 'f', v: 1 },
      ]),
    );
    await firstValueFrom(db.save({ _id: 'm', v: 2 }, { merge: () => pet('Bob') }));
    const forced = Object.assign(pet('Bob'), { _id: 'f' });
    await firstValueFrom(db.save(forced, { force: true }));
    await editing(db, {}, async (edit) => {
      edit.set(pet('Bob'));
      await firstValueFrom(edit.save());
    });
    for (const id of ['u', 'v', 'm', 'f', 'e'])
      expect([id, (await firstValueFrom(db.get(id)))['name']]).toEqual([id, 'Bob']);
    expect(forced._rev).toBe((await firstValueFrom(db.get('f')))._rev);
  });

  it('is merged field by field as its result', async () => {
    const db = await database();
    const _rev = await overwritten(db, { _id: 'a', name: 'Ada', n: 1 }, { name: 'Ada', n: 2 });
    const local = Object.assign(pet('Bob'), { _id: 'a', _rev });
    local['toJSON'] = () => ({ name: 'Bob', n: 1 });
    const { resolved } = await firstValueFrom(db.save(local, { merge: fields() }));
    expect(resolved.get('a')).toMatchObject({ name: 'Bob', n: 2 });
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ name: 'Bob', n: 2 });
    expect(local._rev).toBe(_rev);
  });

  it('is refused if the result is no object, or has another id', async () => {
    const { db, proxy } = await proxied();
    const date = new Date() as unknown as Draft<Note>;
    expect(() => db.save(date)).toThrow('result of toJSON of the document must be an object');
    expect(() => db.save([date])).toThrow('result of toJSON of docs[0] must be an object');
    const other = { _id: 'a', toJSON: () => ({ _id: 'b' }) };
    expect(() => db.save(other)).toThrow('must be the _id of the document itself (received "b")');
    expect(proxy.requests).toEqual([]);
  });
});

describe('a field with the method toJSON', () => {
  it('is refused if JSON would write the result as an empty object', async () => {
    const db = await database();
    expect(() => db.save({ when: { toJSON: () => new Date(0) } })).toThrow(
      'a toJSON that returns a Date (JSON calls toJSON only once) at when',
    );
  });

  it('may return the object itself, or a copy with the method', async () => {
    const db = await database();
    const values = [
      {
        n: 1,
        toJSON(): object {
          return this;
        },
      },
      {
        n: 1,
        toJSON(): object {
          return { ...this };
        },
      },
    ];
    await firstValueFrom(db.save({ _id: 'a', values }));
    expect((await firstValueFrom(db.get('a')))['values']).toEqual([{ n: 1 }, { n: 1 }]);
    await firstValueFrom(db.save({ _id: 'a', values }, { merge: fields() }));
  });
});

describe('dates and other objects that JSON writes as text', () => {
  it('are saved by edit$ if only they change', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'e' }));
    await editing(db, {}, async (edit) => {
      for (const when of [new Date(1), new Date(2e12)]) {
        edit.patch({ when });
        expect(edit.pending).toBe(true);
        await firstValueFrom(edit.save());
        expect(await firstValueFrom(db.get('e'))).toMatchObject({ when: when.toJSON() });
      }
      edit.patch({ when: new Date(2e12).toJSON() });
      expect(edit.pending).toBe(false);
    });
  });

  it('count as unchanged in fields() if their text is unchanged', async () => {
    const db = await database();
    const [old, later] = [new Date(1), new Date(2e12)];
    const _rev = await overwritten(db, { _id: 'a', at: old, n: 1 }, { at: later, n: 1 });
    await firstValueFrom(db.save({ _id: 'a', _rev, at: old, n: 2 }, { merge: fields() }));
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ at: later.toJSON(), n: 2 });
  });

  it('are compared by newest() as their text', async () => {
    const db = await database();
    const date = (year: number): Date => new Date(`${year}-01-01`);
    const _rev = await overwritten(db, { _id: 'a', at: date(2020) }, { at: date(2026) });
    await firstValueFrom(db.save({ _id: 'a', _rev, at: date(2021) }, { merge: newest('at') }));
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ at: date(2026).toJSON() });
    await firstValueFrom(db.save({ _id: 'a', _rev, at: date(2027) }, { merge: newest('at') }));
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ at: date(2027).toJSON() });
  });
});

describe('an object that cannot hold the merged document', () => {
  it('causes no error after the document is written', async () => {
    const db = await database();
    await firstValueFrom(
      db.save([
        { _id: 'a', n: 1 },
        { _id: 'b', n: 1 },
        { _id: 'c', n: 1 },
      ]),
    );
    const computed = {
      _id: 'a',
      n: 2,
      get total(): number {
        return this.n * 2;
      },
    };
    const readOnly = Object.defineProperty({ _id: 'b', n: 2 }, 'k', { value: 1, enumerable: true });
    await firstValueFrom(db.save(computed, { force: true }));
    await firstValueFrom(db.save([readOnly], { force: true }));
    for (const doc of [computed, readOnly] as Note[])
      expect(await firstValueFrom(db.get(doc['_id'] as string))).toEqual({ ...doc });
    const throwing = Object.defineProperty({ _id: 'c', n: 2 }, '_rev', {
      set() {
        throw new Error('read-only');
      },
    });
    const { resolved } = await firstValueFrom(db.save([throwing], { force: true }));
    expect(resolved.get('c')).toEqual(await firstValueFrom(db.get('c')));
  });

  it('stays as it was, with its old revision, if a read-only field was merged', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'a', n: 1 }));
    const local = Object.defineProperty({ _id: 'a', m: 1 }, 'k', { value: 1, enumerable: true });
    const merge = (): Note => ({ m: 2, k: 2 });
    const { resolved } = await firstValueFrom(db.save(local as Note, { merge }));
    expect(resolved.get('a')).toEqual(await firstValueFrom(db.get('a')));
    expect(local).toEqual({ _id: 'a', m: 1, k: 1 });
  });
});

describe('an object that receives the merged document', () => {
  it('loses a removed field with the name of an inherited one', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'a', n: 1 }));
    const local = { _id: 'a', constructor: 'Bauhaus' } as Note;
    await firstValueFrom(db.save(local, { merge: () => ({ n: 7 }) }));
    expect(local).toEqual(await firstValueFrom(db.get('a')));
  });
});

describe('an answer to coalesced writes in another order', () => {
  it('errors, and leaves the ids of the documents as they were', async () => {
    const { db, proxy } = await proxied({ coalesce: { writes: true } });
    const body = JSON.stringify(['b', 'a'].map((id) => ({ ok: true, id, rev: `1-${id}` })));
    proxy.answer({ status: 201, body, match: ({ url }) => url.includes('_bulk_docs') });
    const docs: Note[] = [{ _id: 'a' }, { _id: 'b' }];
    const saves = docs.map((doc) => firstValueFrom(db.save(doc)));
    for (const { status } of await Promise.allSettled(saves)) expect(status).toBe('rejected');
    expect(docs).toEqual([{ _id: 'a' }, { _id: 'b' }]);
  });
});

describe('counter', () => {
  it('adds the increments of integers beyond 2⁵³, also if a copy has a number', () => {
    const big = 2n ** 53n + 1n;
    expect(counter('n', big + 1n, big + 5n, big)).toBe(big + 6n);
    expect(counter('n', 2 ** 53 - 1, big, 2 ** 53 - 2)).toBe(big + 1n);
    expect(counter('n', 1.5, 2n, 1)).toBe(2.5);
    expect(counter('n', 1, 2, null)).toBe(3);
  });
});

describe('an object with methods', () => {
  it('is saved as a local document by its JSON', async () => {
    const db = await database();
    const doc = { _id: 'settings', hidden: 1, toJSON: () => ({ theme: 'dark' }) };
    await firstValueFrom(db.local.save(doc));
    const { _rev, ...stored } = await firstValueFrom(db.local.get('settings'));
    expect(stored).toEqual({ _id: '_local/settings', theme: 'dark' });
  });

  it('is saved although it cannot hold its revision', async () => {
    const db = await database();
    const doc = {
      _id: 'a',
      n: 1,
      set _rev(_rev: string) {
        throw new Error('read-only');
      },
    };
    const { resolved } = await firstValueFrom(db.save(doc as Note));
    const stored = await firstValueFrom(db.get('a'));
    expect(resolved.get('a')).toMatchObject({ _rev: stored._rev });
  });
});
