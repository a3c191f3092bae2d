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
 * A database in which a write takes two frames and a read one. Another client changes each document just
 * before a write, as many times as `rivals` says.
 */
function contested(
  scheduler: TestScheduler,
  rivals: Record<string, number>,
): { readonly db: Database; readonly sent: string[]; readonly inFlight: () => number } {
  const revs: Record<string, number> = {};
  const sent: string[] = [];
  let writing = 0;
  let most = 0;
  const transport = marbleTransport((request) => {
    const { pathname } = new URL(request.url);
    const body = JSON.parse(request.body as string) as {
      docs?: { _id: string; _rev?: string }[];
      keys?: string[];
    };
    const at = (what: string): number => sent.push(`${what}@${scheduler.now()}`);
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
  return { db, sent, inFlight: () => most };
}

const fastRetries = { backoff: { initialDelay: 3, random: () => 0.999 } };
const docs = (): { _id: string; mine: boolean }[] => ['a', 'b'].map((_id) => ({ _id, mine: true }));
const summary = ({ pending, resolved }: ConflictResolution): string =>
  `${[...resolved.keys()].join('')}/${[...pending].map(([id, { error }]) => `${id}:${error}`).join()}`;

describe('resolveConflicts', () => {
  const run = (
    name: string,
    rivals: Record<string, number>,
    options: ResolveConflictsOptions,
    merge: Merge,
    expected: { readonly at: number; readonly summary: string; readonly sent: readonly string[] },
  ): void => {
    it(
      name,
      marbles((_, scheduler) => {
        const { db, sent, inFlight } = contested(scheduler, { ...rivals });
        const seen: string[] = [];
        db.save(docs())
          .pipe(resolveConflicts(merge, options))
          .subscribe((resolution) => seen.push(`${summary(resolution)} @${scheduler.now()}`));
        scheduler.flush();
        expect(seen).toEqual([`${expected.summary} @${expected.at}`]);
        expect(sent).toEqual(expected.sent);
        expect(inFlight()).toBeLessThanOrEqual(1);
      }),
    );
  };

  run('does nothing if there is no conflict', {}, fastRetries, (local) => local, {
    at: 2,
    summary: 'ab/',
    sent: ['write a,b@0'],
  });

  run(
    'sends one request to read and one to write in a round',
    { b: 1 },
    fastRetries,
    (local) => local,
    {
      at: 5,
      summary: 'ab/',
      sent: ['write a,b@0', 'read b@2', 'write b@3'],
    },
  );

  run(
    'repeats the fastRetries, with backoff between them',
    { a: 1, b: 3 },
    fastRetries,
    (local) => local,
    {
      at: 20,
      summary: 'ab/',
      // 3 ms after the first round, up to 6 after the second.
      sent: [
        'write a,b@0',
        'read a,b@2',
        'write a,b@3',
        'read b@8',
        'write b@9',
        'read b@17',
        'write b@18',
      ],
    },
  );

  run(
    'leaves documents pending when the attempts have run out',
    { b: 9 },
    { ...fastRetries, attempts: 2 },
    (local) => local,
    {
      at: 11,
      summary: 'a/b:conflict',
      sent: ['write a,b@0', 'read b@2', 'write b@3', 'read b@8', 'write b@9'],
    },
  );

  run(
    'leaves a document pending if the merge gives up on it, and does not call the merge again',
    { a: 1, b: 1 },
    fastRetries,
    (local) => (local._id === 'a' ? null : local),
    {
      at: 5,
      summary: 'b/a:conflict',
      sent: ['write a,b@0', 'read a,b@2', 'write b@3'],
    },
  );

  run(
    'sends no write if the merge gives up on every document',
    { a: 1, b: 1 },
    fastRetries,
    () => null,
    {
      at: 3,
      summary: '/a:conflict,b:conflict',
      sent: ['write a,b@0', 'read a,b@2'],
    },
  );

  run(
    'fails only the document whose merge throws, with the error merge_failed',
    { a: 1, b: 1 },
    fastRetries,
    (local) => {
      if (local._id === 'a') throw new Error('no idea');
      return local;
    },
    { at: 5, summary: 'b/a:merge_failed', sent: ['write a,b@0', 'read a,b@2', 'write b@3'] },
  );

  it(
    'waits for an asynchronous merge, and passes both copies to it',
    marbles(({ cold }, scheduler) => {
      const { db, sent } = contested(scheduler, { b: 1 });
      const given: unknown[] = [];
      const later = resolveConflicts((local, server) => {
        given.push({ ...local }, server);
        return cold('----(m|)', { m: { ...server, ...local, merged: true } });
      }, fastRetries);
      const seen: unknown[] = [];
      const [a = {}, b = {}]: AnyFields[] = docs();
      db.save([a, b])
        .pipe(later)
        .subscribe(() => seen.push(scheduler.now()));
      scheduler.flush();
      expect(seen).toEqual([9]);
      expect(sent).toEqual(['write a,b@0', 'read b@2', 'write b@7']);
      expect(given).toEqual([
        { _id: 'b', mine: true },
        { _id: 'b', _rev: '2-x', theirs: 2 },
      ]);
      // The saved object receives the merged fields.
      expect(b).toEqual({ _id: 'b', _rev: '3-x', mine: true, theirs: 2, merged: true });
    }),
  );

  it(
    'writes nothing after an unsubscribe between refetch and save',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { db, sent } = contested(scheduler, { a: 1, b: 1 });
      const saved = db.save(docs()).pipe(resolveConflicts(() => cold('-----m'), fastRetries));
      expectObservable(saved, '-----!').toBe('-----');
      flush();
      expect(sent).toEqual(['write a,b@0', 'read a,b@2']);
    }),
  );

  it(
    'never has two writes of one id in flight, even for two documents that share it',
    marbles((_, scheduler) => {
      const { db, sent, inFlight } = contested(scheduler, { a: 2 });
      const twins = [
        { _id: 'a', n: 1 },
        { _id: 'a', n: 2 },
      ];
      const seen: string[] = [];
      db.save(twins)
        .pipe(resolveConflicts((local, server) => ({ ...server, ...local }), fastRetries))
        .subscribe((resolution) => seen.push(summary(resolution)));
      scheduler.flush();
      expect(seen).toEqual(['a/']);
      expect(inFlight()).toBe(1);
      expect(
        sent
          .filter((what) => what.startsWith('write'))
          .slice(1)
          .every((what) => what.startsWith('write a@')),
      ).toBe(true);
    }),
  );
});
