import { describe, expect, it } from '@jest/globals';
import { map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { Couch } from 'corduroy';
import type { ReplicationStatesOptions, ReplicationStatus, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

type Answer = TransportResponse | 'lost';

/** A scheduler's response for a document, with its state and docs_written. */
const responseWith = (state: string | null, written?: number): TransportResponse =>
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

/** A server that sends these responses in order, and then repeats the last one. */
function watch(
  scheduler: TestScheduler,
  answers: readonly Answer[],
  options: ReplicationStatesOptions = {},
): { readonly states$: Observable<string>; readonly requests: number[] } {
  const requests: number[] = [];
  const transport = marbleTransport((_, count) => {
    requests.push(scheduler.now());
    const answer = answers[Math.min(count, answers.length) - 1] as Answer;
    return answer === 'lost' ? throwError(() => new Error('refused')) : of(answer);
  });
  const couch = new Couch(undefined, { transport, scheduler, concurrency: Infinity });
  return { states$: couch.replication$('r', options).pipe(map(written)), requests };
}

/** The first letter of the state, and docs_written. */
const written = ({ state, counts }: ReplicationStatus): string =>
  `${state[0]}${counts === null ? '' : counts.docsWritten}`;

const letters = { i: 'i', r: 'r', a: 'r1', b: 'r2', k: 'c', c: 'c2', f: 'f', e: 'e' };

describe('replication$', () => {
  it(
    'polls at once and 1 s after each response, emits changes, completes with a final state',
    marbles(({ expectObservable, flush }, scheduler) => {
      const answers = [
        responseWith(null),
        responseWith('running'),
        responseWith('running'),
        responseWith('running', 1),
        responseWith('running', 1),
        responseWith('running', 2),
        responseWith('completed', 2),
      ];
      const { states$, requests } = watch(scheduler, answers);
      expectObservable(states$).toBe('i 999ms r 1999ms a 1999ms b 999ms (c|)', letters);
      flush();
      expect(requests).toEqual([0, 1000, 2000, 3000, 4000, 5000, 6000]);
    }),
  );

  it(
    'polls at the given interval',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { states$, requests } = watch(
        scheduler,
        [responseWith('pending'), responseWith('failed')],
        {
          interval: 5,
        },
      );
      expectObservable(states$).toBe('p----(f|)', { p: 'p', f: 'f' });
      flush();
      expect(requests).toEqual([0, 5]);
    }),
  );

  it(
    'starts the interval after the response',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const slow = cold('---a', { a: responseWith('running') });
      const couch = new Couch(undefined, { transport: marbleTransport(() => slow), scheduler });
      expectObservable(couch.replication$('r', { interval: 2 }).pipe(map(written)), '------!').toBe(
        '---r--',
        letters,
      );
      expectSubscriptions(slow.subscriptions).toBe(['^--!', '-----^!']);
    }),
  );

  it(
    'emits a crash and a failure as states, not as errors',
    marbles(({ expectObservable }, scheduler) => {
      const answers = [
        responseWith('crashing'),
        responseWith('error'),
        responseWith('running'),
        responseWith('failed'),
      ];
      const { states$ } = watch(scheduler, answers, { interval: 2 });
      expectObservable(states$).toBe('k-e-r-(f|)', letters);
    }),
  );

  it(
    'errors with NotFound at once if the document does not exist',
    marbles(({ expectObservable }, scheduler) => {
      const { states$ } = watch(scheduler, [missing]);
      const error = expect.objectContaining({ name: 'NotFound', deleted: false });
      expectObservable(states$).toBe('#', undefined, error);
    }),
  );

  it(
    'errors with NotFound and deleted if the document was deleted since',
    marbles(({ expectObservable }, scheduler) => {
      const { states$ } = watch(scheduler, [responseWith('running'), missing], { interval: 3 });
      const error = expect.objectContaining({ name: 'NotFound', deleted: true });
      expectObservable(states$).toBe('r--#', letters, error);
    }),
  );

  it(
    'retries transient errors with growing backoff, and continues',
    marbles(({ expectObservable, flush }, scheduler) => {
      const answers: Answer[] = [
        responseWith('running'),
        'lost',
        'lost',
        'lost',
        responseWith('running'),
        responseWith('completed', 2),
      ];
      const backoff = { initialDelay: 10, maxDelay: 20, random: () => 0.9 };
      const { states$, requests } = watch(scheduler, answers, { interval: 100, backoff });
      // The delays are 10, 19 and 19.
      expectObservable(states$).toBe('r 247ms (c|)', letters);
      flush();
      expect(requests).toEqual([0, 100, 110, 129, 148, 248]);
    }),
  );

  it(
    'honours Retry-After',
    marbles(({ expectObservable }, scheduler) => {
      const { states$ } = watch(scheduler, [busy, responseWith('completed', 2)]);
      expectObservable(states$).toBe('2s (c|)', letters);
    }),
  );

  it(
    'retries for as long as errorTolerance allows, and never with 0',
    marbles(({ expectObservable, flush }, scheduler) => {
      const backoff = { initialDelay: 10, maxDelay: 10, random: () => 0.9 };
      const answers: Answer[] = [responseWith('running'), 'lost'];
      const none = watch(scheduler, answers, { interval: 5, backoff, errorTolerance: 0 });
      const some = watch(scheduler, answers, { interval: 5, backoff, errorTolerance: 20 });
      const error = expect.objectContaining({ name: 'ConnectionError' });
      expectObservable(none.states$).toBe('r----#', letters, error);
      // The last attempt is 20 after the response at 0.
      expectObservable(some.states$).toBe('r 19ms #', letters, error);
      flush();
      expect(some.requests).toEqual([0, 5, 15, 20]);
    }),
  );

  it(
    'does not retry a permanent error',
    marbles(({ expectObservable }, scheduler) => {
      const refused = response(of(bytes('{"error":"unauthorized","reason":"no"}')), 401);
      const { states$ } = watch(scheduler, [responseWith('running'), refused], { interval: 2 });
      const error = expect.objectContaining({ name: 'Unauthorized' });
      expectObservable(states$).toBe('r-#', letters, error);
    }),
  );

  it(
    'stops polling on unsubscribe, between requests and during a request',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const { states$, requests } = watch(scheduler, [responseWith('running')], { interval: 10 });
      expectObservable(states$, '15ms !').toBe('r', letters);
      const never = cold<TransportResponse>('-');
      const couch = new Couch(undefined, { transport: marbleTransport(() => never), scheduler });
      expectObservable(couch.replication$('r'), '----!').toBe('-');
      expectSubscriptions(never.subscriptions).toBe('^---!');
      flush();
      expect(requests).toEqual([0, 10]);
    }),
  );

  it(
    'is cold: each subscription polls independently',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { states$, requests } = watch(scheduler, [responseWith('running')], { interval: 10 });
      expect(requests).toEqual([]);
      expectObservable(states$, '^----!').toBe('r', letters);
      expectObservable(states$, '---^----!').toBe('---r', letters);
      flush();
      expect(requests).toEqual([0, 3]);
    }),
  );

  it(
    'keeps no state of an earlier subscription: neither the document nor the time of errors',
    marbles(({ expectObservable }, scheduler) => {
      const options = { interval: 5, errorTolerance: 10 };
      const gone = watch(scheduler, [responseWith('running'), missing], options);
      expectObservable(gone.states$, '^-!').toBe('r', letters);
      const never = expect.objectContaining({ name: 'NotFound', deleted: false });
      expectObservable(gone.states$, '---^').toBe('---#', letters, never);
      const backoff = { initialDelay: 1, maxDelay: 1 };
      const late = watch(scheduler, ['lost', responseWith('completed', 2)], {
        ...options,
        backoff,
      });
      expectObservable(late.states$, '50ms ^').toBe('51ms (c|)', letters);
    }),
  );
});
