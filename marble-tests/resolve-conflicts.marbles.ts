import { describe, expect, it } from '@jest/globals';
import { defer, of } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch, resolveConflicts } from 'corduroy';
import type {
  AnyFields,
  ConflictResolution,
  Database,
  Merge,
  ResolveConflictsOptions,
} from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

/**
 * A database in which every write takes two frames and every read one, and where each document is
 * changed by somebody else so many times just before it is written.
 */
function contested(
  scheduler: TestScheduler,
  rivals: Record<string, number>,
): { readonly db: Database; readonly asked: string[]; readonly inFlight: () => number } {
  const revs: Record<string, number> = {};
  const asked: string[] = [];
  let writing = 0;
  let most = 0;
  const transport = marbleTransport((request) => {
    const { pathname } = new URL(request.url);
    const body = JSON.parse(request.body as string) as {
      docs?: { _id: string; _rev?: string }[];
      keys?: string[];
    };
    const at = (what: string): number => asked.push(`${what}@${scheduler.now()}`);
    if (pathname.endsWith('/_all_docs')) {
      at(`read ${String(body.keys)}`);
      const rows = (body.keys ?? []).map((id) => ({
        id,
        doc: { _id: id, _rev: `${revs[id] ?? 1}-x`, theirs: revs[id] ?? 1 },
      }));
      return scheduler.createColdObservable('-(r|)', {
        r: response(of(bytes(JSON.stringify({ rows })))),
      });
    }
    at(`write ${String(body.docs?.map(({ _id }) => _id))}`);
    writing += 1;
    most = Math.max(most, writing);
    return defer(() => {
      const results = (body.docs ?? []).map(({ _id: id, _rev: rev }) => {
        const left = rivals[id] ?? 0;
        if (left > 0) {
          rivals[id] = left - 1;
          revs[id] = (revs[id] ?? 1) + 1;
        }
        const current = `${revs[id] ?? 1}-x`;
        if (left > 0 || (rev !== undefined && rev !== current)) {
          return { id, error: 'conflict', reason: 'Document update conflict.' };
        }
        revs[id] = (revs[id] ?? 1) + 1;
        return { ok: true, id, rev: `${revs[id]}-x` };
      });
      writing -= 1;
      return scheduler.createColdObservable('--(r|)', {
        r: response(of(bytes(JSON.stringify(results)))),
      });
    });
  });
  const db = new Couch(undefined, { transport, scheduler }).use('db');
  return { db, asked, inFlight: () => most };
}

const rounds = { backoff: { initialDelay: 3, random: () => 0.999 } };
const docs = (): { _id: string; mine: boolean }[] => ['a', 'b'].map((_id) => ({ _id, mine: true }));
const told = ({ pending, resolved }: ConflictResolution): string =>
  `${[...resolved.keys()].join('')}/${[...pending].map(([id, { error }]) => `${id}:${error}`).join()}`;

describe('resolveConflicts', () => {
  const run = (
    name: string,
    rivals: Record<string, number>,
    options: ResolveConflictsOptions,
    merge: Merge,
    expected: { readonly at: number; readonly told: string; readonly asked: readonly string[] },
  ): void => {
    it(
      name,
      marbles((_, scheduler) => {
        const { db, asked, inFlight } = contested(scheduler, { ...rivals });
        const seen: string[] = [];
        db.save(docs())
          .pipe(resolveConflicts(merge, options))
          .subscribe((resolution) => seen.push(`${told(resolution)} @${scheduler.now()}`));
        scheduler.flush();
        expect(seen).toEqual([`${expected.told} @${expected.at}`]);
        expect(asked).toEqual(expected.asked);
        expect(inFlight()).toBeLessThanOrEqual(1);
      }),
    );
  };

  run('does nothing where there is no conflict', {}, rounds, (local) => local, {
    at: 2,
    told: 'ab/',
    asked: ['write a,b@0'],
  });

  run('one round: one request to read, one to write', { b: 1 }, rounds, (local) => local, {
    at: 5,
    told: 'ab/',
    asked: ['write a,b@0', 'read b@2', 'write b@3'],
  });

  run('several rounds, with backoff between them', { a: 1, b: 3 }, rounds, (local) => local, {
    at: 20,
    told: 'ab/',
    // 3 ms after the first round, up to 6 after the second.
    asked: [
      'write a,b@0',
      'read a,b@2',
      'write a,b@3',
      'read b@8',
      'write b@9',
      'read b@17',
      'write b@18',
    ],
  });

  run(
    'leaves pending what conflicts still when the attempts have run out',
    { b: 9 },
    { ...rounds, attempts: 2 },
    (local) => local,
    {
      at: 11,
      told: 'a/b:conflict',
      asked: ['write a,b@0', 'read b@2', 'write b@3', 'read b@8', 'write b@9'],
    },
  );

  run(
    'leaves pending what the merge gives up, and does not ask it again',
    { a: 1, b: 1 },
    rounds,
    (local) => (local._id === 'a' ? null : local),
    {
      at: 5,
      told: 'b/a:conflict',
      asked: ['write a,b@0', 'read a,b@2', 'write b@3'],
    },
  );

  run('sends no write when the merge gives up on everything', { a: 1, b: 1 }, rounds, () => null, {
    at: 3,
    told: '/a:conflict,b:conflict',
    asked: ['write a,b@0', 'read a,b@2'],
  });

  run(
    'fails the document alone whose merge throws, and says which',
    { a: 1, b: 1 },
    rounds,
    (local) => {
      if (local._id === 'a') throw new Error('no idea');
      return local;
    },
    { at: 5, told: 'b/a:merge_failed', asked: ['write a,b@0', 'read a,b@2', 'write b@3'] },
  );

  it(
    'waits for merges that answer later, and gives both copies to them',
    marbles(({ cold }, scheduler) => {
      const { db, asked } = contested(scheduler, { b: 1 });
      const given: unknown[] = [];
      const later = resolveConflicts((local, server) => {
        given.push({ ...local }, server);
        return cold('----(m|)', { m: { ...server, ...local, merged: true } });
      }, rounds);
      const seen: unknown[] = [];
      const [a = {}, b = {}]: AnyFields[] = docs();
      db.save([a, b])
        .pipe(later)
        .subscribe(() => seen.push(scheduler.now()));
      scheduler.flush();
      expect(seen).toEqual([9]);
      expect(asked).toEqual(['write a,b@0', 'read b@2', 'write b@7']);
      expect(given).toEqual([
        { _id: 'b', mine: true },
        { _id: 'b', _rev: '2-x', theirs: 2 },
      ]);
      // The object that was saved is what was written.
      expect(b).toEqual({ _id: 'b', _rev: '3-x', mine: true, theirs: 2, merged: true });
    }),
  );

  it(
    'writes nothing when it is unsubscribed from between refetch and save',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, asked } = contested(scheduler, { a: 1, b: 1 });
      const saved = db.save(docs()).pipe(resolveConflicts(() => cold('-----m'), rounds));
      expectObservable(saved, '-----!').toBe('-----');
      flush();
      expect(asked).toEqual(['write a,b@0', 'read a,b@2']);
    }),
  );

  it(
    'never has two writes of one document in flight, not of two that share an id either',
    marbles((_, scheduler) => {
      const { db, asked, inFlight } = contested(scheduler, { a: 2 });
      const twins = [
        { _id: 'a', n: 1 },
        { _id: 'a', n: 2 },
      ];
      const seen: string[] = [];
      db.save(twins)
        .pipe(resolveConflicts((local, server) => ({ ...server, ...local }), rounds))
        .subscribe((resolution) => seen.push(told(resolution)));
      scheduler.flush();
      expect(seen).toEqual(['a/']);
      expect(inFlight()).toBe(1);
      expect(
        asked
          .filter((what) => what.startsWith('write'))
          .slice(1)
          .every((what) => what.startsWith('write a@')),
      ).toBe(true);
    }),
  );
});
