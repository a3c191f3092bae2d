import { describe, expect, it } from '@jest/globals';
import { map, timer } from 'rxjs';
import { counter, fields } from 'corduroy';
import type { AnyFields, EditOptions, EditState, LiveEdit } from 'corduroy';
import type { TestScheduler } from 'rxjs/testing';
import { liveServer } from './helpers/live-server.ts';
import type { LiveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

/** What is shown: the fields, an asterisk where something is unsaved, and the error. */
function told({ value, pending, error }: EditState): string {
  const { _id, _rev, ...shown } = value ?? { gone: true };
  const text = Object.entries(shown)
    .map(([name, field]) => `${name}${String(field)}`)
    .join(' ');
  return `${text}${pending ? '*' : ''}${error === null ? '' : ` ${error.name}`}`;
}

/** A document `{ n: 1, m: 1 }`, edited with a pause of 10 frames; a write takes 2 frames. */
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
  const subscription = edit.subscribe((state) => shown.push(`${told(state)}@${scheduler.now()}`));
  server.at(90, () => subscription.unsubscribe());
  return { server, edit, shown };
}
const puts = ({ asked }: LiveServer): readonly string[] =>
  asked.filter((what) => what.startsWith('put'));

describe('edit$', () => {
  it(
    'shows an edit at once, and saves when nothing has been edited for a while',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(15, () => edit.patch({ n: 3 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n3 m1*@15', 'n3 m1@27']);
      expect(puts(server)).toEqual(['put a@25']);
      expect(edit.pending).toBe(false);
    }),
  );

  it(
    'rebases edits on what others write, field by field, and is not saved twice',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(14, () => server.put('a', { n: 1, m: 7 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m7*@15', 'n2 m7@27']);
      expect(puts(server)).toEqual(['put a@25']);
    }),
  );

  it(
    'merges where a write met a newer revision, and writes again',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler, { merge: fields(counter) });
      server.at(10, () => edit.patch({ n: 2 }));
      // Written before the news of it can come.
      server.at(20, () => server.put('a', { n: 5, m: 1 }));
      scheduler.flush();
      // 1 and 4 were added to the 1 that both were made of.
      expect(shown.at(-1)?.split('@')[0]).toBe('n6 m1');
      expect(puts(server).length).toBeGreaterThanOrEqual(1);
    }),
  );

  it(
    'knows its own write when the feed tells of it first',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler, { merge: fields(counter) });
      // The news of a write comes after 1 frame, its answer after 2.
      server.at(10, () => edit.patch({ n: 2 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m1@22']);
      expect(puts(server)).toEqual(['put a@20']);
    }),
  );

  it(
    'saves what is edited while it saves with another write, never two at once',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(21, () => edit.patch({ n: 3 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n3 m1*@21', 'n3 m1*@22', 'n3 m1@34']);
      expect(puts(server)).toEqual(['put a@20', 'put a@32']);
    }),
  );

  it(
    'rolls back what is refused, with the reason, and forgets it at the next edit',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.refuse = (_id, body) => (body['n'] === 2 ? 'not two' : null);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(40, () => edit.patch({ n: 3 }));
      scheduler.flush();
      expect(shown).toEqual([
        'n1 m1@3',
        'n2 m1*@10',
        'n1 m1 Forbidden@22',
        'n3 m1*@40',
        'n3 m1@52',
      ]);
    }),
  );

  it(
    'keeps what cannot be saved for now, and saves it when the server is back',
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
    'gives edits up where the merge does, and takes merges that answer later',
    marbles((_, scheduler) => {
      const giving = edited(scheduler, { merge: () => null });
      giving.server.at(10, () => giving.edit.patch({ n: 2 }));
      giving.server.at(12, () => giving.server.put('a', { n: 9, m: 9 }));
      const later = edited(scheduler, {
        merge: (local, server) => timer(3, scheduler).pipe(map(() => ({ ...server, ...local }))),
      });
      later.server.at(10, () => later.edit.patch({ n: 2 }));
      later.server.at(12, () => later.server.put('a', { n: 9, m: 9, k: 9 }));
      later.server.at(14, () => later.edit.patch({ n: 4 }));
      scheduler.flush();
      expect(giving.shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n9 m9 Conflict@13']);
      expect(puts(giving.server)).toEqual([]);
      expect(later.shown.at(-1)?.split('@')[0]).toBe('n4 m1 k9');
    }),
  );

  it(
    'keeps unsaved edits when it is left, and saves them when somebody comes back',
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
      expect(server.open()).toBe(0);
    }),
  );

  it(
    'flushes without waiting, and errors with what refused the edits',
    marbles(({ expectObservable }, scheduler) => {
      const { server, edit } = edited(scheduler);
      server.refuse = (_id, body) => (body['n'] === 3 ? 'not three' : null);
      server.at(10, () => edit.patch({ n: 2 }));
      const flushed = edit.flush().pipe(map((doc) => doc?.['n']));
      expectObservable(flushed, '----------^').toBe('------------(2|)', { 2: 2 });
      server.at(20, () => edit.patch({ n: 3 }));
      expectObservable(flushed, '--------------------^').toBe(
        '----------------------#',
        {},
        expect.objectContaining({ name: 'Forbidden' }),
      );
    }),
  );

  it(
    'discards edits, makes a document where there is none, and follows its deletion',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(12, () => edit.discard());
      server.at(20, () => server.remove('a'));
      server.at(30, () => edit.set({ n: 5 }));
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n1 m1@12', 'gonetrue@21', 'n5*@30', 'n5@42']);
    }),
  );

  it('tells misuse at the call', () => {
    const scheduled = (): AnyFields => ({ n: Number.NaN });
    marbles((_, scheduler) => {
      const { db } = liveServer(scheduler);
      expect(() => db.edit$('')).toThrow(TypeError);
      expect(() => db.edit$('a', { debounce: -1 })).toThrow(RangeError);
      expect(() => db.edit$('a', { merge: 7 as never })).toThrow(TypeError);
      expect(() => db.edit$('a').set({ n: 1 })).toThrow('has not been read yet');
      expect(() => db.edit$('a').set(scheduled())).toThrow('NaN');
    })();
  });
});
