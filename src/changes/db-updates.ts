import { requireOptions } from '../model/invalid-argument.ts';
import { Observable, map, of } from 'rxjs';
import { readFeedOptions, requireFeedOptions } from './changes-feed.ts';
import type { FeedOptions } from './changes-feed.ts';
import type { FeedSource } from './feed-source.ts';
import type { FeedState } from './feed-model.ts';
import { lastSequence } from './changes-request.ts';
import { changesRequest, sinceParameter } from './changes-request.ts';
import { sharedFeed, sharedWindows } from './shared-feed.ts';
import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, sequence, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, toQuery } from '../http/query.ts';
import { endpoint } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { duration } from '../operators/time.ts';
import { toAsyncIterator } from '../operators/to-observable.ts';

/** An event of one of the server's databases. */
export interface DbUpdate {
  readonly dbName: string;
  readonly type: 'created' | 'updated' | 'deleted';
  readonly seq: Sequence;
}

/** The options of `couch.dbUpdates()`. */
export interface ReadDbUpdatesOptions {
  /** Only updates after this sequence; `0` is the beginning, `'now'` the end. */
  readonly since?: Sequence | 0;
  /** The maximum number of updates. */
  readonly limit?: number;
  /** Lists the latest update first. @defaultValue false */
  readonly descending?: boolean;
}

/** Updates of databases, and the sequence of the last one. */
export interface DbUpdatesResult {
  readonly lastSeq: Sequence;
  readonly results: readonly DbUpdate[];
}

const OPTIONS = { since: sinceParameter, limit: count, descending: flag };

const DB_UPDATES: Endpoint = { path: '/_db_updates', route: '/_db_updates' };

export function readDbUpdates(
  connection: Connection,
  options: ReadDbUpdatesOptions,
): Operation<DbUpdatesResult> {
  const query = toQuery(OPTIONS, options, 'dbUpdates');
  return operation(
    connection,
    () => endpoint(DB_UPDATES, '', query),
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

/** The options of `couch.dbUpdates$()`. */
export interface DbUpdatesOptions extends FeedOptions {
  /** Only updates after this sequence. @defaultValue 'now' */
  readonly since?: Sequence | 0;
}

/** The updates of one window, never empty, and the sequence of the last one. */
export interface DbUpdatesBatch {
  readonly seq: Sequence;
  readonly updates: readonly DbUpdate[];
}

/**
 * Emits the updates of a server's databases in batches: `couch.dbUpdates$()` returns it. Hot and
 * shared. It emits, completes, retries and errors as a `ChangesFeed` does.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
 */
export class DbUpdatesFeed extends Observable<DbUpdatesBatch> {
  /**
   * Emits the state of the connection: the present one at once, then each new one. Hot. It never
   * errors, and a subscription to it opens no connection.
   */
  readonly state$: Observable<FeedState>;

  /** @internal */
  constructor(connection: Connection, options: DbUpdatesOptions) {
    requireOptions(options, 'dbUpdates$');
    const { latency = 1000, ...rest } = options;
    const { since: _since, ...feedOptions } = rest;
    requireFeedOptions(feedOptions, 'dbUpdates$');
    duration(latency, 'dbUpdates$: latency');
    const { behaviour, parameters } = readFeedOptions(rest, 'dbUpdates$');
    changesRequest(parameters, {}, 'dbUpdates$', connection.codec);
    const source = dbUpdatesSource(connection.with({ retry: false }));
    const feed = sharedFeed(source, parameters, behaviour);
    let seq = behaviour.since;
    super((subscriber) =>
      sharedWindows(feed, latency, source)
        .windows$.pipe(
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

/** Returns the updates of a server's databases as the source of a feed. */
export function dbUpdatesSource(connection: Connection): FeedSource<DbUpdate> {
  return {
    ...DB_UPDATES,
    connection,
    codec: connection.codec,
    decode: decodeDbUpdate,
    request: (added) => changesRequest({}, added, 'dbUpdates$', connection.codec),
    identity: () => of(null),
    currentSequence: (timeout) =>
      connection
        .json(
          () => ({ ...endpoint(DB_UPDATES, '', '?since=now&limit=1'), timeout }),
          (body) => sequence(asObject(body)['last_seq']),
        )
        .pipe(map(({ value }) => value)),
    filtered: false,
    // CouchDB sends it with the first update or heartbeat.
    hasLateHead: true,
  };
}
