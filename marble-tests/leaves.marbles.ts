import { describe, expect, it } from '@jest/globals';
import { Conflict, Forbidden, NotFound, resolveConflicts } from 'corduroy';
import type { ConflictResolution, Database, HTTPError, Link, Merge } from 'corduroy';
import { errorOf, memoryServer, status } from 'corduroy/testing';
import { firstValueFrom, throwError } from 'rxjs';

// What merging of leaves and of refused saves reads, writes, deletes and knows afterwards: on a CouchDB in memory.

interface Note {
  text: string;
}
type Leaf = Note & { readonly _rev: string; readonly _deleted?: boolean; readonly from?: string };

const hash = (rev: string): string => rev.slice(rev.indexOf('-') + 1);

/** A database whose document `a` has these leaves, all from the revision `1-base`. */
async function branched(
  leaves: readonly Leaf[],
  { hasBase = true } = {},
): Promise<{ readonly db: Database<Note>; readonly server: ReturnType<typeof memoryServer> }> {
  const server = memoryServer({ latency: 0, databases: { notes: [] } });
  const db = server.couch().use<Note>('notes');
  const docs = leaves.map(({ from = 'base', ...leaf }) => ({
    _id: 'a',
    ...leaf,
    _revisions: { start: Number.parseInt(leaf._rev, 10), ids: [hash(leaf._rev), from] },
  }));
  const base = { _id: 'a', _rev: '1-base', text: 'base' };
  await firstValueFrom(
    db.save([...(hasBase ? [base] : []), ...docs] as Note[], { newEdits: false }),
  );
  return { db, server };
}

const WINNER: Leaf = { _rev: '2-w', text: 'winner' };
const LOSER: Leaf = { _rev: '2-l', text: 'loser' };
const OTHER: Leaf = { _rev: '2-k', text: 'other' };
const join: Merge<Note> = (local, server) => ({ text: `${local.text}+${server?.text}` });
const liveLeaves = async (db: Database<Note>): Promise<string[]> =>
  (await firstValueFrom(db.revs.leaves('a'))).map(({ _rev, text }) => `${_rev.slice(0, 2)}${text}`);

describe('the leaves of a document', () => {
  it('are those that are not deleted, the winner first', async () => {
    const { db } = await branched([LOSER, { ...OTHER, _deleted: true }, WINNER]);
    expect(await liveLeaves(db)).toEqual(['2-winner', '2-loser']);
  });

  it.each([
    ['deleted', [{ ...WINNER, _deleted: true }]],
    ['missing', []],
  ])('of a %s document are an error', async (reason, leaves) => {
    const { db } = await branched(leaves, { hasBase: leaves.length > 0 });
    const error = await errorOf<NotFound>(db.revs.leaves('a'));
    expect(error).toBeInstanceOf(NotFound);
    expect(error.reason).toBe(reason);
  });
});

describe('resolveLeaves', () => {
  it('merges the losers into the winner, and deletes them', async () => {
    const { db } = await branched([LOSER, WINNER, OTHER]);
    const calls: unknown[] = [];
    const merged = await firstValueFrom(
      db.revs.resolveLeaves('a', (local, server, base) => {
        calls.push([local, server, base]);
        return join(local, server, base);
      }),
    );
    expect(merged).toMatchObject({ _id: 'a', text: 'winner+loser+other', _rev: /^3-/ as never });
    expect(calls).toEqual([
      [
        { _id: 'a', _rev: '2-w', text: 'winner' },
        { _id: 'a', _rev: '2-l', text: 'loser' },
        { _id: 'a', _rev: '1-base', text: 'base' },
      ],
      [
        { _id: 'a', _rev: '2-l', text: 'winner+loser' },
        { _id: 'a', _rev: '2-k', text: 'other' },
        { _id: 'a', _rev: '1-base', text: 'base' },
      ],
    ]);
    expect(await liveLeaves(db)).toEqual(['3-winner+loser+other']);
  });

  it('reads the common ancestor only for a merge that takes it', async () => {
    const { db, server } = await branched([LOSER, WINNER]);
    await firstValueFrom(db.revs.resolveLeaves('a', (local) => local));
    expect(server.requestLines.filter((line) => line.includes('rev=1-base'))).toEqual([]);
  });

  it('gives null for an ancestor that the server does not have', async () => {
    const { db } = await branched([LOSER, WINNER], { hasBase: false });
    const bases: unknown[] = [];
    await firstValueFrom(
      db.revs.resolveLeaves('a', (local, _server, base) => {
        bases.push(base);
        return local;
      }),
    );
    expect(bases).toEqual([null]);
  });

  it('errors as the read of an ancestor does', async () => {
    const { server } = await branched([LOSER, WINNER]);
    const fails: Link = (request, next) =>
      next(request.path.includes('rev=1-base') ? { ...request, path: '/notes/_nothing' } : request);
    const db = server.couch({ links: [fails] }).use<Note>('notes');
    server.once('GET /notes/_nothing', status(500));
    const merge: Merge<Note> = (local, _server, _base) => local;
    const error = await errorOf(db.revs.resolveLeaves('a', merge));
    expect(error.name).toBe('ServerError');
  });

  it('writes nothing for a single leaf, and shows it without its history', async () => {
    const { db, server } = await branched([WINNER]);
    const doc = await firstValueFrom(db.revs.resolveLeaves('a', join));
    expect(doc).toEqual({ _id: 'a', _rev: '2-w', text: 'winner' });
    // The first request has written the leaves.
    expect(server.requestLines.slice(1)).toEqual(['GET /notes/a?open_revs=all&revs=true']);
  });

  it('writes no merge that changes nothing, but deletes the losers', async () => {
    const { db, server } = await branched([LOSER, WINNER]);
    const doc = await firstValueFrom(db.revs.resolveLeaves('a', () => ({ text: 'winner' })));
    expect(doc).toEqual({ _id: 'a', _rev: '2-w', text: 'winner' });
    expect(server.requestLines.filter((line) => line.startsWith('PUT'))).toEqual([]);
    expect(await liveLeaves(db)).toEqual(['2-winner']);
  });

  it.each<[string, Merge<Note>, RegExp]>([
    ['gives up', () => null, /^the merge gave up$/],
    [
      'throws',
      () => {
        throw new Error('no idea');
      },
      /no idea/,
    ],
  ])('errors if the merge %s, and changes nothing', async (_, merge, reason) => {
    const { db } = await branched([LOSER, WINNER]);
    const error = await errorOf<HTTPError>(db.revs.resolveLeaves('a', merge));
    expect(error).toMatchObject({ status: 409, error: 'merge_failed' });
    expect(error.reason).toMatch(reason);
    expect(error.request).toMatchObject({
      method: 'POST',
      url: expect.stringMatching(/\/notes\/a$/),
    });
    expect(await liveLeaves(db)).toEqual(['2-winner', '2-loser']);
  });

  it('starts again after a conflict, as often as it may', async () => {
    const { db, server } = await branched([LOSER, WINNER]);
    server.once('PUT /notes/:id', status(409));
    let merges = 0;
    const counted: Merge<Note> = (local, other, base) => {
      merges += 1;
      return join(local, other, base);
    };
    const fast = { backoff: { initialDelay: 0, maxDelay: 0 } };
    const doc = await firstValueFrom(db.revs.resolveLeaves('a', counted, fast));
    expect([doc.text, merges]).toEqual(['winner+loser', 2]);

    const again = await branched([LOSER, WINNER]);
    again.server.once('PUT /notes/:id', status(409));
    const error = await errorOf(again.db.revs.resolveLeaves('a', join, { ...fast, attempts: 1 }));
    expect(error).toBeInstanceOf(Conflict);
    expect(await liveLeaves(again.db)).toEqual(['2-winner', '2-loser']);
  });

  it('does not merge a loser twice if its deletion conflicts', async () => {
    const { db, server } = await branched([LOSER, WINNER]);
    server.once(
      'POST /notes/_bulk_docs',
      status(201, [{ id: 'a', error: 'conflict', reason: 'Document update conflict.' }]),
    );
    let merges = 0;
    const counted: Merge<Note> = (local, other, base) => {
      merges += 1;
      return join(local, other, base);
    };
    const fast = { backoff: { initialDelay: 0, maxDelay: 0 } };
    const doc = await firstValueFrom(db.revs.resolveLeaves('a', counted, fast));
    expect([doc.text, merges]).toEqual(['winner+loser', 1]);
    expect(await liveLeaves(db)).toEqual(['3-winner+loser']);
  });

  it('errors with the refusal of a deletion, before a conflict', async () => {
    const { db, server } = await branched([LOSER, OTHER, WINNER]);
    server.once(
      'POST /notes/_bulk_docs',
      status(201, [
        { id: 'a', error: 'conflict', reason: 'Document update conflict.' },
        { id: 'a', error: 'forbidden', reason: 'no deletions' },
      ]),
    );
    const error = await errorOf<Forbidden>(db.revs.resolveLeaves('a', join));
    expect(error).toBeInstanceOf(Forbidden);
    expect(error.reason).toBe('no deletions');
  });

  it('keeps the attachments of the losers, with their bytes', async () => {
    const server = memoryServer({ latency: 0, databases: { notes: [] } });
    const db = server.couch().use<Note>('notes');
    const leaf = (rev: string, name: string, text: string): object => ({
      _id: 'a',
      _rev: rev,
      text: name,
      _revisions: { start: 2, ids: [hash(rev), 'base'] },
      _attachments: {
        [`${name}.txt`]: { content_type: 'text/plain', data: btoa(text) },
      },
    });
    const leaves = [leaf('2-w', 'w', 'of w'), leaf('2-l', 'l', 'of l'), leaf('2-k', 'k', 'of k')];
    await firstValueFrom(db.save(leaves as Note[], { newEdits: false }));
    await firstValueFrom(db.revs.resolveLeaves('a', (local) => ({ text: local.text })));
    const read = async (name: string): Promise<string> =>
      new TextDecoder().decode(await firstValueFrom(db.getAttachment('a', name)));
    expect(await Promise.all(['w.txt', 'l.txt', 'k.txt'].map(read))).toEqual([
      'of w',
      'of l',
      'of k',
    ]);
  });

  it('refuses a merge that is no function, and unknown options', async () => {
    const { db } = await branched([WINNER]);
    expect(() => db.revs.resolveLeaves('a', null as never)).toThrow(/merge must be a function/);
    expect(() => db.revs.resolveLeaves('a', join, { attemps: 1 } as never)).toThrow(/'attempts'/);
  });
});

describe('a resolution', () => {
  const seeded = (): ReturnType<typeof memoryServer> =>
    memoryServer({
      latency: 0,
      databases: {
        notes: [
          { _id: 'a', text: 'theirs' },
          { _id: 'b', text: 'theirs' },
        ],
      },
    });
  const refused = async (
    db: Database<Note>,
    docs: readonly (Note & { readonly _id: string })[],
  ): Promise<ConflictResolution<Note>> => firstValueFrom(db.save(docs));
  const [a, b] = [
    { _id: 'a', text: 'mine' },
    { _id: 'b', text: 'mine' },
  ];

  it('describes itself', async () => {
    const db = seeded().couch().use<Note>('notes');
    expect(String(await refused(db, [{ ...a }, { ...b }]))).toBe('<Conflict: a, b>');
    expect(String(await refused(db, [{ ...a, _id: 'c' }]))).toBe('<Success: 1 doc updated>');
    expect(String(await refused(db, []))).toBe('<Success: 0 docs updated>');
    expect(
      String(
        await refused(db, [
          { ...a, _id: 'd' },
          { ...a, _id: 'e' },
        ]),
      ),
    ).toBe('<Success: 2 docs updated>');
  });

  it('refuses a merge that is no function, and attempts below 1', async () => {
    const resolution = await refused(seeded().couch().use<Note>('notes'), [{ ...a }]);
    expect(() => resolution.resolve(5 as never)).toThrow(/^resolve: merge must be a function/);
    for (const attempts of [0, 1.5, -1, '2' as never])
      expect(() => resolution.resolve(join, { attempts })).toThrow(/^resolve: attempts must be/);
    expect(() => resolveConflicts(null as never)).toThrow(/^resolveConflicts: merge must be/);
  });

  it('leaves a document pending if its merge gives up, and resolves the others', async () => {
    const db = seeded().couch().use<Note>('notes');
    const resolution = await refused(db, [{ ...a }, { ...b }]);
    const merge: Merge<Note> = (local) =>
      (local as { _id?: string })._id === 'a' ? null : { text: 'merged' };
    const resolved = await firstValueFrom(resolution.resolve(merge));
    expect([...resolved.pending.keys()]).toEqual(['a']);
    expect(resolved.pending.get('a')?.error).toBe('conflict');
    expect([...resolved.resolved.keys()]).toEqual(['b']);
  });

  it('is in the error of a round that fails, with what is pending', async () => {
    const server = seeded();
    const db = server.couch().use<Note>('notes');
    const resolution = await refused(db, [{ ...a }]);
    server.once('POST /notes/_all_docs', status(500));
    const reading = await errorOf(resolution.resolve((local) => local));
    expect([...(reading.resolution?.pending.keys() ?? [])]).toEqual(['a']);
    server.once('POST /notes/_bulk_docs', status(503));
    const writing = await errorOf(resolution.resolve((local) => local));
    expect(writing.resolution?.pending.get('a')).toMatchObject({ error: 'unknown' });
  });

  it('tells which documents a change of several has left as they are', async () => {
    const db = seeded().couch().use<Note>('notes');
    const changed = await firstValueFrom(
      db.upsert(['a', 'b'], (doc) => (doc?._id === 'a' ? null : { text: 'new' })),
    );
    expect(changed.pending.get('a')).toMatchObject({ error: 'unchanged' });
    expect([...changed.resolved.keys()]).toEqual(['b']);
  });

  it('holds copies of frozen documents, with their ids and revisions', async () => {
    const db = seeded().couch().use<Note>('notes');
    const frozen = Object.freeze({ text: 'cold' });
    const { resolved } = await refused(db, [frozen as Note & { _id: string }]);
    const [saved] = [...resolved.values()];
    expect(saved).not.toBe(frozen);
    expect(saved).toEqual({ text: 'cold', _id: expect.any(String), _rev: expect.any(String) });
    const plain = { _id: 'warm', text: 'warm' };
    const kept = await refused(db, [plain]);
    expect(kept.resolved.get('warm')).toBe(plain);
  });

  it('passes errors on that are no conflicts of saves, and ends with a Conflict if the merge gives up', async () => {
    const db = seeded().couch().use<Note>('notes');
    const other = new Error('another');
    const failing = throwError(() => other).pipe(resolveConflicts<Note>(join as never));
    expect(await errorOf(failing)).toBe(other);
    const givenUp = db.save({ ...a }).pipe(resolveConflicts<Note>(() => null) as never);
    const error = await errorOf<Conflict>(givenUp);
    expect(error).toBeInstanceOf(Conflict);
    expect(error.resolution?.pending.size).toBe(1);
    const merged = db.save({ ...a }).pipe(resolveConflicts<Note>(join as never) as never);
    expect(await firstValueFrom(merged)).toMatchObject({ pending: new Map() });
  });
});
