import { describe, expect } from '@jest/globals';
import fc from 'fast-check';
import { Couch } from 'corduroy';
import type { Database } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { isDeepStrictEqual } from 'node:util';
import { filter, firstValueFrom, interval, map, take, timeout } from 'rxjs';
import type { Observable, Subscription } from 'rxjs';
import { needs, server } from './helpers/server.ts';

// Random writers with live queries, on a CouchDB and on an in-memory server. The last values are the same.
// CORDUROY_SESSIONS=50 runs more sessions, CORDUROY_SEED=7 others.

type Write = (db: Database) => Observable<unknown>;

const id = fc.constantFrom('a', 'b', 'c', 'd', 'é');
const fields = fc.record({
  n: fc.integer({ min: 0, max: 9 }),
  t: fc.constantFrom('a', 'B', 'ä', 'z'),
});
const way = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 3 });

const write: fc.Arbitrary<Write> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(id, fields).map(
      ([_id, own]): Write =>
        (db) =>
          db.upsert(_id, (doc) => ({ ...doc, ...own })),
    ),
  },
  {
    weight: 2,
    arbitrary: id.map(
      (_id): Write =>
        (db) =>
          db.upsert(_id, (doc) => (doc === null ? null : { ...doc, _deleted: true })),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(id, way).map(([_id, letters]): Write => (db) => {
      const ids = letters.map((_, i) => letters.slice(0, letters.length - i).join(''));
      const revisions = { start: ids.length, ids };
      const doc = { _id, _rev: `${ids.length}-${ids[0]}`, _revisions: revisions, n: ids.length };
      return db.save([doc], { newEdits: false });
    }),
  },
);

/** The live queries of a session, by name. */
function queriesOf(db: Database): Record<string, Observable<unknown>> {
  return {
    doc$: db.doc$('a'),
    docs$: db.docs$(['a', 'é', 'none']),
    allDocs$: db.allDocs$({ includeDocs: true }),
    'find$, sorted': db.find$({ selector: { n: { $gt: null } }, sort: ['n'] }),
    'find$, limited': db.find$({ selector: { n: { $gt: 2 } }, sort: [{ n: 'desc' }], limit: 2 }),
    'find$, text': db.find$({ selector: { t: { $gte: 'ä' } } }),
    conflicts$: db.conflicts$(),
  };
}

interface Session {
  readonly values: Map<string, unknown>;
  readonly subscriptions: readonly Subscription[];
}

async function open(db: Database): Promise<Session> {
  await firstValueFrom(db.indexes.create({ fields: ['n'], name: 'n', ddoc: 'n' }));
  const values = new Map<string, unknown>();
  const subscriptions = Object.entries(queriesOf(db)).map(([name, query$]) =>
    query$.subscribe((value) => values.set(name, value)),
  );
  await firstValueFrom(interval(5).pipe(filter(() => values.size === subscriptions.length)));
  return { values, subscriptions };
}

/** Returns the values as JSON, without what each server chooses. */
function plain({ values }: Session): unknown {
  return JSON.parse(JSON.stringify(Object.fromEntries(values)));
}

describe('live queries', () => {
  needs('recorded-answers')(
    'have the same last values on CouchDB and on an in-memory server, after random writes',
    async () => {
      const sessions = Number(process.env['CORDUROY_SESSIONS'] ?? 8);
      const seed = Number(process.env['CORDUROY_SEED'] ?? Date.now());
      const plans = fc.sample(fc.array(write, { minLength: 10, maxLength: 25 }), {
        numRuns: sessions,
        seed,
      });
      const couch = new Couch(server.authenticatedUrl);
      let compared = 0;
      for (const [i, writes] of plans.entries()) {
        const name = `sessions-${process.pid}-${seed}-${i}`;
        const real = await firstValueFrom(couch.create(name, { q: 1 }));
        const memory = memoryServer({ databases: { [name]: [] } })
          .couch()
          .use(name);
        const open$ = [await open(real), await open(memory)] as const;
        for (const one of writes) {
          await firstValueFrom(one(real));
          await firstValueFrom(one(memory));
        }
        const [onServer, inMemory] = open$;
        const isEqual = (): boolean => isDeepStrictEqual(plain(onServer), plain(inMemory));
        const equal$ = interval(20).pipe(
          filter(isEqual),
          take(1),
          map(() => 'equal'),
        );
        await firstValueFrom(equal$.pipe(timeout(8000))).catch(() => 'different');
        for (const { subscriptions } of open$) for (const one of subscriptions) one.unsubscribe();
        await firstValueFrom(couch.delete(name));
        expect({ seed, i, values: plain(inMemory) }).toEqual({ seed, i, values: plain(onServer) });
        compared += 1;
      }
      expect(compared).toBe(sessions);
    },
    600_000,
  );
});
