import { Observable, mergeMap, noop } from 'rxjs';
import type { OnWait } from '../http/retry-transient.ts';
import { clock } from '../operators/time.ts';
import type { LiveDatabase, LiveListener } from './live-database.ts';
import { ReadWaits } from './shared-queries.ts';
import type { LiveChange, LiveEntry } from './live-entry.ts';
import type { LiveResult, Outcome } from './live-result.ts';
import type { Interest } from './query-index.ts';

/** A query that is followed: how it is read, and the result that its answers and changes make. */
export interface Followed<Answer, Value> {
  readonly interest: Interest;
  /** Creates the result, at each subscription. */
  readonly result: () => LiveResult<Answer, Value>;
  /**
   * Reads the value from the server, and retries transient errors. It calls `onWait` before each wait,
   * and may call `onAttempt` before each request: changes before it cannot be newer than the answer.
   */
  readonly read: (onWait: OnWait, onAttempt: () => void) => Observable<Answer>;
  /** The minimum time between an answer and the next read, in milliseconds. @defaultValue 0 */
  readonly latency?: number;
}

/**
 * Reads a value, emits it, and emits it again each time changes modify it. Reads it again if the result
 * requires that, with one request at a time. Retries transient errors, and errors with all others.
 *
 * @param waits - Receives the waits for the retries of a read.
 */
export function follow<Answer, Value>(
  live: LiveDatabase,
  { interest, result: createResult, read, latency = 0 }: Followed<Answer, Value>,
  waits: ReadWaits = new ReadWaits(),
): Observable<Value> {
  const { connection } = live.db;
  const now = clock(connection.scheduler);
  return new Observable<Value>((subscriber) => {
    const result = createResult();
    /** The changes since the present read began; null while no read is in flight. */
    let heard: Map<string, LiveEntry> | null = null;
    let reading = false;
    let rereadRequested = false;
    let answeredAt: number | null = null;

    const take = ({ changed, reread, refetch }: Outcome): void => {
      live.refetch(refetch);
      if (reread) requestRead();
      if (changed) subscriber.next(result.value);
    };
    const onChanges = (changes: readonly LiveChange[]): void => {
      for (const { after } of changes) heard?.set(after.id, after);
      if (answeredAt !== null) take(result.apply(changes));
    };
    const listener: LiveListener = {
      next: onChanges,
      error: (error) => subscriber.error(error),
    };
    let unwatch: () => void = noop;
    const watch = (changes: Interest): void => {
      unwatch();
      unwatch = live.watch(listener, changes);
    };
    const onAnswer = (answer: Answer): void => {
      const before = heard ?? new Map<string, LiveEntry>();
      heard = null;
      reading = false;
      const first = answeredAt === null;
      answeredAt = now();
      waits.next(null);
      const outcome = result.answer(answer, before);
      watch(interest);
      take({ ...outcome, changed: first || outcome.changed });
      if (rereadRequested) requestRead();
    };
    const onAttempt = (): void => {
      heard = new Map();
      rereadRequested = false;
    };
    const startRead = (): Observable<Answer> => {
      onAttempt();
      return read(
        (attempt, delay, error) => waits.next({ status: 'waiting', attempt, delay, error }),
        onAttempt,
      );
    };
    const requestRead = (): void => {
      // Changes during a read may be newer than its answer.
      rereadRequested = true;
      if (reading) return;
      reading = true;
      // The answer may have any document, also one that does not match any more.
      if (typeof interest === 'object' && 'fields' in interest) watch('all');
      // A later read waits for the next turn, so that several changes in this turn need one.
      const answer$ =
        answeredAt === null
          ? startRead()
          : connection
              .after(Math.max(0, answeredAt + latency - now()))
              .pipe(mergeMap(() => startRead()));
      subscriber.add(
        answer$.subscribe({ next: onAnswer, error: (error: unknown) => subscriber.error(error) }),
      );
    };

    watch(interest);
    subscriber.add(live.listen(listener));
    subscriber.add(() => unwatch());
    subscriber.add(() => result.clear());
    requestRead();
  });
}
