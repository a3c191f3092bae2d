import { describe, expect } from '@jest/globals';
import { Couch, NotFound, Unauthorized } from 'corduroy';
import type { Database, ReplicationStatus } from 'corduroy';
import { lastValueFrom, tap, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import { needs, server, uniqueName } from './helpers/server.ts';
import { couch, emptyDatabase, waitFor, failure, value } from './seed/steps.ts';

const specify = needs('scheduler');

async function filled(): Promise<Database> {
  const db = await emptyDatabase();
  await value(db.save([0, 1, 2, 3, 4].map((n) => ({ _id: `letter-${n}`, n }))));
  return db;
}

/** Starts a replication with a document. Returns the document's id. */
async function begin(source: Database, target: Database, continuous: boolean): Promise<string> {
  const _id = uniqueName('replication');
  await value(couch.replicate(source, target, { _id, continuous }));
  return _id;
}
const cancel = async (_id: string): Promise<void> => {
  await value(couch.replicator.delete(await value(couch.replicator.get(_id))));
};
/** Waits, because the scheduler notices a deletion a moment later. */
const untilGone = (operation: Observable<unknown>): Promise<true> =>
  waitFor(async () => {
    const error = await value(operation).catch((thrown: unknown) => thrown);
    return error instanceof NotFound ? true : undefined;
  }, 'a replication that the scheduler has forgotten');
const interval = 100;

describe('a replication, watched', () => {
  specify(
    'emits its states until the final one, with its counts',
    async () => {
      const [source, target] = [await filled(), await emptyDatabase()];
      const id = await begin(source, target, false);
      const states = await lastValueFrom(couch.replication$(id, { interval }).pipe(toArray()));
      const last = states.at(-1);
      expect(last).toMatchObject({
        id,
        replicator: '_replicator',
        state: 'completed',
        error: null,
        errorCount: 0,
        counts: { docsRead: 5, docsWritten: 5, docWriteFailures: 0 },
      });
      expect(last?.target).toContain(target.name);
      const before = states.slice(0, -1).map(({ state }) => state);
      expect(before.every((state) => /^(initializing|pending|running)$/.test(state))).toBe(true);
      expect((await value(target.info())).docCount).toBe(5);
      await cancel(id);
    },
    60_000,
  );

  specify(
    'that is continuous does not end until its document is deleted',
    async () => {
      const [source, target] = [await filled(), await emptyDatabase()];
      const id = await begin(source, target, true);
      const seen: ReplicationStatus[] = [];
      const withIdleTimeout = lastValueFrom(
        couch.replication$(id, { interval }).pipe(tap((status) => seen.push(status))),
      ).catch((error: unknown) => error);
      await waitFor(
        async () => (seen.at(-1)?.counts?.docsWritten === 5 ? true : undefined),
        'five documents written',
      );
      const running = seen.at(-1);
      expect(running).toMatchObject({ state: 'running', jobId: expect.any(String) });
      const job = await value(couch.scheduler.job(running?.jobId ?? ''));
      expect(job).toMatchObject({ docId: id, replicator: '_replicator', pid: expect.any(String) });
      expect(job.history.map(({ type }) => type)).toContain('started');
      expect((await value(couch.scheduler.jobs())).jobs.map(({ docId }) => docId)).toContain(id);
      await cancel(id);
      expect(await withIdleTimeout).toMatchObject({ name: 'NotFound', deleted: true });
      await untilGone(couch.scheduler.job(job.id));
    },
    60_000,
  );

  specify(
    'without a source is crashing, emits the cause, and is retried',
    async () => {
      const target = await emptyDatabase();
      const id = await begin(couch.use(uniqueName()), target, true);
      const crashing = await new Promise<ReplicationStatus>((resolve, reject) => {
        const subscription = couch.replication$(id, { interval }).subscribe({
          next: (status) => {
            if (status.state !== 'crashing') return;
            resolve(status);
            setTimeout(() => subscription.unsubscribe());
          },
          error: reject,
        });
      });
      expect(crashing).toMatchObject({
        counts: null,
        error: expect.stringContaining('db_not_found'),
      });
      expect(crashing.errorCount).toBeGreaterThan(0);
      const { docs } = await value(couch.scheduler.docs({ states: ['crashing', 'error'] }));
      expect(docs.map((one) => one.id)).toContain(id);
      await cancel(id);
    },
    60_000,
  );

  specify('that never was is NotFound', async () => {
    const none = couch.replication$(uniqueName(), { interval });
    expect(await failure(none)).toMatchObject({ name: 'NotFound', deleted: false });
  });
});

describe('the scheduler', () => {
  specify(
    'reads a document, and lists those of a database in the order of their ids',
    async () => {
      const [source, target] = [await filled(), await emptyDatabase()];
      const id = await begin(source, target, true);
      const one = await value(couch.scheduler.doc('_replicator', id));
      expect(one).toMatchObject({ id, replicator: '_replicator' });
      const all = await value(couch.scheduler.docs());
      expect(all.totalRows).toBeGreaterThan(0);
      const ids = all.docs.map((doc) => doc.id);
      expect(ids).toContain(id);
      const backwards = await value(couch.scheduler.docs({ descending: true, limit: 1 }));
      expect(backwards.docs).toHaveLength(1);
      const { docs } = await value(couch.scheduler.docs({ states: ['failed'] }));
      expect(docs.map((doc) => doc.id)).not.toContain(id);
      await cancel(id);
      await untilGone(couch.scheduler.doc('_replicator', id));
    },
    60_000,
  );

  specify(
    'lists replications of replicate too, which have no document',
    async () => {
      const [source, target] = [await filled(), await emptyDatabase()];
      const { localId } = await value(couch.replicate(source, target, { continuous: true }));
      const job = await value(couch.scheduler.job(localId ?? ''));
      expect(job).toMatchObject({ id: localId, docId: null });
      expect(job.source).toContain(source.name);
      await value(couch.replicate(source, target, { continuous: true, cancel: true }));
    },
    60_000,
  );

  specify(
    'cancels a replication without a document by its id, once',
    async () => {
      const [source, target] = [await filled(), await emptyDatabase()];
      const { localId } = await value(couch.replicate(source, target, { continuous: true }));
      expect(await value(couch.scheduler.cancel(localId ?? ''))).toBe(true);
      await untilGone(couch.scheduler.job(localId ?? ''));
      expect(await failure(couch.scheduler.cancel(localId ?? ''))).toBeInstanceOf(NotFound);
      expect(() => couch.scheduler.cancel('')).toThrow(/^scheduler\.cancel: id must be/);
    },
    60_000,
  );

  specify('tells administrators only', async () => {
    expect(await failure(new Couch(server.url).scheduler.jobs())).toBeInstanceOf(Unauthorized);
  });
});
