import { Observable, map, of } from 'rxjs';
import { readFeedOptions } from './changes-feed.ts';
import type { FeedOptions } from './changes-feed.ts';
import type { FeedSource } from './feed-source.ts';
import type { FeedState } from './feed-state.ts';
import { lastSequence } from './one-shot.ts';
import { changesRequest, sinceParameter } from './parameters.ts';
import { sharedFeed, sharedWindows } from './shared-feed.ts';
import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, sequence, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, toQuery } from '../http/query.ts';
import type { Sequence } from '../model/change.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { toAsyncIterator } from '../operators/to-observable.ts';

/** What happened to a database of the server. */
export interface DbUpdate {
  readonly dbName: string;
  readonly type: 'created' | 'updated' | 'deleted';
  readonly seq: Sequence;
}

/** What a one-shot request for the server's databases can be given. */
export interface ReadDbUpdatesOptions {
  /** Only what happened after this place; `0` is the beginning, `'now'` the end. */
  readonly since?: Sequence | 0;
  /** How many at most. */
  readonly limit?: number;
  /** Lists the latest first. @defaultValue false */
  readonly descending?: boolean;
}

/** What happened to databases, and the sequence after the last. */
export interface DbUpdatesResult {
  readonly lastSeq: Sequence;
  readonly results: readonly DbUpdate[];
}

const DB_UPDATES = { since: sinceParameter, limit: count, descending: flag };

export function readDbUpdates(
  connection: Connection,
  options: ReadDbUpdatesOptions,
): Operation<DbUpdatesResult> {
  const query = toQuery(DB_UPDATES, options, 'dbUpdates');
  return operation(
    connection,
    () => ({ path: `/_db_updates${query}` }),
    (body) => ({
      lastSeq: sequence(asObject(body)['last_seq']),
      results: arrayField(body, 'results').map(decodeDbUpdate),
    }),
  );
}

export function decodeDbUpdate(row: unknown): DbUpdate {
  return {
    dbName: stringField(row, 'db_name'),
    type: stringField(row, 'type') as DbUpdate['type'],
    seq: sequence(asObject(row)['seq']),
  };
}

/** What a feed of the server's databases can be given. */
export interface DbUpdatesOptions extends FeedOptions {
  /** Only what happened after this place. @defaultValue 'now' */
  readonly since?: Sequence | 0;
}

/** What happened to databases in one window, and the sequence after the last. */
export interface DbUpdatesBatch {
  readonly seq: Sequence;
  readonly updates: readonly DbUpdate[];
}

/**
 * What happens to the databases of a server, in batches: what `couch.dbUpdates$()` returns. Hot and
 * shared, and kept alive in the same way as a `ChangesFeed`.
 */
export class DbUpdatesFeed extends Observable<DbUpdatesBatch> {
  /** What the connection is doing: the present state at once, then each new one. Hot. */
  readonly state$: Observable<FeedState>;

  /** @internal */
  constructor(connection: Connection, options: DbUpdatesOptions) {
    const { latency = 1000, ...rest } = options;
    if (!(latency >= 0))
      throw invalidArgument('dbUpdates$: latency', 'milliseconds from 0', latency, RangeError);
    const { behaviour, parameters } = readFeedOptions(rest, 'dbUpdates$');
    changesRequest(parameters, {}, 'dbUpdates$');
    const source = dbUpdatesSource(connection);
    const feed = sharedFeed(source, parameters, behaviour);
    let seq = behaviour.since;
    super((subscriber) =>
      sharedWindows(feed, latency, source)
        .pipe(
          map((updates) => {
            seq = lastSequence(updates) ?? seq;
            return { seq, updates };
          }),
        )
        .subscribe(subscriber),
    );
    this.state$ = feed.state$.asObservable();
  }

  /** Lets `for await (const batch of feed)` read the feed; leaving the loop unsubscribes. */
  [Symbol.asyncIterator](): AsyncIterableIterator<DbUpdatesBatch> {
    return toAsyncIterator(this);
  }
}

function dbUpdatesSource(connection: Connection): FeedSource<DbUpdate> {
  const path = '/_db_updates';
  return {
    connection,
    path,
    decode: decodeDbUpdate,
    request: (added) => changesRequest({}, added, 'dbUpdates$'),
    identity: () => of(null),
    now: (timeout) =>
      connection
        .json(
          () => ({ path: `${path}?since=now&limit=1`, timeout }),
          (body) => sequence(asObject(body)['last_seq']),
        )
        .pipe(map(({ value }) => value)),
    hasMore: null,
  };
}
