import { describe, expect, it } from '@jest/globals';
import {
  Conflict,
  Couch,
  counter,
  fields,
  newest,
  ours,
  resolveConflicts,
  theirs,
  union,
} from 'corduroy';
import type { Database, DocumentRef } from 'corduroy';
import { firstValueFrom, forkJoin, from, lastValueFrom, of } from 'rxjs';
import { concatMap, toArray } from 'rxjs/operators';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { startStub } from './helpers/stub-server.ts';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';

interface Note {
  text?: string;
  tags?: string[];
  count?: number;
  at?: string;
}
type Saved = Note & Partial<DocumentRef> & { _id: string };

const database = async (): Promise<Database<Note>> =>
  new Couch(server.authenticatedUrl).use<Note>(await createDatabase());

/** Returns a local copy of a document that has changed on the server since. */
async function diverged(db: Database<Note>, base: Note, remote: Note, local: Note): Promise<Saved> {
  const doc: Saved = { _id: 'note', ...base };
  await firstValueFrom(db.save(doc));
  const { _rev } = doc;
  await firstValueFrom(db.save({ _id: 'note', _rev: _rev as string, ...remote }));
  return { _id: 'note', _rev: _rev as string, ...local };
}

describe('merging', () => {
  it('passes the common ancestor to a merge with three parameters', async () => {
    const db = await database();
    const local = await diverged(db, { text: 'base' }, { text: 'remote' }, { text: 'local' });
    const given: unknown[] = [];
    await firstValueFrom(
      db.save(local, {
        merge: (mine, other, base) => {
          given.push(mine.text, other?.text, base?.text);
          return mine;
        },
      }),
    );
    expect(given).toEqual(['local', 'remote', 'base']);
  });

  it('fields merges field by field, with counters and sets', async () => {
    const db = await database();
    const local = await diverged(
      db,
      { text: 'old', tags: ['a', 'b'], count: 10, at: 'x' },
      { text: 'old', tags: ['b', 'c'], count: 13, at: 'remote' },
      { text: 'new', tags: ['a', 'b', 'd'], count: 12, at: 'local' },
    );
    const merge = fields<Note>((field, ...values) => {
      if (field === 'tags') return union(field, ...values);
      return field === 'count' ? counter(field, ...values) : values[1];
    });
    await firstValueFrom(db.save(local, { merge }));
    expect(await firstValueFrom(db.get('note'))).toMatchObject({
      text: 'new',
      tags: ['b', 'c', 'd'],
      count: 15,
      at: 'remote',
    });
    expect(local).toMatchObject({ count: 15, tags: ['b', 'c', 'd'] });
  });

  it('ours, theirs and newest keep the copy that they name', async () => {
    const db = await database();
    const local = await diverged(db, {}, { text: 'remote', at: '2' }, { text: 'local', at: '1' });
    const outcomes = [ours<Note>, theirs<Note>, newest<Note>('at')].map((merge) =>
      merge({ ...local }, { _id: 'note', _rev: '2-x', text: 'remote', at: '2' }, null),
    );
    expect(outcomes).toMatchObject([{ text: 'local' }, { text: 'remote' }, { text: 'remote' }]);
    expect(theirs(local, null)).toBeNull();
  });

  it('writes a deleted document again if the merge returns one', async () => {
    const db = await database();
    const doc: Saved = { _id: 'note', text: 'one' };
    await firstValueFrom(db.save(doc));
    const local = { ...doc, text: 'still wanted' };
    await firstValueFrom(db.delete(doc as DocumentRef));
    const given: unknown[] = [];
    await firstValueFrom(
      db.save(local, {
        merge: (mine, other) => {
          given.push(other);
          return mine;
        },
      }),
    );
    expect(given).toEqual([null]);
    expect(await firstValueFrom(db.get('note'))).toMatchObject({ text: 'still wanted' });
  });

  it('keeps attachments if the merge returns none', async () => {
    const db = await database();
    const doc: Saved = { _id: 'note', text: 'one' };
    await firstValueFrom(db.save(doc));
    const local: Saved = { ...doc, text: 'two' };
    await firstValueFrom(db.putAttachment(doc, 'hello', 'a.txt'));
    await firstValueFrom(db.save(local, { merge: (mine) => ({ text: mine.text ?? '' }) }));
    const bytes = await firstValueFrom(db.getAttachment('note', 'a.txt'));
    expect(Buffer.from(bytes).toString()).toBe('hello');
  });

  it('errors with a Conflict that can be resolved further, if the merge gives up on a single document', async () => {
    const db = await database();
    const local = await diverged(db, {}, { text: 'remote' }, { text: 'local' });
    const error: unknown = await firstValueFrom(db.save(local, { merge: () => null })).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(Conflict);
    const { resolution } = error as Conflict;
    await firstValueFrom(resolution?.overwrite() ?? of(null));
    expect(await firstValueFrom(db.get('note'))).toMatchObject({ text: 'local' });
  });

  it('reports a document that a validation function refuses, and does not retry it', async () => {
    const db = await database();
    const refuse = 'function (doc) { if (doc.text === "bad") throw { forbidden: "no bad text" }; }';
    await rawFetch(`/${db.name}/_design/v`, {
      method: 'PUT',
      body: { validate_doc_update: refuse },
    });
    await firstValueFrom(db.save({ _id: 'good', text: 'old' }));
    let merges = 0;
    const { pending, resolved } = await firstValueFrom(
      db
        .save([
          { _id: 'refused', text: 'bad' },
          { _id: 'good', text: 'new' },
        ])
        .pipe(
          resolveConflicts((local) => {
            merges += 1;
            return local;
          }),
        ),
    );
    expect([...pending]).toMatchObject([
      ['refused', { error: 'forbidden', reason: 'no bad text' }],
    ]);
    expect([...resolved.keys()]).toEqual(['good']);
    expect(merges).toBe(1);
  });

  it('reports a document that is too large, and writes the others', async () => {
    const db = await database();
    const large = 'x'.repeat(9_000_000);
    const docs = [{ _id: 'a' }, { _id: 'b', text: large }, { _id: 'c' }, { _id: 'd', text: large }];
    const { pending, resolved } = await firstValueFrom(db.save(docs));
    const refused = server.kind === 'embedded' ? [] : ['b', 'd'];
    expect([...pending.keys()]).toEqual(refused);
    expect([...resolved.keys()]).toEqual(
      ['a', 'b', 'c', 'd'].filter((id) => !refused.includes(id)),
    );
    for (const { error } of pending.values()) expect(error).toBe('document_too_large');
  }, 60_000);

  it('halves a request that is too large for a proxy', async () => {
    const stub = await startStub((request, response) => {
      const { docs } = JSON.parse(String(request.body)) as { docs: { _id: string }[] };
      const status = request.body.length > 120 ? 413 : 201;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(
        status === 413 ? '<html>' : JSON.stringify(docs.map(({ _id: id }) => ({ id, rev: '1-a' }))),
      );
    });
    const db = new Couch(stub.url).use<Note>('db');
    const docs = ['a', 'b', 'c', 'd', 'e'].map((_id) => ({ _id, text: 'x'.repeat(20) }));
    docs.push({ _id: 'f', text: 'x'.repeat(200) });
    const { pending, resolved } = await firstValueFrom(db.save(docs));
    expect([...resolved.keys()]).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect([...pending.values()].map(({ error }) => error)).toEqual(['document_too_large']);
    await stub.close();
  });

  it('sends one request to save 1,000 documents of which 300 conflict, and two to resolve them', async () => {
    const proxy = await startFaultyProxy(server.url);
    const auth = [server.username, server.password] as const;
    const db = new Couch(proxy.url, { auth }).use<Note>(await createDatabase());
    const docs = (count: number, text: string): Saved[] =>
      Array.from({ length: count }, (_, i) => ({ _id: `note-${i}`, text }));
    await firstValueFrom(db.save(docs(300, 'theirs')));
    const before = proxy.requests.length;
    const saved = await firstValueFrom(db.save(docs(1000, 'mine')));
    expect([saved.pending.size, saved.resolved.size]).toEqual([300, 700]);
    expect(proxy.requests.length - before).toBe(1);
    const merged = await firstValueFrom(
      saved.resolve((local, other) => ({ text: `${local.text} and ${other?.text}` })),
    );
    expect(proxy.requests.length - before).toBe(3);
    expect([merged.pending.size, merged.resolved.size]).toEqual([0, 1000]);
    expect(await firstValueFrom(db.get('note-7'))).toMatchObject({ text: 'mine and theirs' });
    await proxy.close();
  }, 30_000);
});

describe('upsert', () => {
  it('creates a document, changes it, and leaves it unchanged for null', async () => {
    const db = await database();
    const bump = db.upsert('note', (doc) => ({ count: (doc?.count ?? 0) + 1 }));
    expect(await firstValueFrom(bump)).toMatchObject({ _id: 'note', count: 1 });
    expect(await firstValueFrom(bump)).toMatchObject({ count: 2 });
    const left = await firstValueFrom(db.upsert('note', () => null));
    expect(left).toMatchObject({ count: 2, _rev: expect.stringMatching(/^2-/) });
    expect(await firstValueFrom(db.upsert('none', () => null))).toBeNull();
  });

  it('changes many documents with one request to read and one to write', async () => {
    const proxy = await startFaultyProxy(server.url);
    const auth = [server.username, server.password] as const;
    const db = new Couch(proxy.url, { auth }).use<Note>(await createDatabase());
    await firstValueFrom(
      db.save([
        { _id: 'a', count: 1 },
        { _id: 'b', count: 5 },
      ]),
    );
    const before = proxy.requests.length;
    const { pending, resolved } = await firstValueFrom(
      db.upsert(['a', 'b', 'c'], (doc) => (doc === null ? null : { count: (doc.count ?? 0) * 2 })),
    );
    expect(proxy.requests.length - before).toBe(2);
    expect([...resolved.values()].map(({ count }) => count)).toEqual([2, 10]);
    expect([...pending.keys()]).toEqual(['c']);
    await proxy.close();
    expect([...pending.values()]).toMatchObject([{ error: 'unchanged' }]);
  });

  // The embedded server writes only some hundred documents a second.
  const each = server.kind === 'embedded' ? 20 : 60;

  it(`loses no increment of 20 writers with ${each} increments each, on 5 documents`, async () => {
    const db = await database();
    let tries = 0;
    const writer = (number: number): Promise<unknown> =>
      lastValueFrom(
        from(Array.from({ length: each }, (_, i) => `counter-${(number + i) % 5}`)).pipe(
          concatMap((id) =>
            db.upsert(id, (doc) => {
              tries += 1;
              return { count: (doc?.count ?? 0) + 1 };
            }),
          ),
          toArray(),
        ),
      );
    await Promise.all(Array.from({ length: 20 }, (_, i) => writer(i)));
    const ids = Array.from({ length: 5 }, (_, i) => `counter-${i}`);
    const counts = await firstValueFrom(forkJoin(ids.map((id) => db.get(id))));
    expect(counts.reduce((sum, { count = 0 }) => sum + count, 0)).toBe(20 * each);
    expect(tries).toBeGreaterThanOrEqual(20 * each);
    process.stdout.write(`${20 * each} increments took ${tries} rounds of read and write\n`);
  }, 60_000);
});
