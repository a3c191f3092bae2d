import { BehaviorSubject, EMPTY, Observable, defer } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import { databaseScope } from '../http/scope.ts';
import type { Change, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { duration } from '../operators/time.ts';
import { toAsyncIterator } from '../operators/to-observable.ts';
import { readFeedOptions } from './changes-feed.ts';
import type { FeedOptions } from './changes-feed.ts';
import { changesRequest, sinceParameter } from './changes-request.ts';
import type { ChangesParameters } from './changes-request.ts';
import type { CheckpointStore } from './checkpoint.ts';
import { readSelection } from './database-list.ts';
import type { DatabaseSelection } from './database-list.ts';
import type { FeedState } from './feed-model.ts';
import { databaseSource } from './feed-source.ts';
import { ManyDatabases } from './many-databases.ts';
import type { ManySettings } from './many-databases.ts';
import type { DatabaseErrorHandler } from './database-troubles.ts';

export type { DatabaseSelection } from './database-list.ts';
export type { DatabaseErrorHandler } from './database-troubles.ts';

/** How Corduroy notices which databases have changed. */
export interface UpdatesOptions {
  /**
   * Lists the databases again so many milliseconds after the last list, and reads those whose sequence has
   * moved. Needs neither the database `_global_changes` nor, for a list of names, an administrator.
   */
  readonly poll: number;
}

/** The options that `changesOf$` and `consumeOf` have in common. */
export interface ManyDatabasesOptions
  extends
    Omit<ChangesParameters, 'since' | 'limit' | 'seqInterval'>,
    Pick<FeedOptions, 'heartbeat' | 'backoff' | 'errorTolerance'> {
  /**
   * Where each database starts that has no checkpoint: `'now'`, 0 for the beginning, or a sequence for each
   * database by name, as `seqs` returns it. Databases without a sequence there start at their beginning, and
   * so do databases that are created later.
   * @defaultValue 'now'
   */
  readonly since?: 'now' | 0 | Readonly<Record<string, Sequence | 0>>;
  /** How many changes one request reads at most. @defaultValue 100 */
  readonly batchSize?: number;
  /**
   * How many databases are read at the same time. The updates need one connection more, and so do the
   * checkpoints and the lists of databases together.
   * @defaultValue 8
   */
  readonly concurrency?: number;
  /**
   * Returns the store for the sequence of a database. It is called when the database joins. `'0'` is
   * written to it when the database is deleted or replaced.
   */
  readonly checkpoint?: (database: string) => CheckpointStore;
  /**
   * The shortest time between two writes of the checkpoint of a database, in milliseconds. The last
   * sequence is written when you unsubscribe.
   * @defaultValue 1000
   */
  readonly checkpointInterval?: number;
  /** How to notice changes. @defaultValue the feed `_db_updates` of the server */
  readonly updates?: UpdatesOptions;
  /**
   * Takes an error of one database that a retry cannot repair, such as `Forbidden`. The others continue.
   * The database is tried again at its next update, after each list of the databases, and when the
   * credentials change; equal errors in a row are reported once. Without it, the stream errors.
   */
  readonly onError?: DatabaseErrorHandler;
}

/** The options of `couch.changesOf$()`. */
export interface ChangesOfOptions extends ManyDatabasesOptions {
  /**
   * Reads a database that is up to date at most once in this time, in milliseconds. With 0 each update of
   * the server causes a request at once.
   * @defaultValue 0
   */
  readonly latency?: number;
}

/** Changes of one database, never empty, in order. */
export interface DatabaseChanges<T extends object = AnyFields> {
  readonly database: string;
  /** The sequence after these changes. */
  readonly seq: Sequence;
  readonly changes: readonly Change<T>[];
}

/**
 * Emits the changes of many databases as they happen: `couch.changesOf$()` returns it.
 *
 * - **Temperature:** cold. Each subscription reads the databases itself; all share one feed of updates.
 * - **Emits** `{ database, seq, changes }`, in order within each database.
 * - **Completes** never.
 * - **Errors** with what a retry cannot repair, unless `onError` takes it because it concerns one database.
 *   Transient errors are retried, and `state$` shows them.
 * - **On unsubscribe** all requests are cancelled at once. The last checkpoints are written.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
 */
export class ChangesOfFeed<T extends object = AnyFields> extends Observable<DatabaseChanges<T>> {
  /**
   * Emits the state: the present one at once, then each new one. Hot. It never errors, and a subscription
   * to it sends nothing. `'live'` means that all databases are followed: `'now'` is before it. `'waiting'`
   * means that a request waits for its next attempt: that of the updates, of a list, or of a database,
   * which `error.request` names.
   */
  readonly state$: Observable<FeedState>;
  #run: ManyDatabases<T> | null = null;

  /** @internal */
  constructor(connection: Connection, databases: DatabaseSelection, options: ChangesOfOptions) {
    const settings = readManyOptions<T>(connection, databases, options, 'changesOf$', ['latency']);
    const latency = duration(options.latency ?? 0, 'changesOf$: latency');
    const state$ = new BehaviorSubject<FeedState>({ status: 'idle' });
    super((subscriber) => {
      const run = new ManyDatabases<T>(
        { ...settings, latency },
        {
          deliver: (reader, { changes, seq }) =>
            defer(() => {
              const database = reader.name;
              if (changes.length > 0) subscriber.next({ database, seq, changes });
              reader.record(seq, true);
              return EMPTY;
            }),
          written: () => {},
        },
        state$,
        subscriber,
      );
      this.#run = run;
      run.start();
      return () => {
        if (state$.value.status !== 'failed') state$.next({ status: 'idle' });
      };
    });
    this.state$ = state$.asObservable();
  }

  /**
   * The sequence of each database of the last subscription, to pass as `since` later. A database whose
   * checkpoint was not read yet is missing.
   */
  get seqs(): Readonly<Record<string, Sequence>> {
    return sequencesOf(this.#run);
  }

  /** Lets `for await (const batch of feed)` read the feed; leaving the loop unsubscribes. */
  [Symbol.asyncIterator](): AsyncIterableIterator<DatabaseChanges<T>> {
    return toAsyncIterator(this);
  }
}

/** Returns the sequence of each database. */
export function sequencesOf<T extends object>(
  run: ManyDatabases<T> | null,
): Readonly<Record<string, Sequence>> {
  const readers = [...(run?.readers.values() ?? [])];
  return Object.fromEntries(
    readers.flatMap(({ name, seq }) => (seq === null ? [] : [[name, seq] as const])),
  );
}

/** The options, without those that changes of one database have too. */
const OWN = ['since', 'batchSize', 'concurrency', 'checkpoint', 'checkpointInterval', 'updates'];
const FEED = ['heartbeat', 'backoff', 'errorTolerance', 'onError'];
const PARAMETERS = ['includeDocs', 'conflicts', 'attachments', 'attEncodingInfo', 'style'];
const FILTERS = ['docIds', 'selector', 'view', 'filter', 'query'];

/**
 * Validates the options of a feed of many databases.
 *
 * @param others - The names of options that only this method has.
 * @throws TypeError or RangeError for options that are unknown, invalid, or exclude each other.
 */
export function readManyOptions<T extends object>(
  connection: Connection,
  databases: DatabaseSelection,
  options: ManyDatabasesOptions,
  what: string,
  others: readonly string[],
): ManySettings<T> {
  const selection = readSelection(databases, what);
  requireOptions(options, what, [...OWN, ...FEED, ...PARAMETERS, ...FILTERS, ...others]);
  const { since = 'now', batchSize = 100, concurrency = 8, checkpoint, onError, updates } = options;
  const { checkpointInterval = 1000, heartbeat, backoff, errorTolerance } = options;
  const behaviourOptions = Object.entries({ heartbeat, backoff, errorTolerance });
  const given = Object.fromEntries(behaviourOptions.filter(([, value]) => value !== undefined));
  // CouchDB sends the head of a stream of updates with its first heartbeat, which is too late.
  const { behaviour } = readFeedOptions({ ...given, feed: 'longpoll' }, what);
  for (const [name, value] of Object.entries({ batchSize, concurrency })) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw invalidArgument(`${what}: ${name}`, 'a whole number from 1', value, RangeError);
  }
  for (const [name, value] of Object.entries({ checkpoint, onError })) {
    if (value !== undefined && typeof value !== 'function')
      throw invalidArgument(`${what}: ${name}`, 'a function', value);
  }
  duration(checkpointInterval, `${what}: checkpointInterval`);
  const parameters = Object.fromEntries(
    Object.entries(options).filter(([name]) => [...PARAMETERS, ...FILTERS].includes(name)),
  ) as ChangesParameters;
  changesRequest(parameters, {}, what, connection.codec);
  const unretried = connection.with({ retry: false });
  return {
    what,
    connection: unretried,
    selection,
    source: (name) => databaseSource<T>(databaseScope(unretried, name), parameters),
    behaviour: { ...behaviour, backoff: { initialDelay: 100, ...behaviour.backoff } },
    since: readSince(since, `${what}: since`),
    checkpoint,
    checkpointInterval,
    batchSize,
    concurrency,
    latency: 0,
    poll: readPoll(updates, `${what}: updates`),
    onError,
  };
}

function readSince(since: unknown, name: string): ManySettings<object>['since'] {
  if (since === 'now' || since === 0) return String(since);
  if (typeof since !== 'object' || since === null || Array.isArray(since))
    throw invalidArgument(name, "'now', 0 or an object with a sequence for each database", since);
  return Object.fromEntries(
    Object.entries(since).map(([database, seq]) => [
      database,
      sinceParameter(seq, `${name}['${database}']`),
    ]),
  );
}

function readPoll(updates: unknown, name: string): number | null {
  if (updates === undefined) return null;
  requireOptions(updates, name, ['poll']);
  const { poll } = updates as Partial<UpdatesOptions>;
  if (typeof poll === 'number' && poll >= 1) return poll;
  const ErrorClass = typeof poll === 'number' ? RangeError : TypeError;
  throw invalidArgument(`${name}.poll`, 'milliseconds from 1', poll, ErrorClass);
}
