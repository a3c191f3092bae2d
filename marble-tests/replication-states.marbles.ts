import { describe, expect, it } from '@jest/globals';
import { map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch } from 'corduroy';
import type { ReplicationStatesOptions, ReplicationStatus, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

type Answer = TransportResponse | 'lost';

/** What the scheduler says of a document: its state, and how many documents have been written. */
const says = (state: string | null, written?: number): TransportResponse =>
  response(
    of(
      bytes(
        JSON.stringify({
          database: '_replicator',
          doc_id: 'r',
          state,
          info:
            written === undefined
              ? null
              : { docs_read: written, docs_written: written, changes_pending: 9 },
        }),
      ),
    ),
  );
const missing = response(of(bytes('{"error":"not_found","reason":"missing"}')), 404);
const busy = response(of(bytes('{"error":"x"}')), 503, { 'retry-after': '2' });

/** A server that gives these answers in turn, the last one again and again. */
function watch(
  scheduler: TestScheduler,
  answers: readonly Answer[],
  options: ReplicationStatesOptions = {},
): { readonly states$: Observable<string>; readonly asked: number[] } {
  const asked: number[] = [];
  const transport = marbleTransport((_, count) => {
    asked.push(scheduler.now());
    const answer = answers[Math.min(count, answers.length) - 1] as Answer;
    return answer === 'lost' ? throwError(() => new Error('refused')) : of(answer);
  });
  const couch = new Couch(undefined, { transport, scheduler });
  return { states$: couch.replication$('r', options).pipe(map(written)), asked };
}

/** A letter for a state, and the number written. */
const written = ({ state, counts }: ReplicationStatus): string =>
  `${state[0]}${counts === null ? '' : counts.docsWritten}`;

const letters = { i: 'i', r: 'r', a: 'r1', b: 'r2', k: 'c', c: 'c2', f: 'f', e: 'e' };

describe('replication$', () => {
  it(
    'asks at once, and a second after each answer; emits what is new; completes with the end',
    marbles(({ expectObservable, flush }, scheduler) => {
      const answers = [
        says(null),
        says('running'),
        says('running'),
        says('running', 1),
        says('running', 1),
        says('running', 2),
        says('completed', 2),
      ];
      const { states$, asked } = watch(scheduler, answers);
      expectObservable(states$).toBe('i 999ms r 1999ms a 1999ms b 999ms (c|)', letters);
      flush();
      expect(asked).toEqual([0, 1000, 2000, 3000, 4000, 5000, 6000]);
    }),
  );

  it(
    'asks as often as it is told to',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { states$, asked } = watch(scheduler, [says('pending'), says('failed')], {
        interval: 5,
      });
      expectObservable(states$).toBe('p----(f|)', { p: 'p', f: 'f' });
      flush();
      expect(asked).toEqual([0, 5]);
    }),
  );

  it(
    'waits for an answer before it waits to ask again',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const slow = cold('---a', { a: says('running') });
      const couch = new Couch(undefined, { transport: marbleTransport(() => slow), scheduler });
      expectObservable(couch.replication$('r', { interval: 2 }).pipe(map(written)), '------!').toBe(
        '---r--',
        letters,
      );
      expectSubscriptions(slow.subscriptions).toBe(['^--!', '-----^!']);
    }),
  );

  it(
    'gives a crash and a failure as states, not as errors',
    marbles(({ expectObservable }, scheduler) => {
      const answers = [says('crashing'), says('error'), says('running'), says('failed')];
      const { states$ } = watch(scheduler, answers, { interval: 2 });
      expectObservable(states$).toBe('k-e-r-(f|)', letters);
    }),
  );

  it(
    'errors with NotFound at once where there is no such document',
    marbles(({ expectObservable }, scheduler) => {
      const { states$ } = watch(scheduler, [missing]);
      const error = expect.objectContaining({ name: 'NotFound', deleted: false });
      expectObservable(states$).toBe('#', undefined, error);
    }),
  );

  it(
    'errors with NotFound, deleted, where the document is gone since',
    marbles(({ expectObservable }, scheduler) => {
      const { states$ } = watch(scheduler, [says('running'), missing], { interval: 3 });
      const error = expect.objectContaining({ name: 'NotFound', deleted: true });
      expectObservable(states$).toBe('r--#', letters, error);
    }),
  );

  it(
    'tries again what fails for now, each time later, and goes on as if nothing had been',
    marbles(({ expectObservable, flush }, scheduler) => {
      const answers: Answer[] = [
        says('running'),
        'lost',
        'lost',
        'lost',
        says('running'),
        says('completed', 2),
      ];
      const backoff = { initialDelay: 10, maxDelay: 20, random: () => 0.9 };
      const { states$, asked } = watch(scheduler, answers, { interval: 100, backoff });
      // Waits of 10, 19 and 19.
      expectObservable(states$).toBe('r 247ms (c|)', letters);
      flush();
      expect(asked).toEqual([0, 100, 110, 129, 148, 248]);
    }),
  );

  it(
    'waits for as long as a server asks with Retry-After',
    marbles(({ expectObservable }, scheduler) => {
      const { states$ } = watch(scheduler, [busy, says('completed', 2)]);
      expectObservable(states$).toBe('2s (c|)', letters);
    }),
  );

  it(
    'puts up with failures for as long as errorTolerance says, and not at all with 0',
    marbles(({ expectObservable, flush }, scheduler) => {
      const backoff = { initialDelay: 10, maxDelay: 10, random: () => 0.9 };
      const answers: Answer[] = [says('running'), 'lost'];
      const none = watch(scheduler, answers, { interval: 5, backoff, errorTolerance: 0 });
      const some = watch(scheduler, answers, { interval: 5, backoff, errorTolerance: 20 });
      const error = expect.objectContaining({ name: 'ConnectionError' });
      expectObservable(none.states$).toBe('r----#', letters, error);
      // The failure at 25 is the first that is more than 20 after the answer at 0.
      expectObservable(some.states$).toBe('r 24ms #', letters, error);
      flush();
      expect(some.asked).toEqual([0, 5, 15, 25]);
    }),
  );

  it(
    'does not put up with what cannot pass by itself',
    marbles(({ expectObservable }, scheduler) => {
      const refused = response(of(bytes('{"error":"unauthorized","reason":"no"}')), 401);
      const { states$ } = watch(scheduler, [says('running'), refused], { interval: 2 });
      const error = expect.objectContaining({ name: 'Unauthorized' });
      expectObservable(states$).toBe('r-#', letters, error);
    }),
  );

  it(
    'stops asking when it is unsubscribed from: in the pause, and in a request',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const { states$, asked } = watch(scheduler, [says('running')], { interval: 10 });
      expectObservable(states$, '15ms !').toBe('r', letters);
      const never = cold<TransportResponse>('-');
      const couch = new Couch(undefined, { transport: marbleTransport(() => never), scheduler });
      expectObservable(couch.replication$('r'), '----!').toBe('-');
      expectSubscriptions(never.subscriptions).toBe('^---!');
      flush();
      expect(asked).toEqual([0, 10]);
    }),
  );

  it(
    'is cold: each subscription asks by itself, from the beginning',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { states$, asked } = watch(scheduler, [says('running')], { interval: 10 });
      expect(asked).toEqual([]);
      expectObservable(states$, '^----!').toBe('r', letters);
      expectObservable(states$, '---^----!').toBe('---r', letters);
      flush();
      expect(asked).toEqual([0, 3]);
    }),
  );

  it(
    'remembers nothing of an earlier subscription: not what it saw, nor what it put up with',
    marbles(({ expectObservable }, scheduler) => {
      const options = { interval: 5, errorTolerance: 10 };
      const gone = watch(scheduler, [says('running'), missing], options);
      expectObservable(gone.states$, '^-!').toBe('r', letters);
      const never = expect.objectContaining({ name: 'NotFound', deleted: false });
      expectObservable(gone.states$, '---^').toBe('---#', letters, never);
      const backoff = { initialDelay: 1, maxDelay: 1 };
      const late = watch(scheduler, ['lost', says('completed', 2)], { ...options, backoff });
      expectObservable(late.states$, '50ms ^').toBe('51ms (c|)', letters);
    }),
  );
});
