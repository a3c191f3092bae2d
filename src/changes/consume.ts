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
import type { DatabaseScope } from '../http/scope.ts';
import type { Change, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import { readFeedOptions } from './changes-feed.ts';
import type { FeedOptions } from './changes-feed.ts';
import { toObservable } from '../operators/to-observable.ts';
import { clock } from '../operators/time.ts';
import { sameDatabase, startSequence } from './feed-source.ts';
import type { CheckpointStore } from './checkpoint.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';
import { databaseSource } from './feed-source.ts';
import { documentCheckpoint } from './checkpoint.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';
import { PollPace, drain, longPoll } from './polling.ts';
import type { FeedEvent } from './feed-source.ts';

/**
 * Handles one change. `consume` waits until the Promise or Observable that it returns has ended. If
 * the handler throws or errors, `consume` calls it again.
 */
export type ChangeHandler<T extends object> = (change: Change<T>) => ValueOrAsync<unknown>;

/** The options of `db.consume()`. */
export interface ConsumeOptions<T extends object = AnyFields>
  extends
    Omit<ChangesParameters, 'limit' | 'seqInterval'>,
    Pick<FeedOptions, 'heartbeat' | 'backoff' | 'errorTolerance'> {
  /** The consumer's name. The checkpoint is stored under it. */
  readonly name: string;
  /** How many changes one request reads, and memory holds, at most. @defaultValue 100 */
  readonly batchSize?: number;
  /** How many changes are handled at the same time. @defaultValue 1 */
  readonly concurrency?: number;
  /** Stores the sequence to resume from. @defaultValue a `_local/` document of the database */
  readonly checkpoint?: CheckpointStore;
  /** How often the handler is called for a change at most, with backoff. @defaultValue 5 */
  readonly attempts?: number;
  /**
   * Takes a change whose handler has failed `attempts` times, so that the consumer continues with
   * the next. Without it, the stream errors with the handler's error.
   */
  readonly onPoison?: (change: Change<T>, error: unknown) => ValueOrAsync<unknown>;
}

/** The progress of a consumer. */
export interface ConsumeProgress {
  /** The sequence that was stored. */
  readonly seq: Sequence;
  /** How many changes have been handled since the subscription. */
  readonly handled: number;
}

/**
 * Calls a handler with every change, and stores a checkpoint after each batch: `db.consume` returns
 * it.
 *
 * Each request reads one batch, and goes out after the batch before was handled and stored. A slow
 * handler therefore slows down the requests (back-pressure).
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
  changesRequest(parameters, { since: behaviour.since }, 'consume', db.connection.codec);
  const source = databaseSource<T>(db, parameters);
  const { connection } = source;
  const backoffOptions = { initialDelay: 100, ...behaviour.backoff };

  const handle = (change: Change<T>): Observable<unknown> => {
    const attempt = toObservable(() => handler(change));
    const handled$ = attempt.pipe(
      retry({
        count: attempts - 1,
        delay: (_error, failures) => connection.after(backoff(failures, backoffOptions)),
      }),
      // Emits once for each handler, however many values the handler emits.
      toArray(),
    );
    if (onPoison === undefined) return handled$;
    return new Observable((subscriber) =>
      handled$.subscribe({
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
    const { scheduler } = connection;
    const retryPolicy = new RetryPolicy(backoffOptions, behaviour.errorTolerance, scheduler);
    const now = clock(scheduler);
    const pace = new PollPace(scheduler);
    let since: Sequence = behaviour.since;
    let handled = 0;
    let caughtUp = false;
    let requestedAt = 0;
    let emptyPolls = 0;
    let identity: string | null = null;
    let received = 0;
    const start$ = startSequence(source, checkpoint, since, 2 * behaviour.heartbeat).pipe(
      retryTransient(connection, retryPolicy),
    );
    const events$ = defer(() => {
      requestedAt = now();
      pace.begin();
      // After a full batch more changes are there, and the server need not wait for them.
      const poll = caughtUp ? longPoll : drain;
      return poll(source, since, batchSize, behaviour.heartbeat).pipe(toArray());
    });
    // Backs off if the server answers polls at once although it has no changes.
    const pause$ = defer(() => {
      const pause =
        emptyPolls < 2
          ? pace.pause(caughtUp ? received : Infinity)
          : backoff(emptyPolls, backoffOptions);
      return pause === 0 ? of(0) : connection.after(pause);
    });
    const verified$ = events$.pipe(
      // Verifies that the changes come from the same database before they are handled.
      mergeMap((events) =>
        source.identity(2 * behaviour.heartbeat).pipe(
          map((current) => {
            identity = sameDatabase(source, identity, current);
            return events;
          }),
        ),
      ),
    );
    const batch$ = verified$.pipe(
      retryTransient(connection, retryPolicy),
      mergeMap((events) => {
        const { items, lastSeq } = summarize(events);
        const quick = now() - requestedAt < behaviour.heartbeat / 2;
        emptyPolls = items.length === 0 && quick ? emptyPolls + 1 : 0;
        caughtUp = items.length < batchSize;
        received = items.length;
        const done = from(items).pipe(mergeMap(handle, concurrency), toArray());
        return done.pipe(
          mergeMap(() => {
            handled += items.length;
            if (lastSeq === since) return [];
            since = lastSeq;
            const write$ = toObservable(() => checkpoint.write(lastSeq)).pipe(
              toArray(),
              retryTransient(connection, retryPolicy),
            );
            return write$.pipe(map((): ConsumeProgress => ({ seq: lastSeq, handled })));
          }),
        );
      }),
    );
    return start$.pipe(
      concatMap((seq) => {
        since = seq;
        return batch$.pipe(repeat({ delay: () => pause$ }));
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
