import { describe, expect, it } from '@jest/globals';
import { HTTPError, NotFound } from 'corduroy';
import type { Database } from 'corduroy';
import { deleteAtEnd, needs, server, uniqueName } from '../helpers/server.ts';
import { couch, emptyDatabase, waitFor, failure, look, unlessEmbedded, value } from './steps.ts';

interface Letter {
  n: number;
}
const letters = (): (Letter & { _id: string })[] =>
  [0, 1, 2, 3, 4].map((n) => ({ _id: `letter-${n}`, n }));

async function filled(): Promise<Database<Letter>> {
  const db = await emptyDatabase<Letter>();
  await value(db.save(letters()));
  return db;
}
const count = async (db: Database<Letter>): Promise<number> => (await value(db.info())).docCount;
/** On CouchDB; the embedded server begins nothing from a document whose ends have `auth` apart. */
const works = unlessEmbedded('the _replicator of the embedded server takes no auth objects');
const untilCount = (db: Database<Letter>, expected: number): Promise<true> =>
  waitFor(
    async () => ((await count(db)) === expected ? true : undefined),
    `${expected} documents in the target`,
  );

describe('replication', () => {
  it('push', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    const result = await value(source.push(target));
    expect(result).toMatchObject({ ok: true, noChanges: false, id: null, localId: null });
    expect(result.history[0]).toMatchObject({ docs_written: 5, doc_write_failures: 0 });
    expect(await value(target.get('letter-3'))).toEqual(await value(source.get('letter-3')));
    expect((await value(source.push(target))).noChanges).toBe(true);
  }, 20_000);

  it('pull', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    await value(target.pull(source));
    expect(await count(target)).toBe(5);
  }, 20_000);

  it('between names of this server and Databases', async () => {
    const source = await filled();
    for (const end of [source.name, source]) {
      const target = await emptyDatabase<Letter>();
      await value(couch.replicate(end, target.name));
      expect(await count(target)).toBe(5);
    }
  }, 30_000);

  it('between URLs with credentials in them, percent-encoded as in every URL', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    const [from, to] = [source, target].map(({ name }) => `${server.authenticatedUrl}/${name}`);
    await value(couch.replicate(from as string, to as string));
    expect(await count(target)).toBe(5);
  }, 30_000);

  it('of what is no database is refused, and an option that is none', async () => {
    const source = await emptyDatabase();
    expect(() => couch.replicate(7 as never, source)).toThrow(TypeError);
    expect(() => couch.replicate('No Name', source)).toThrow(TypeError);
    expect(() => couch.replicate(source, 'x', { create_target: true } as never)).toThrow(
      /unknown option 'create_target'/,
    );
  });

  it('createTarget', async () => {
    const source = await filled();
    const missing = couch.use<Letter>(deleteAtEnd(uniqueName()));
    expect(await failure(source.push(missing))).toBeInstanceOf(HTTPError);
    await value(source.push(missing, { createTarget: true }));
    expect(await count(missing)).toBe(5);
  }, 20_000);

  it('docIds', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    await value(source.push(target, { docIds: ['letter-1', 'letter-4', 'none'] }));
    const { rows } = await value(target.view('_all_docs'));
    expect(rows.map(({ id }) => id)).toEqual(['letter-1', 'letter-4']);
  }, 20_000);

  it('selector', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    await value(target.pull(source, { selector: { n: { $gt: 2 } } }));
    expect(await count(target)).toBe(2);
  }, 20_000);

  it('of a source that is not there errors', async () => {
    const target = await emptyDatabase();
    expect(await failure(couch.replicate(uniqueName(), target))).toBeInstanceOf(HTTPError);
  }, 20_000);

  it('continuous, and cancel', async () => {
    const source = await filled();
    const [target, other] = [await emptyDatabase<Letter>(), await emptyDatabase<Letter>()];
    const begun = await value(source.push(target, { continuous: true }));
    expect(begun.localId).toEqual(expect.any(String));
    await value(source.push(other, { continuous: true }));
    await untilCount(target, 5);
    await value(source.save({ _id: 'letter-5', n: 5 }));
    await untilCount(target, 6);
    const ended = await value(source.push(target, { continuous: true, cancel: true }));
    expect(ended.ok).toBe(true);
    await value(source.save({ _id: 'letter-6', n: 6 }));
    // The replication that goes on shows that the cancelled one had its time.
    await untilCount(other, 7);
    expect(await count(target)).toBe(6);
    await value(source.push(other, { continuous: true, cancel: true }));
  }, 60_000);

  needs('active-tasks')(
    'is among the tasks while it runs',
    async () => {
      const source = await filled();
      const target = await emptyDatabase<Letter>();
      await value(source.push(target, { continuous: true }));
      const task = await waitFor(async () => {
        const tasks = await value(couch.tasks());
        return tasks.find(
          (one) => one.type === 'replication' && String(one['target']).includes(target.name),
        );
      }, 'a task for the replication');
      expect(task).toMatchObject({ pid: expect.any(String), started_on: expect.any(Number) });
      await value(source.push(target, { continuous: true, cancel: true }));
    },
    30_000,
  );

  it('cancel of what does not run is NotFound', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    const cancelled = source.push(target, { continuous: true, cancel: true });
    expect(await failure(cancelled)).toBeInstanceOf(NotFound);
  });
});

describe('a replication with an _id', () => {
  it('is a document in _replicator, and cancel deletes it', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    const _id = uniqueName('replication');
    const options = { _id, continuous: true };
    const begun = await value(source.push(target, options));
    expect(begun).toMatchObject({ ok: true, id: _id, rev: expect.stringMatching(/^1-/) });
    expect(await value(couch.replicator.get(_id))).toMatchObject({ _id, continuous: true });
    expect((await value(source.push(target, { ...options, cancel: true }))).ok).toBe(true);
    expect(await failure(couch.replicator.get(_id))).toMatchObject({
      name: 'NotFound',
      deleted: true,
    });
    expect(await failure(source.push(target, { ...options, cancel: true }))).toBeInstanceOf(
      NotFound,
    );
  }, 60_000);

  works(
    'that is not continuous copies once, and its document stays',
    async () => {
      const source = await filled();
      const target = await emptyDatabase<Letter>();
      const _id = uniqueName('replication');
      await value(target.pull(source, { _id, docIds: ['letter-0'] }));
      await untilCount(target, 1);
      const stored = await waitFor(async () => {
        const doc = await value(couch.replicator.get(_id));
        return doc['_replication_state'] === 'completed' ? doc : undefined;
      }, 'the word in the document that the replication is done');
      await value(couch.replicator.delete(stored));
    },
    60_000,
  );

  it('has no credentials in the stored document’s URLs', async () => {
    const source = await filled();
    const target = await emptyDatabase<Letter>();
    const _id = uniqueName('replication');
    await value(source.push(target, { _id, continuous: true }));
    const stored = await look(`/_replicator/${_id}`);
    const { origin, host } = new URL(server.url);
    for (const [end, db] of Object.entries({ source, target })) {
      const { url } = stored[end] as { url: string };
      expect(url).toBe(`${origin}/${db.name}`);
      expect(new URL(url)).toMatchObject({ username: '', password: '', host });
    }
    await value(source.push(target, { _id, cancel: true }));
  }, 20_000);

  works(
    'copies until it is cancelled',
    async () => {
      const source = await filled();
      const target = await emptyDatabase<Letter>();
      const options = { _id: uniqueName('replication'), continuous: true };
      await value(source.push(target, options));
      await untilCount(target, 5);
      await value(source.save({ _id: 'letter-5', n: 5 }));
      await untilCount(target, 6);
      await value(source.push(target, { ...options, cancel: true }));
    },
    60_000,
  );
});
