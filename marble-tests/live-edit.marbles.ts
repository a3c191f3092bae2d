import { describe, expect, it } from '@jest/globals';
import { map, timer } from 'rxjs';
import { counter, fields } from 'corduroy';
import type { AnyFields, EditOptions, EditState, LiveEdit } from 'corduroy';
import type { TestScheduler } from 'rxjs/testing';
import { liveServer } from './helpers/live-server.ts';
import type { LiveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

/** Describes a state: the fields, an asterisk if edits are pending, and the error. */
function describeState({ value, pending, error }: EditState): string {
  const { _id, _rev, ...shown } = (value ?? { gone: true }) as AnyFields;
  const text = Object.entries(shown)
    .map(([name, field]) => `${name}${String(field)}`)
    .join(' ');
  return `${text}${pending ? '*' : ''}${error === null ? '' : ` ${error.name}`}`;
}

/** Edits a document `{ n: 1, m: 1 }` with a debounce of 10 frames. A write takes 2 frames. */
function edited(
  scheduler: TestScheduler,
  options: EditOptions = {},
): { server: LiveServer; edit: LiveEdit; shown: string[] } {
  const server = liveServer(scheduler);
  server.put('a', { n: 1, m: 1 });
  const edit = server.db.edit$('a', {
    debounce: 10,
    backoff: { initialDelay: 5, random: () => 0.999 },
    ...options,
  });
  const shown: string[] = [];
  let last = '';
  const subscription = edit.subscribe((state) => {
    const text = describeState(state);
    // The status may change alone.
    if (text !== last) shown.push(`${text}@${scheduler.now()}`);
    last = text;
  });
  server.at(90, () => subscription.unsubscribe());
  return { server, edit, shown };
}
const puts = ({ requests }: LiveServer): readonly string[] =>
  requests.filter((request) => request.startsWith('put'));

describe('edit$', () => {
  it(
    'emits an edit at once, and saves after the debounce time',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(15, () => edit.patch({ n: 3 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n3 m1*@15', 'n3 m1@26']);
      expect(puts(server)).toEqual(['put a@25']);
      expect(edit.pending).toBe(false);
    }),
  );

  it(
    'rebases edits on the writes of others, field by field, and saves once',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(14, () => server.put('a', { n: 1, m: 7 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m7*@15', 'n2 m7@21']);
      expect(puts(server)).toEqual(['put a@20']);
    }),
  );

  it(
    'merges and saves again after a conflict',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler, { merge: fields(counter) });
      server.at(10, () => edit.patch({ n: 2 }));
      // Saves before the change can arrive.
      server.at(20, () => server.put('a', { n: 5, m: 1 }));
      scheduler.flush();
      // The local edit added 1 and the other write added 4 to the base, which is 1.
      expect(shown.at(-1)?.split('@')[0]).toBe('n6 m1');
      expect(puts(server).length).toBeGreaterThanOrEqual(1);
    }),
  );

  it(
    'recognizes its own write if the feed delivers it before the answer',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler, { merge: fields(counter) });
      // The change of a write arrives after 1 frame, its answer after 2.
      server.at(10, () => edit.patch({ n: 2 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m1@21']);
      expect(puts(server)).toEqual(['put a@20']);
    }),
  );

  it(
    'saves edits made during a save with a second write, one after the other',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(21, () => edit.patch({ n: 3 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n3 m1*@21', 'n3 m1@32']);
      expect(puts(server)).toEqual(['put a@20', 'put a@31']);
    }),
  );

  it(
    'saves an edit that undoes another one whose save is under way',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      const saved: unknown[] = [];
      server.rejectReason = (_id, body) => {
        saved.push(body['n']);
        return null;
      };
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(21, () => edit.patch({ n: 1 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n1 m1*@21', 'n1 m1@32']);
      expect([puts(server), saved]).toEqual([
        ['put a@20', 'put a@31'],
        [2, 1],
      ]);
    }),
  );

  it(
    'keeps refused edits, with the error, until the next edit, which clears the error',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.rejectReason = (_id, body) => (body['n'] === 2 ? 'not two' : null);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(40, () => edit.patch({ n: 3 }));
      scheduler.flush();
      expect(shown).toEqual([
        'n1 m1@3',
        'n2 m1*@10',
        'n2 m1* Forbidden@22',
        'n3 m1*@40',
        'n3 m1@51',
      ]);
    }),
  );

  it(
    'keeps edits after a transient error, and saves them when the server is back',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(12, () => server.cut());
      server.at(14, () => edit.patch({ n: 2 }));
      server.at(40, () => server.restore());
      scheduler.flush();
      expect(shown.slice(0, 3)).toEqual(['n1 m1@3', 'n2 m1*@14', 'n2 m1* ConnectionError@24']);
      expect(shown.at(-1)?.split('@')[0]).toBe('n2 m1');
    }),
  );

  it(
    'keeps edits if the merge returns null, and waits for asynchronous merges',
    marbles((_, scheduler) => {
      const giving = edited(scheduler, { merge: () => null });
      giving.server.at(10, () => giving.edit.patch({ n: 2 }));
      giving.server.at(12, () => giving.server.put('a', { n: 9, m: 9 }));
      const delayed = edited(scheduler, {
        merge: (local, server) => timer(3, scheduler).pipe(map(() => ({ ...server, ...local }))),
      });
      delayed.server.at(10, () => delayed.edit.patch({ n: 2 }));
      delayed.server.at(12, () => delayed.server.put('a', { n: 9, m: 9, k: 9 }));
      delayed.server.at(14, () => delayed.edit.patch({ n: 4 }));
      scheduler.flush();
      expect(giving.shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m1* Conflict@13']);
      expect(giving.edit.pending).toBe(true);
      expect(puts(giving.server)).toEqual([]);
      expect(delayed.shown.at(-1)?.split('@')[0]).toBe('n4 m1 k9');
    }),
  );

  it(
    'keeps unsaved edits when it is unsubscribed, and saves them at the next subscription',
    marbles((_, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      const edit = server.db.edit$('a', { debounce: 10 });
      const first = edit.subscribe();
      server.at(10, () => {
        edit.patch({ n: 2 });
        first.unsubscribe();
      });
      server.at(40, () => {
        expect(edit.pending).toBe(true);
        expect(puts(server)).toEqual([]);
        const second = edit.subscribe();
        server.at(30, () => second.unsubscribe());
      });
      scheduler.flush();
      expect(edit.pending).toBe(false);
      expect(puts(server)).toHaveLength(1);
      expect(server.openFeeds()).toBe(0);
    }),
  );

  it(
    'saves without the debounce time, and errors with the error of the save',
    marbles(({ expectObservable }, scheduler) => {
      const { server, edit } = edited(scheduler);
      server.rejectReason = (_id, body) => (body['n'] === 3 ? 'not three' : null);
      server.at(10, () => edit.patch({ n: 2 }));
      const flushed = edit.save().pipe(map((doc) => doc?.['n']));
      expectObservable(flushed, '----------^').toBe('-----------(2|)', { 2: 2 });
      server.at(20, () => edit.patch({ n: 3 }));
      expectObservable(flushed, '--------------------^').toBe(
        '----------------------#',
        {},
        expect.objectContaining({ name: 'Forbidden' }),
      );
    }),
  );

  it(
    'emits no state twice: not when a save begins, and not when there is nothing to drop',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(5, () => edit.reset());
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(12, () => edit.save().subscribe());
      server.at(30, () => edit.save().subscribe());
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m1@13']);
      expect(puts(server)).toEqual(['put a@12']);
    }),
  );

  it(
    'drops edits, emits a deletion, and creates a missing document',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(12, () => edit.reset());
      server.at(20, () => server.remove('a'));
      server.at(30, () => edit.set({ n: 5 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n1 m1@12', 'gonetrue@21', 'n5*@30', 'n5@41']);
    }),
  );

  it(
    'tells what it is doing, also to late subscribers of its state',
    marbles((_, scheduler) => {
      const { server, edit } = edited(scheduler);
      const statuses: string[] = [];
      const progress = (): void => {
        edit.state$
          .subscribe(({ status, error, attempt, retryDelay }) =>
            statuses.push(
              [status, error?.name, attempt > 0 ? `${attempt}: ${retryDelay}` : undefined]
                .filter((part) => part !== undefined)
                .join(' '),
            ),
          )
          .unsubscribe();
      };
      const times = { 1: progress, 5: progress, 25: progress, 60: progress };
      for (const [frame, look] of Object.entries(times)) server.at(Number(frame), look);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(15, progress);
      server.at(18, () => {
        server.rejectStatus = 503;
        server.rejectReason = () => 'busy';
      });
      server.at(20.5, progress);
      server.at(30, () => {
        server.rejectReason = () => null;
      });
      scheduler.flush();
      expect(statuses).toEqual([
        'loading',
        'clean',
        'edited',
        'saving',
        'retrying ServerError 1: 5',
        'clean',
      ]);
    }),
  );

  it(
    'shows the writes of others while a save is being retried, merged with the edits',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler, { backoff: { initialDelay: 40 } });
      server.rejectStatus = 503;
      server.rejectReason = () => 'busy';
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(24, () => {
        server.rejectReason = () => null;
        server.put('a', { n: 1, m: 8 });
      });
      scheduler.flush();
      expect(shown.slice(0, 4)).toEqual([
        'n1 m1@3',
        'n2 m1*@10',
        'n2 m1* ServerError@24',
        'n2 m8* ServerError@25',
      ]);
      expect(shown.at(-1)?.split('@')[0]).toBe('n2 m8');
    }),
  );

  it(
    'follows a winner with an older generation, a purge, and a document that begins again',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      const change = (rev: string, fields_: object): void =>
        server.replace('a', rev, fields_ as AnyFields);
      server.at(10, () => change('5-z', { n: 5, m: 5 }));
      // The winner was deleted: a leaf of generation 2 wins.
      server.at(20, () => change('2-b', { n: 2, m: 2 }));
      server.at(30, () => edit.patch({ n: 7 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n5 m5@11', 'n2 m2@25', 'n7 m2*@30', 'n7 m2@41']);
      expect(edit.pending).toBe(false);
    }),
  );

  it(
    'deletes, and merges a deletion with an edit by the rule for deletions',
    marbles((_, scheduler) => {
      const plain = edited(scheduler);
      plain.server.at(10, () => plain.edit.delete());
      const set = edited(scheduler);
      set.server.at(10, () => set.edit.set({ _deleted: true }));
      const kept = edited(scheduler);
      kept.server.at(10, () => kept.edit.delete());
      kept.server.at(14, () => kept.server.put('a', { n: 6, m: 6 }));
      kept.server.at(40, () => kept.edit.reset());
      const removed = edited(scheduler, { deletion: 'deletion' });
      removed.server.at(10, () => removed.edit.delete());
      removed.server.at(14, () => removed.server.put('a', { n: 6, m: 6 }));
      const lost = edited(scheduler, { deletion: 'deletion' });
      lost.server.at(10, () => lost.edit.patch({ n: 2 }));
      lost.server.at(14, () => lost.server.remove('a'));
      scheduler.flush();
      expect(plain.shown).toEqual(['n1 m1@3', 'gonetrue*@10', 'gonetrue@21']);
      expect(set.shown).toEqual(plain.shown);
      expect(kept.shown).toEqual(['n1 m1@3', 'gonetrue*@10', 'gonetrue* Conflict@15', 'n6 m6@40']);
      expect(removed.shown).toEqual(plain.shown);
      expect(lost.shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m1* Conflict@15']);
    }),
  );

  it('throws at the call for invalid arguments', () => {
    const invalid = (): AnyFields => ({ n: Number.NaN });
    marbles((_, scheduler) => {
      const { db } = liveServer(scheduler);
      expect(() => db.edit$('')).toThrow(TypeError);
      expect(() => db.edit$('a', { debounce: -1 })).toThrow(RangeError);
      expect(() => db.edit$('a', { merge: 7 as never })).toThrow(TypeError);
      expect(() => db.edit$('a').set({ n: 1 })).toThrow('has not been read yet');
      expect(() => db.edit$('a').set(invalid())).toThrow('NaN');
    })();
  });
});
