import { describe, expect, it } from '@jest/globals';
import { NotFound } from 'corduroy';
import type { Database, Draft, DocumentRef, FeedState } from 'corduroy';
import { filter, take, toArray } from 'rxjs';
import { uniqueName } from '../helpers/server.ts';
import { couch, emptyDatabase, failure, value } from './steps.ts';

interface Step {
  n: number;
}
const step = (n: number): Draft<Step> & { _id: string } => ({ _id: `step-${n}`, n });
const steps = (...numbers: number[]): Draft<Step>[] => numbers.map(step);
async function walked(): Promise<Database<Step>> {
  const db = await emptyDatabase<Step>();
  await value(db.save(steps(0, 1, 2, 3, 4)));
  return db;
}
const isLive = ({ status }: FeedState): boolean => status === 'live';

describe('changes', () => {
  it('since 0 with limit, and on from there', async () => {
    const db = await walked();
    const first = await value(db.changes({ since: 0, limit: 2 }));
    expect(first.results).toHaveLength(2);
    expect(first.pending).toBe(3);
    const rest = await value(db.changes({ since: first.lastSeq }));
    expect(rest).toMatchObject({ pending: 0 });
    const ids = [...first.results, ...rest.results].map(({ id }) => id);
    expect(ids.sort()).toEqual(steps(0, 1, 2, 3, 4).map(({ _id }) => _id));
    expect((await value(db.changes({ since: rest.lastSeq }))).results).toEqual([]);
  });

  it('have opaque strings as sequences, and the revisions', async () => {
    const db = await walked();
    const { results, lastSeq } = await value(db.changes());
    expect(lastSeq).toEqual(expect.any(String));
    expect(results).toHaveLength(5);
    for (const { seq, changes } of results) {
      expect(seq).toEqual(expect.any(String));
      expect(changes).toEqual([{ rev: expect.stringMatching(/^1-/) }]);
    }
    expect(() => db.changes({ since: 5 as never })).toThrow(TypeError);
  });

  it('includeDocs brings the documents, and says what is deleted', async () => {
    const db = await walked();
    const gone = (await value(db.get('step-2'))) satisfies DocumentRef;
    await value(db.delete(gone));
    const { results } = await value(db.changes({ includeDocs: true }));
    const byId = new Map(results.map((change) => [change.id, change]));
    expect(byId.get('step-1')?.doc).toMatchObject({ n: 1 });
    expect(byId.get('step-2')).toMatchObject({ deleted: true, doc: { _deleted: true } });
  });

  it('filter by a function of a design document', async () => {
    const db = await walked();
    const filters = { odd: 'function (doc) { return doc.n % 2 === 1; }' };
    await value(db.save({ _id: '_design/steps', filters } as unknown as Draft<Step>));
    const { results } = await value(db.changes({ filter: 'steps/odd' }));
    expect(results.map(({ id }) => id).sort()).toEqual(['step-1', 'step-3']);
  });

  it('of a database that is not there is NotFound', async () => {
    expect(await failure(couch.use(uniqueName()).changes())).toBeInstanceOf(NotFound);
  });
});

describe('a feed', () => {
  it('calls its listener with sequence and changes, in batches of its latency', async () => {
    const db = await walked();
    const feed = db.changes$({ since: 0, latency: 500 });
    const { seq, changes } = await value(feed);
    expect(changes.map(({ id }) => id).sort()).toEqual(steps(0, 1, 2, 3, 4).map(({ _id }) => _id));
    expect(changes.map((change) => change.seq)).toContain(seq);
    expect(feed.seq).toBe(seq);
  });

  it('with a latency of 0 gives every change by itself', async () => {
    const db = await walked();
    const batches = await value(db.changes$({ since: 0, latency: 0 }).pipe(take(5), toArray()));
    expect(batches.map(({ changes }) => changes.length)).toEqual([1, 1, 1, 1, 1]);
  });

  it('tells of what happens from now on, deletions included', async () => {
    const db = await walked();
    const feed = db.changes$({ latency: 0, includeDocs: true, heartbeat: 1_000 });
    const seen = value(feed.pipe(take(2), toArray()));
    await value(feed.state$.pipe(filter(isLive)));
    const fresh = step(7);
    await value(db.save(fresh));
    await value(db.delete(fresh as DocumentRef));
    const changes = (await seen).flatMap((batch) => batch.changes);
    expect(changes.map(({ id, deleted }) => [id, deleted])).toEqual([
      ['step-7', undefined],
      ['step-7', true],
    ]);
  });

  it('takes a limit and a filter, and completes', async () => {
    const db = await walked();
    const docIds = ['step-1', 'step-3', 'step-4'];
    const batches = await value(
      db.changes$({ since: 0, latency: 0, limit: 2, docIds }).pipe(toArray()),
    );
    expect(batches).toHaveLength(2);
    for (const { changes } of batches) expect(docIds).toContain(changes[0]?.id);
  });

  it('stops when it is unsubscribed from', async () => {
    const db = await walked();
    const feed = db.changes$({ since: 0, latency: 0 });
    await value(feed);
    expect((await value(feed.state$)).status).toBe('idle');
  });
});
