import {
  Observable,
  concatMap,
  defer,
  from,
  map,
  mergeMap,
  of,
  repeat,
  retry,
  toArray,
} from 'rxjs';
import { DatabaseReplaced } from '../errors/connection-error.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import { readFeedOptions } from './changes-feed.ts';
import type { FeedOptions } from './changes-feed.ts';
import { toObservable } from '../operators/to-observable.ts';
import { startSequence } from './feed-source.ts';
import type { CheckpointStore } from './checkpoint.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';
import { databaseSource } from './feed-source.ts';
import { documentCheckpoint } from './checkpoint.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';
import { drain, longPoll } from './polling.ts';
import type { FeedEvent } from './feed-source.ts';

/** What is done with a change; what it returns is waited for. */
export type ChangeHandler<T extends object> = (change: Change<T>) => ValueOrAsync<unknown>;

/** How a database is consumed. */
export interface ConsumeOptions<T extends object = AnyFields>
  extends
    Omit<ChangesParameters, 'limit' | 'seqInterval'>,
    Pick<FeedOptions, 'heartbeat' | 'backoff' | 'errorTolerance'> {
  /** Who consumes: the checkpoint is kept under this name. */
  readonly name: string;
  /** How many changes are read at once, and are in memory at most. @defaultValue 100 */
  readonly batchSize?: number;
  /** How many changes are handled at the same time. @defaultValue 1 */
  readonly concurrency?: number;
  /** Where it is noted how far one has come. @defaultValue a `_local/` document of the database */
  readonly checkpoint?: CheckpointStore;
  /** How often a change whose handler fails is tried, with backoff between. @defaultValue 5 */
  readonly attempts?: number;
  /**
   * Takes a change whose handler has failed for good, so that the rest can go on. Without it the
   * stream errors with what the handler threw.
   */
  readonly onPoison?: (change: Change<T>, error: unknown) => ValueOrAsync<unknown>;
}

/** How far a consumer has come. */
export interface ConsumeProgress {
  /** The sequence that was noted. */
  readonly seq: Sequence;
  /** How many changes have been handled since the subscription. */
  readonly handled: number;
}

/**
 * Hands every change to a handler, and notes how far it has come: what `db.consume` returns.
 *
 * It pulls: the next changes are asked for when those before are done and noted, so that a slow
 * handler slows the reading, and nothing piles up.
 */
export function consume<T extends object>(
  db: DatabaseScope,
  handler: ChangeHandler<T>,
  options: ConsumeOptions<T>,
): Observable<ConsumeProgress> {
  const { name, batchSize = 100, concurrency = 1, attempts = 5, onPoison, ...rest } = options;
  const { checkpoint = documentCheckpoint(db, name), ...feedOptions } = rest;
  if (typeof handler !== 'function')
    throw invalidArgument('consume: handler', 'a function', handler);
  for (const [what, value] of Object.entries({ batchSize, concurrency, attempts })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw invalidArgument(`consume: ${what}`, 'a whole number from 1', value, RangeError);
    }
  }
  const { behaviour, parameters } = readFeedOptions(feedOptions, 'consume');
  changesRequest(parameters, { since: behaviour.since }, 'consume');
  const source = databaseSource<T>(db, parameters);
  const { connection } = source;
  const pace = { initialDelay: 100, ...behaviour.backoff };

  const handle = (change: Change<T>): Observable<unknown> => {
    const once = toObservable(() => handler(change));
    const tried = once.pipe(
      retry({
        count: attempts - 1,
        delay: (_error, failures) => connection.after(backoff(failures, pace)),
      }),
      // What a handler emits, or whether it emits, is its own business.
      toArray(),
    );
    if (onPoison === undefined) return tried;
    return new Observable((subscriber) =>
      tried.subscribe({
        next: (value) => subscriber.next(value),
        complete: () => subscriber.complete(),
        error: (error: unknown) =>
          subscriber.add(
            toObservable(() => onPoison(change, error))
              .pipe(toArray())
              .subscribe(subscriber),
          ),
      }),
    );
  };

  return defer(() => {
    const health = new RetryPolicy(pace, behaviour.errorTolerance, () =>
      connection.scheduler.now(),
    );
    let since: Sequence = behaviour.since;
    let handled = 0;
    let waiting = false;
    let asked = 0;
    let inVain = 0;
    const begin = startSequence(source, checkpoint, since, 2 * behaviour.heartbeat).pipe(
      retryTransient(connection, health),
    );
    const read = defer(() => {
      asked = connection.scheduler.now();
      // Only when there was less than a batch is it worth waiting for more.
      const poll = waiting ? longPoll : drain;
      return poll(source, since, batchSize, behaviour.heartbeat).pipe(toArray());
    });
    // A server that answers at once, and nothing, is not asked again and again without a pause.
    const rest$ = defer(() => (inVain < 2 ? of(0) : connection.after(backoff(inVain, pace))));
    let known: string | null | undefined;
    const whole = read.pipe(
      // What was read is believed when it is known to be of the same database.
      mergeMap((events) =>
        source.identity(2 * behaviour.heartbeat).pipe(
          map((found) => {
            if (known !== undefined && found !== known) {
              throw new DatabaseReplaced({ method: 'GET', url: connection.url + source.path });
            }
            known = found;
            return events;
          }),
        ),
      ),
    );
    const step = whole.pipe(
      retryTransient(connection, health),
      mergeMap((events) => {
        const { items, lastSeq } = summarize(events);
        const quick = connection.scheduler.now() - asked < behaviour.heartbeat / 2;
        inVain = items.length === 0 && quick ? inVain + 1 : 0;
        waiting = items.length < batchSize;
        const done = from(items).pipe(mergeMap(handle, concurrency), toArray());
        return done.pipe(
          mergeMap(() => {
            handled += items.length;
            if (lastSeq === since) return [];
            since = lastSeq;
            const note = toObservable(() => checkpoint.write(lastSeq)).pipe(
              toArray(),
              retryTransient(connection, health),
            );
            return note.pipe(map((): ConsumeProgress => ({ seq: lastSeq, handled })));
          }),
        );
      }),
    );
    return begin.pipe(
      concatMap((place) => {
        since = place;
        return step.pipe(repeat({ delay: () => rest$ }));
      }),
    );
  });
}

function summarize<T extends object>(
  events: readonly FeedEvent<Change<T>>[],
): { readonly items: readonly Change<T>[]; readonly lastSeq: Sequence } {
  let items: readonly Change<T>[] = [];
  let lastSeq = '';
  for (const event of events) {
    if (event.type === 'items') ({ items } = event);
    if (event.type === 'end') ({ lastSeq } = event);
  }
  return { items, lastSeq };
}
