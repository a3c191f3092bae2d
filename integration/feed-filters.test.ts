import { describe, expect, it, jest } from '@jest/globals';
import { Couch, memoryCheckpoint } from 'corduroy';
import type { FeedState, Sequence } from 'corduroy';
import { Subject, filter, firstValueFrom, timeout } from 'rxjs';
import type { Observable } from 'rxjs';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

// A filter that works for longer than the client waits for an answer: each request must ask the server
// for signs of life.

jest.setTimeout(60_000);

const COUNT = 40;
/** Passes the last document after about 120 ms for each one. */
const SLOW = `function (doc) {
  var start = Date.now();
  while (Date.now() - start < 120);
  return doc._id === '${COUNT - 1}';
}`;

async function filteredDatabase(slow: string): Promise<string> {
  const name = await createDatabase();
  const docs = Array.from({ length: COUNT }, (_, i) => ({ _id: String(i) }));
  const design = { _id: '_design/s', filters: { slow } };
  await rawFetch(`/${name}/_bulk_docs`, { method: 'POST', body: { docs: [design, ...docs] } });
  return name;
}

const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: 40_000 })));
const couch = new Couch(server.authenticatedUrl);

describe('a slow filter', () => {
  const protocols = ['continuous', 'eventsource', 'longpoll', 'auto', 'normal'] as const;

  for (const feed of protocols) {
    needs('filter-heartbeats')(`delivers over ${feed}, without a timeout`, async () => {
      const db = couch.use(await filteredDatabase(SLOW));
      const changes$ = db.changes$({
        feed,
        since: 0,
        filter: 's/slow',
        heartbeat: 700,
        latency: 0,
      });
      const states: FeedState[] = [];
      const states$ = changes$.state$.subscribe((state) => states.push(state));
      const { changes } = await soon(changes$);
      states$.unsubscribe();
      expect(changes.map(({ id }) => id)).toEqual([String(COUNT - 1)]);
      expect(states.filter(({ status }) => status === 'waiting')).toEqual([]);
    });
  }

  needs('filter-heartbeats')('delivers to a consumer', async () => {
    const db = couch.use(await filteredDatabase(SLOW));
    const checkpoint = memoryCheckpoint();
    const seen: string[] = [];
    const consumer = db.consume(({ id }) => seen.push(id), {
      name: 'slow',
      since: 0,
      filter: 's/slow',
      heartbeat: 700,
      checkpoint,
    });
    await soon(consumer.pipe(filter(({ handled }) => handled === 1)));
    expect(seen).toEqual([String(COUNT - 1)]);
  });
});

describe('a checkpoint', () => {
  it('advances where a filter passes nothing', async () => {
    const db = couch.use(await filteredDatabase('function () { return false; }'));
    const written$ = new Subject<Sequence>();
    const checkpoint = { read: () => null, write: (seq: Sequence) => written$.next(seq) };
    const options = { since: 0, filter: 's/slow', heartbeat: 300, feed: 'longpoll' } as const;
    const place = (seq: Sequence): number => Number.parseInt(seq, 10);
    const written = soon(written$.pipe(filter((seq) => place(seq) >= COUNT)));
    const subscription = db.changes$({ ...options, checkpoint }).subscribe();
    await written;
    subscription.unsubscribe();
    const { lastSeq } = await firstValueFrom(db.changes({ since: 'now' }));
    expect(place(await written)).toBe(place(lastSeq));
  });
});
