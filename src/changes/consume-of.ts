import {
  BehaviorSubject,
  EMPTY,
  Observable,
  concatMap,
  defer,
  from,
  ignoreElements,
  tap,
} from 'rxjs';
import type { Connection } from '../http/connection.ts';
import { databaseScope } from '../http/scope.ts';
import type { Change, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';
import { readManyOptions, sequencesOf } from './changes-of.ts';
import type { ManyDatabasesOptions } from './changes-of.ts';
import { documentCheckpoint } from './checkpoint.ts';
import { handleChange } from './consumer-run.ts';
import type { DatabaseSelection } from './database-list.ts';
import type { DatabaseProgress, DatabaseReader, PulledChanges } from './database-reader.ts';
import type { FeedState } from './feed-model.ts';
import { ManyDatabases } from './many-databases.ts';
import type { ManySettings } from './many-databases.ts';

export type { DatabaseProgress } from './database-reader.ts';

/**
 * Handles one change of a database. `consumeOf` waits until the Promise or Observable that it returns has
 * ended. If the handler throws or errors, `consumeOf` calls it again.
 */
export type DatabaseChangeHandler<T extends object> = (
  change: Change<T>,
  database: string,
) => ValueOrAsync<unknown>;

/** Takes a change whose handler has failed every attempt, with the last error. */
export type DatabaseDeadLetterHandler<T extends object> = (
  change: Change<T>,
  error: unknown,
  database: string,
) => ValueOrAsync<unknown>;

/**
 * The options of `couch.consumeOf()`.
 *
 * `concurrency` (default 8) is the number of databases that are read and handled at the same time. Changes of
 * one database are handled one after the other, in order. `batchSize` (default 100) changes of each of them
 * are in memory at most.
 */
export interface ConsumeOfOptions<T extends object = AnyFields> extends ManyDatabasesOptions {
  /**
   * The consumer's name. The checkpoint of each database is stored under it, by default in the document
   * `_local/corduroy-<name>` of the database.
   */
  readonly name: string;
  /** How often the handler is called for a change at most, with backoff. @defaultValue 5 */
  readonly attempts?: number;
  /**
   * Takes a change whose handler has failed `attempts` times, so that the consumer continues with the next.
   * Without it, the handler's error goes to `onError`, and the change is tried again with the next update of
   * the database; without that, too, the stream errors.
   */
  readonly deadLetter?: DatabaseDeadLetterHandler<T>;
}

/**
 * Calls a handler with every change of many databases, and stores how far it has come in each:
 * `couch.consumeOf` returns it.
 *
 * - **Temperature:** cold. Each subscription starts another consumer, so subscribe once.
 * - **Emits** the progress of a database after each write of its checkpoint.
 * - **Completes** after `stop`, when the changes in hand are handled and the checkpoints are written.
 * - **Errors** with what a retry cannot repair, unless `onError` takes it because it concerns one database.
 *   Transient errors are retried, and `state$` shows them.
 * - **On unsubscribe** the handlers in flight are unsubscribed, and their changes come again later.
 *
 * A database is read again after its changes were handled (back-pressure).
 *
 * @see https://docs.couchdb.org/en/stable/api/database/changes.html
 */
export class DatabasesConsumer<T extends object = AnyFields> extends Observable<DatabaseProgress> {
  /**
   * Emits the state: the present one at once, then each new one, as that of `changesOf$`. Hot. It never
   * errors, and a subscription to it sends nothing.
   */
  readonly state$: Observable<FeedState>;
  #run: ManyDatabases<T> | null = null;
  readonly #stops = new Set<() => void>();

  /** @internal */
  constructor(
    connection: Connection,
    databases: DatabaseSelection,
    handler: DatabaseChangeHandler<T>,
    options: ConsumeOfOptions<T>,
  ) {
    const settings = readOptions(connection, databases, handler, options);
    const state$ = new BehaviorSubject<FeedState>({ status: 'idle' });
    super((subscriber) => {
      const run: ManyDatabases<T> = new ManyDatabases<T>(
        settings,
        {
          deliver: (reader, pulled) => deliver(settings, reader, pulled, () => run.isStopped),
          written: (progress) => subscriber.next(progress),
        },
        state$,
        subscriber,
      );
      this.#run = run;
      const stop = (): void => run.stop(() => subscriber.complete());
      this.#stops.add(stop);
      run.start();
      return () => {
        this.#stops.delete(stop);
        if (state$.value.status !== 'failed') state$.next({ status: 'idle' });
      };
    });
    this.state$ = state$.asObservable();
  }

  /**
   * The sequence of each database, by name, up to which all changes are handled. A database whose
   * checkpoint was not read yet is missing.
   */
  get seqs(): Readonly<Record<string, Sequence>> {
    return sequencesOf(this.#run);
  }

  /**
   * Reads no more changes. The consumer completes when the handlers that run have ended and the
   * checkpoints are written.
   */
  stop(): void {
    for (const stop of this.#stops) stop();
  }
}

interface ConsumerSettings<T extends object> extends ManySettings<T> {
  readonly handler: DatabaseChangeHandler<T>;
  readonly attempts: number;
  readonly deadLetter: DatabaseDeadLetterHandler<T> | undefined;
}

/** Handles the changes of one request, one after the other. */
function deliver<T extends object>(
  settings: ConsumerSettings<T>,
  reader: DatabaseReader<T>,
  { changes, seq, pending }: PulledChanges<T>,
  isStopped: () => boolean,
): Observable<never> {
  const { connection, behaviour, attempts, handler, deadLetter } = settings;
  const database = reader.name;
  return defer(() => {
    let left = changes.length;
    const isAll = (): void => {
      if (left === 0) reader.record(seq, true);
    };
    return from(changes).pipe(
      concatMap((change) => {
        if (isStopped()) return EMPTY;
        return handleChange(connection, behaviour, attempts, {
          handle: () => handler(change, database),
          giveUp: deadLetter && ((error) => deadLetter(change, error, database)),
        }).pipe(
          tap((outcome) => {
            reader[outcome] += 1;
            left -= 1;
            reader.pending = pending === null ? null : pending + left;
            if (left > 0) reader.record(change.seq ?? seq, false);
          }),
        );
      }),
      ignoreElements(),
      tap({ complete: isAll }),
    );
  });
}

function readOptions<T extends object>(
  connection: Connection,
  databases: DatabaseSelection,
  handler: DatabaseChangeHandler<T>,
  options: ConsumeOfOptions<T>,
): ConsumerSettings<T> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const wanted = 'an object with the name of the consumer';
    throw invalidArgument('consumeOf: options', wanted, options);
  }
  const own = ['name', 'attempts', 'deadLetter'];
  const settings = readManyOptions<T>(connection, databases, options, 'consumeOf', own);
  const { name, attempts = 5, deadLetter } = options;
  if (typeof handler !== 'function')
    throw invalidArgument('consumeOf: handler', 'a function', handler);
  if (typeof name !== 'string' || name === '')
    throw invalidArgument('consumeOf: name', 'a string that is not empty', name);
  if (!Number.isSafeInteger(attempts) || attempts < 1)
    throw invalidArgument('consumeOf: attempts', 'a whole number from 1', attempts, RangeError);
  if (deadLetter !== undefined && typeof deadLetter !== 'function')
    throw invalidArgument('consumeOf: deadLetter', 'a function', deadLetter);
  const checkpoint =
    settings.checkpoint ??
    ((database: string) => documentCheckpoint(databaseScope(settings.connection, database), name));
  return { ...settings, checkpoint, handler, attempts, deadLetter };
}
