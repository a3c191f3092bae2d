import { afterEach, describe, expect, it } from '@jest/globals';
import { Couch, ConnectionError, counter, fields, newest, ours, theirs } from 'corduroy';
import type { Database, Document, Draft, Merge } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import type { FaultyProxy, SeenRequest } from './helpers/faulty-proxy.ts';
import { createDatabase, needs, server as couchdb } from './helpers/server.ts';

// Nothing that a client was told is written may be lost, and nothing is destroyed before its
// replacement is written: `docs/guide/promises-about-writes.md`.

type Note = Record<string, unknown>;

const couch = new Couch(couchdb.authenticatedUrl);

async function database(options?: { readonly q?: number }): Promise<Database<Note>> {
  if (options === undefined) return couch.use<Note>(await createDatabase());
  const name = await createDatabase();
  await firstValueFrom(couch.delete(name));
  await firstValueFrom(couch.create(name, options));
  return couch.use<Note>(name);
}

/** Writes leaf revisions as a replicator does. */
async function leaf(db: Database<Note>, ...docs: object[]): Promise<void> {
  const { pending } = await firstValueFrom(db.save(docs as Document<Note>[], { newEdits: false }));
  expect([...pending.keys()]).toEqual([]);
}

const file = (
  content: string,
  type = 'text/plain',
): { readonly content_type: string; readonly data: string } => ({
  content_type: type,
  data: btoa(content),
});

async function text(db: Database<Note>, id: string, name: string): Promise<string> {
  return new TextDecoder().decode(await firstValueFrom(db.getAttachment(id, name)));
}

const leavesOf = (db: Database<Note>, id: string): Promise<Document<Note>[]> =>
  firstValueFrom(db.revs.leaves(id));

async function failure(source: Parameters<typeof firstValueFrom>[0]): Promise<unknown> {
  return firstValueFrom(source).then(
    (value) => Promise.reject(new Error(`It emitted ${JSON.stringify(value)}`)),
    (error: unknown) => error,
  );
}

const proxies: FaultyProxy[] = [];
afterEach(async () => {
  for (const proxy of proxies.splice(0)) await proxy.close();
});

/** A database behind a proxy that can lose answers. */
async function proxied(): Promise<{
  readonly db: Database<Note>;
  readonly direct: Database<Note>;
  readonly proxy: FaultyProxy;
}> {
  const proxy = await startFaultyProxy(couchdb.url);
  proxies.push(proxy);
  const direct = await database();
  const through = new Couch(proxy.url, { auth: [couchdb.username, couchdb.password] });
  return { db: through.use<Note>(direct.name), direct, proxy };
}

const isWrite = ({ method, url }: SeenRequest): boolean =>
  method === 'PUT' || url.includes('_bulk_docs');

describe('resolveLeaves', () => {
  const forbidMany =
    'function (doc) { if (doc.tags && doc.tags.length > 2) throw({ forbidden: "too many" }); }';
  const both: Merge<Note> = (local, server) => ({
    tags: [...(local['tags'] as string[]), ...((server?.['tags'] ?? []) as string[])],
  });

  it('keeps every leaf if the merge is refused, and errors as the server does', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: '_design/v', validate_doc_update: forbidMany }));
    await leaf(
      db,
      { _id: 'a', _rev: '1-a', tags: ['x', 'y'] },
      { _id: 'a', _rev: '1-b', tags: ['p', 'q'] },
    );
    const error = await failure(db.revs.resolveLeaves('a', both));
    expect(error).toMatchObject({ name: 'Forbidden', reason: 'too many' });
    expect((await leavesOf(db, 'a')).map(({ tags }) => tags)).toEqual([
      ['p', 'q'],
      ['x', 'y'],
    ]);
  });

  it('writes the merge before it deletes a loser', async () => {
    const { db, direct, proxy } = await proxied();
    await leaf(
      direct,
      { _id: 'a', _rev: '1-a', tags: ['x'] },
      { _id: 'a', _rev: '1-b', tags: ['p'] },
    );
    await firstValueFrom(db.revs.resolveLeaves('a', both));
    const writes = proxy.requests.filter(isWrite);
    expect(writes).toHaveLength(2);
    expect(writes[0]?.body).not.toContain('_deleted');
    expect(writes[1]?.body).toContain('_deleted');
    expect((await leavesOf(direct, 'a')).map(({ tags }) => tags)).toEqual([['p', 'x']]);
  });

  it('leaves a conflict, and loses nothing, if the deletion of the losers fails', async () => {
    const { db, direct, proxy } = await proxied();
    await leaf(
      direct,
      { _id: 'a', _rev: '1-a', tags: ['x'] },
      { _id: 'a', _rev: '1-b', tags: ['p'] },
    );
    proxy.answer({ status: 503, match: ({ body }) => body.includes('_deleted') });
    const error = await failure(db.revs.resolveLeaves('a', both));
    expect(error).toMatchObject({ name: 'ServerError' });
    const tags = (await leavesOf(direct, 'a')).map((one) => one['tags']);
    expect(tags).toContainEqual(['p', 'x']);
    expect(tags).toContainEqual(['x']);
  });

  it('calls a merge that fails once, and writes nothing', async () => {
    const { db, direct, proxy } = await proxied();
    await leaf(
      direct,
      { _id: 'a', _rev: '1-a', tags: ['x'] },
      { _id: 'a', _rev: '1-b', tags: ['p'] },
    );
    let calls = 0;
    const error = await failure(
      db.revs.resolveLeaves('a', () => {
        calls += 1;
        return null;
      }),
    );
    expect(error).toMatchObject({ name: 'Conflict', error: 'merge_failed' });
    expect(calls).toBe(1);
    expect(proxy.requests.filter(isWrite)).toEqual([]);
  });

  it('goes on if the answer to the merge was lost', async () => {
    const { db, direct, proxy } = await proxied();
    await leaf(
      direct,
      { _id: 'a', _rev: '1-a', tags: ['x'] },
      { _id: 'a', _rev: '1-b', tags: ['p'] },
    );
    proxy.cutAfter(0, { match: isWrite, times: 1 });
    const resolved = await firstValueFrom(db.revs.resolveLeaves('a', both));
    expect(resolved).toMatchObject({ tags: ['p', 'x'] });
    expect((await leavesOf(direct, 'a')).map(({ tags }) => tags)).toEqual([['p', 'x']]);
  });
});

describe('a deletion that meets an edit', () => {
  /** Makes a document that was edited elsewhere, and returns what a client knew before. */
  async function edited(db: Database<Note>): Promise<Document<Note>> {
    const { resolved } = await firstValueFrom(db.save({ _id: 'b', name: 'Bob', legs: 4 }));
    const known = { ...resolved.get('b') } as Document<Note>;
    await firstValueFrom(db.save({ ...known, legs: 5 }));
    return known;
  }

  const merges: readonly (readonly [string, Merge<Note>])[] = [
    ['fields()', fields()],
    ['newest()', newest('legs')],
    ['fields(counter)', fields(counter)],
  ];

  it.each(merges)('stays pending under %s, and the edit stays', async (_, merge) => {
    const db = await database();
    const { _rev } = await edited(db);
    const error = await failure(db.save({ _id: 'b', _rev, _deleted: true }, { merge }));
    expect(error).toMatchObject({ name: 'Conflict' });
    expect(await firstValueFrom(db.get('b'))).toMatchObject({ name: 'Bob', legs: 5 });
  });

  it.each([
    ['fields()', fields<Note>(undefined, { deletion: 'deletion' })],
    ['newest()', newest<Note>('legs', { deletion: 'deletion' })],
    ['ours', ours as Merge<Note>],
  ])('is written under %s if the deletion wins', async (_, merge) => {
    const db = await database();
    const { _rev } = await edited(db);
    await firstValueFrom(db.save({ _id: 'b', _rev, _deleted: true }, { merge }));
    expect(await failure(db.get('b'))).toMatchObject({ name: 'NotFound', deleted: true });
  });

  it('gives way to an edit of a document that was deleted elsewhere', async () => {
    const db = await database();
    const known = await edited(db);
    await firstValueFrom(db.delete(await firstValueFrom(db.get('b'))));
    await firstValueFrom(db.save({ ...known, legs: 3 }, { merge: fields() }));
    expect(await firstValueFrom(db.get('b'))).toMatchObject({ name: 'Bob', legs: 3 });
  });

  it.each([
    ['fields()', fields<Note>(undefined, { deletion: 'deletion' })],
    ['newest()', newest<Note>('legs', { deletion: 'deletion' })],
    ['theirs', theirs as Merge<Note>],
  ])('stands under %s if the deletion wins, and the edit stays pending', async (_, merge) => {
    const db = await database();
    const known = await edited(db);
    await firstValueFrom(db.delete(await firstValueFrom(db.get('b'))));
    expect(await failure(db.save({ ...known, legs: 3 }, { merge }))).toMatchObject({
      name: 'Conflict',
    });
    expect(await failure(db.get('b'))).toMatchObject({ deleted: true });
  });

  it('is refused with a name for an unknown choice', () => {
    expect(() => fields(undefined, { deletion: 'none' as never })).toThrow(
      /fields: deletion must be one of 'edit', 'deletion' \(received "none"\)/,
    );
  });
});

describe('attachments in a merge', () => {
  it('are visible to the merge of leaves, and what it adds is written', async () => {
    const db = await database();
    await leaf(
      db,
      { _id: 'a', _rev: '1-a', _attachments: { left: file('LOSER') } },
      { _id: 'a', _rev: '1-b', _attachments: { right: file('winner') } },
    );
    const seen: string[][] = [];
    await firstValueFrom(
      db.revs.resolveLeaves('a', (local, server) => {
        seen.push([local, server].map((doc) => Object.keys(doc?._attachments ?? {}).join()));
        return { ...local, _attachments: { ...local._attachments, more: file('new') } };
      }),
    );
    expect(seen).toEqual([['right', 'left']]);
    expect(await text(db, 'a', 'left')).toBe('LOSER');
    expect(await text(db, 'a', 'right')).toBe('winner');
    expect(await text(db, 'a', 'more')).toBe('new');
    expect(await leavesOf(db, 'a')).toHaveLength(1);
  });

  const twoP = [
    { _id: 'a', _rev: '1-a', _attachments: { p: file('LOSER') } },
    { _id: 'a', _rev: '1-b', _attachments: { p: file('winner') } },
  ];

  it('fail the merge of leaves if two differ and it does not decide', async () => {
    const db = await database();
    await leaf(db, ...twoP);
    const error = await failure(
      db.revs.resolveLeaves('a', (local) => ({ n: 1, _id: local._id as string })),
    );
    expect(error).toMatchObject({ error: 'merge_failed' });
    expect((error as Error).message).toMatch(/attachment "p"/);
    expect(await leavesOf(db, 'a')).toHaveLength(2);
  });

  it.each([
    ['the winner’s', (local: Draft<Note>) => local, 'winner'],
    ['the loser’s', (_local: Draft<Note>, server: Document<Note> | null) => server, 'LOSER'],
    [
      'a new one',
      (local: Draft<Note>) => ({ ...local, _attachments: { p: file('third') } }),
      'third',
    ],
  ] as const)('are decided by the merge of leaves: %s', async (_, merge, expected) => {
    const db = await database();
    await leaf(db, ...twoP);
    await firstValueFrom(db.revs.resolveLeaves('a', merge as Merge<Note>));
    expect(await text(db, 'a', 'p')).toBe(expected);
    expect(await leavesOf(db, 'a')).toHaveLength(1);
  });

  it('that are new survive the merge of a save', async () => {
    const db = await database();
    const doc: Draft<Note> = { _id: 'c', n: 1, _attachments: { old: file('old') } };
    await firstValueFrom(db.save(doc));
    const known = { _id: 'c', _rev: doc._rev as string, n: 1 };
    const present = await firstValueFrom(db.get('c'));
    await firstValueFrom(db.save({ ...present, n: 2 }));
    await firstValueFrom(
      db.save({ ...known, _attachments: { new: file('x') } }, { merge: fields() }),
    );
    expect(await text(db, 'c', 'new')).toBe('x');
    expect(await text(db, 'c', 'old')).toBe('old');
  });

  it('fail the merge of a save if both sides wrote one name and it does not decide', async () => {
    const db = await database();
    const doc: Draft<Note> = { _id: 'c', n: 1 };
    await firstValueFrom(db.save(doc));
    const known = { _id: 'c', _rev: doc._rev as string, n: 1 };
    await firstValueFrom(db.save({ ...known, _attachments: { p: file('theirs') } }));
    const error = await failure(
      db.save({ ...known, _attachments: { p: file('mine') } }, { merge: () => ({ n: 5 }) }),
    );
    expect(error).toMatchObject({ name: 'Conflict' });
    expect(
      (error as { resolution: { pending: Map<string, object> } }).resolution.pending.get('c'),
    ).toMatchObject({ error: 'merge_failed', reason: expect.stringContaining('attachment "p"') });
    expect(await text(db, 'c', 'p')).toBe('theirs');
  });

  it('are removed by null', async () => {
    const db = await database();
    await leaf(
      db,
      { _id: 'a', _rev: '1-a', _attachments: { left: file('l') } },
      { _id: 'a', _rev: '1-b', _attachments: { right: file('r') } },
    );
    await firstValueFrom(
      db.revs.resolveLeaves('a', (local) => ({ ...local, _attachments: { left: null } })),
    );
    const { _attachments } = await firstValueFrom(db.get('a'));
    expect(Object.keys(_attachments ?? {})).toEqual(['right']);
  });

  it('stay through an upsert that does not mention them, of one id and of a list', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'u', n: 1, _attachments: { t: file('hi') } }));
    await firstValueFrom(db.upsert('u', (doc) => ({ n: (doc?.['n'] as number) + 1 })));
    await firstValueFrom(db.upsert(['u'], (doc) => ({ n: (doc?.['n'] as number) + 1 })));
    expect(await firstValueFrom(db.get('u'))).toMatchObject({ n: 3 });
    expect(await text(db, 'u', 't')).toBe('hi');
  });

  it('go by an upsert that leaves them out of `_attachments`', async () => {
    const db = await database();
    await firstValueFrom(db.save({ _id: 'u', _attachments: { a: file('a'), b: file('b') } }));
    await firstValueFrom(
      db.upsert('u', (doc) => {
        const { a, ...rest } = doc?._attachments ?? {};
        expect(a).toMatchObject({ content_type: 'text/plain', stub: true });
        return { ...doc, _attachments: rest };
      }),
    );
    const { _attachments } = await firstValueFrom(db.get('u'));
    expect(Object.keys(_attachments ?? {})).toEqual(['b']);
  });
});

describe('one refused document', () => {
  const nine = (): Draft<Note>[] => Array.from({ length: 9 }, (_, i) => ({ _id: `x${i}` }));

  it('with a missing attachment is pending by itself, and the others are written', async () => {
    const db = await database(couchdb.kind === 'embedded' ? undefined : { q: 4 });
    const docs = nine();
    (docs[4] as Note)['_attachments'] = { t: { content_type: 'text/plain', stub: true } };
    const { pending, resolved } = await firstValueFrom(db.save(docs));
    expect([...pending]).toMatchObject([['x4', { error: 'missing_stub' }]]);
    expect(resolved.size).toBe(8);
    for (const [i, doc] of docs.entries()) {
      if (i !== 4) expect(doc._rev).toBe((await firstValueFrom(db.get(`x${i}`)))._rev);
    }
    expect(await failure(db.get('x4'))).toMatchObject({ name: 'NotFound' });
  });

  it('with a bad field is pending by itself, and the others are written', async () => {
    const db = await database();
    const docs = nine();
    (docs[7] as Note)['_unknown'] = 1;
    const { pending, resolved } = await firstValueFrom(db.save(docs));
    expect([...pending]).toMatchObject([['x7', { error: 'doc_validation' }]]);
    expect(resolved.size).toBe(8);
  });

  it('is written if an earlier request, which was refused, has written it', async () => {
    const { db, direct, proxy } = await proxied();
    const refusal = { status: 412, body: '{"error":"missing_stub","reason":"of another"}' };
    const one = { match: isWrite, times: 1 };
    proxy.lose({ answer: refusal, ...one });
    const saved = firstValueFrom(db.save([{ _id: 'a' }, { _id: 'b' }]));
    await proxy.nextRequest(({ url }) => url.includes('_bulk_docs'));
    proxy.answer({ ...refusal, match: isWrite, times: 2 });
    const { resolved, pending } = await saved;
    expect([[...resolved.keys()], [...pending.keys()]]).toEqual([['a', 'b'], []]);
    expect(resolved.get('a')?._rev).toBe((await firstValueFrom(direct.get('a')))._rev);
  });

  it('costs few further requests in a long list', async () => {
    const { db, proxy } = await proxied();
    const docs: Draft<Note>[] = Array.from({ length: 128 }, (_, i) => ({ _id: `x${i}` }));
    (docs[77] as Note)['_unknown'] = 1;
    const { pending, resolved } = await firstValueFrom(db.save(docs));
    expect([pending.size, resolved.size]).toEqual([1, 127]);
    expect(proxy.requests.filter(isWrite).length).toBeLessThanOrEqual(16);
  });
});

describe('a write whose answer was lost', () => {
  it('is found out, and the document has its revision', async () => {
    const { db, direct, proxy } = await proxied();
    proxy.cutAfter(0, { match: isWrite, times: 1 });
    const doc: Draft<Note> = { _id: 'a', n: 1 };
    const { resolved } = await firstValueFrom(db.save(doc));
    const { _rev } = await firstValueFrom(direct.get('a'));
    expect(resolved.get('a')?._rev).toBe(_rev);
    expect(doc._rev).toBe(_rev);
  });

  it('is found out for every document of a list', async () => {
    const { db, direct, proxy } = await proxied();
    const old: Draft<Note> = { _id: 'old', n: 1 };
    await firstValueFrom(direct.save(old));
    proxy.cutAfter(0, { match: isWrite, times: 1 });
    const docs: Draft<Note>[] = [{ ...old, n: 2 }, { _id: 'new' }, { named: false }];
    const { resolved, pending } = await firstValueFrom(db.save(docs));
    expect([resolved.size, pending.size]).toEqual([3, 0]);
    for (const { _id, _rev } of docs) {
      expect((await firstValueFrom(direct.get(_id as string)))._rev).toBe(_rev);
    }
  });

  needs('bulk-get-leaves')('is found out for a deletion', async () => {
    const { db, direct, proxy } = await proxied();
    const doc: Draft<Note> = { _id: 'a' };
    await firstValueFrom(direct.save(doc));
    proxy.cutAfter(0, { match: isWrite, times: 1 });
    const { resolved } = await firstValueFrom(
      db.save([{ _id: 'a', _rev: doc._rev as string, _deleted: true }]),
    );
    expect(resolved.size).toBe(1);
  });

  it('is found out although somebody has written since', async () => {
    const { db, direct, proxy } = await proxied();
    const doc: Draft<Note> = { _id: 'a', n: 0 };
    await firstValueFrom(direct.save(doc));
    proxy.cutAfter(0, { match: isWrite, times: 1 });
    const gate = proxy.nextRequest(({ url }) => url.includes('_bulk_get'));
    proxy.stall(({ url }) => url.includes('_bulk_get'));
    const saved = firstValueFrom(db.save({ ...doc, n: 1 }));
    await gate;
    await firstValueFrom(direct.upsert('a', (present) => ({ ...present, n: 2 })));
    proxy.resume();
    const { resolved } = await saved;
    expect(resolved.get('a')?._rev).toMatch(/^2-/);
    expect(await firstValueFrom(direct.get('a'))).toMatchObject({ n: 2 });
  });

  it('is not taken for a former document with the same body', async () => {
    const { db, direct, proxy } = await proxied();
    const doc: Draft<Note> = { _id: 'a', on: true };
    await firstValueFrom(direct.save(doc));
    await firstValueFrom(direct.save({ ...doc, on: false }));
    proxy.answer({ status: 503, body: '{"error":"busy"}', match: isWrite });
    expect(await failure(db.save({ _id: 'a', on: true }))).toMatchObject({ status: 503 });
  });

  it.each([
    ['data', { content_type: 'text/plain', data: btoa('AAAA') }],
    ['a stub', { content_type: 'text/plain', stub: true }],
  ] as const)(
    'is not taken for a revision with another attachment, sent as %s',
    async (_, sent) => {
      const { db, direct, proxy } = await proxied();
      await firstValueFrom(direct.save({ _id: 'a', n: 0 }));
      const doc = await firstValueFrom(direct.get('a'));
      await firstValueFrom(direct.putAttachment(doc, 'old!', 'p'));
      proxy.answer({ status: 503, body: '{"error":"busy"}', match: isWrite });
      const other = { content_type: 'text/plain', data: btoa('BBBB') };
      await firstValueFrom(direct.save({ ...doc, n: 1, _attachments: { p: other } }));
      const mine = { ...doc, n: 1, _attachments: { p: sent } };
      expect(await failure(db.save(mine as Draft<Note>))).toMatchObject({ status: 503 });
    },
  );

  it('is found out for an attachment within a document', async () => {
    const { db, direct, proxy } = await proxied();
    proxy.cutAfter(0, { match: isWrite, times: 1 });
    const inline = { content_type: 'text/plain', data: btoa('AAAA') };
    await firstValueFrom(db.save({ _id: 'a', _attachments: { p: inline } } as Draft<Note>));
    const bytes = await firstValueFrom(direct.getAttachment('a', 'p'));
    expect(new TextDecoder().decode(bytes)).toBe('AAAA');
  });

  needs('bulk-get-leaves')('is not taken for the deletion of the document', async () => {
    const { db, direct, proxy } = await proxied();
    await firstValueFrom(direct.save({ _id: 'a', n: 0 }));
    const doc = await firstValueFrom(direct.get('a'));
    await firstValueFrom(direct.putAttachment(doc, 'old!', 'p'));
    await firstValueFrom(direct.delete({ ...doc }));
    proxy.answer({
      status: 503,
      body: '{"error":"busy"}',
      match: ({ method }) => method === 'DELETE',
    });
    expect(await failure(db.deleteAttachment(doc, 'p'))).toMatchObject({ status: 503 });
  });

  it('counts once in an upsert', async () => {
    const { db, direct, proxy } = await proxied();
    await firstValueFrom(direct.save({ _id: 'n', n: 1 }));
    proxy.cutAfter(0, { match: isWrite, times: 1 });
    const change = (doc: Note | null): Note => ({ n: ((doc?.['n'] as number) ?? 0) + 1 });
    expect(await firstValueFrom(db.upsert('n', change))).toMatchObject({ n: 2 });
    expect(await firstValueFrom(direct.get('n'))).toMatchObject({ n: 2 });
  });

  it('errors if the request never arrived, and says which documents are not known', async () => {
    const { db, proxy } = await proxied();
    proxy.answer({ status: 503, body: '{"error":"busy"}', match: isWrite });
    const docs: Draft<Note>[] = [{ _id: 'a' }, { _id: 'b' }];
    const error = await failure(db.save(docs));
    expect(error).toMatchObject({ name: 'ServerError', status: 503 });
    const { resolution } = error as {
      resolution: { pending: Map<string, object>; resolved: Map<string, object> };
    };
    expect([...resolution.pending.keys()]).toEqual(['a', 'b']);
    expect(resolution.pending.get('a')).toMatchObject({ error: 'unknown' });
    expect(docs.map(({ _rev }) => _rev)).toEqual([undefined, undefined]);
  });

  it('sends nothing more if the connection was refused', async () => {
    const dead = new Couch('http://127.0.0.1:9').use('db');
    expect(await failure(dead.save([{ _id: 'a' }]))).toBeInstanceOf(ConnectionError);
  });
});

describe('an answer about another document', () => {
  it.each([
    ['save', (db: Database<Note>) => db.save({ _id: 'a+b' })],
    ['save of a list', (db: Database<Note>) => db.save([{ _id: 'a+b' }])],
    ['get', (db: Database<Note>) => db.get('a+b')],
    ['delete', (db: Database<Note>) => db.delete({ _id: 'a+b', _rev: '1-a' })],
  ])('is an error of %s that names both ids', async (_, call) => {
    const { db, proxy } = await proxied();
    const answer = { ok: true, _id: 'a b', id: 'a b', rev: '1-a', _rev: '1-a' };
    proxy.answer({
      match: ({ url }) => url.includes('a%2Bb') || url.includes('_bulk_docs'),
      body: JSON.stringify(_ === 'save of a list' ? [answer] : answer),
    });
    const error = await failure(call(db));
    expect(error).toMatchObject({ name: 'ProtocolError' });
    expect((error as Error).message).toMatch(/"a\+b".*"a b".*proxy/);
  });
});
