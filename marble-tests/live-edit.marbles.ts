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
  const { _id, _rev, ...shown } = value ?? { gone: true };
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
  const subscription = edit.subscribe((state) =>
    shown.push(`${describeState(state)}@${scheduler.now()}`),
  );
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
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n3 m1*@15', 'n3 m1@27']);
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
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m7*@15', 'n2 m7@27']);
      expect(puts(server)).toEqual(['put a@25']);
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
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m1@22']);
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
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n3 m1*@21', 'n3 m1*@22', 'n3 m1@34']);
      expect(puts(server)).toEqual(['put a@20', 'put a@32']);
    }),
  );

  it(
    'rolls rejected edits back, with the error, and clears the error at the next edit',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.rejectReason = (_id, body) => (body['n'] === 2 ? 'not two' : null);
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
    'discards edits if the merge returns null, and waits for asynchronous merges',
    marbles((_, scheduler) => {
      const discarding = edited(scheduler, { merge: () => null });
      discarding.server.at(10, () => discarding.edit.patch({ n: 2 }));
      discarding.server.at(12, () => discarding.server.put('a', { n: 9, m: 9 }));
      const delayed = edited(scheduler, {
        merge: (local, server) => timer(3, scheduler).pipe(map(() => ({ ...server, ...local }))),
      });
      delayed.server.at(10, () => delayed.edit.patch({ n: 2 }));
      delayed.server.at(12, () => delayed.server.put('a', { n: 9, m: 9, k: 9 }));
      delayed.server.at(14, () => delayed.edit.patch({ n: 4 }));
      scheduler.flush();
      expect(discarding.shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n9 m9 Conflict@13']);
      expect(puts(discarding.server)).toEqual([]);
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
    'flushes without the debounce time, and errors with the error of the save',
    marbles(({ expectObservable }, scheduler) => {
      const { server, edit } = edited(scheduler);
      server.rejectReason = (_id, body) => (body['n'] === 3 ? 'not three' : null);
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
    'emits no state twice: not when a flush begins, and not when there is nothing to discard',
    marbles((_, scheduler) => {
      const { server, edit, shown } = edited(scheduler);
      server.at(5, () => edit.discard());
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(12, () => edit.flush().subscribe());
      server.at(30, () => edit.flush().subscribe());
      scheduler.flush();
      expect(shown).toEqual(['n1 m1@3', 'n2 m1*@10', 'n2 m1@14']);
      expect(puts(server)).toEqual(['put a@12']);
    }),
  );

  it(
    'discards edits, emits a deletion, and creates a missing document',
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
