import { Observable, map, of } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import { asObject, sequence } from '../http/decode.ts';
import type { Sequence } from '../model/change.ts';
import { mustBe } from '../model/must-be.ts';
import { iterate } from '../operators/iterate.ts';
import { readFeedOptions } from './changes-feed.ts';
import type { FeedOptions } from './changes-feed.ts';
import { lastSequence } from './decode.ts';
import { sharedFeed } from './feed-registry.ts';
import { sharedWindows } from './shared-windows.ts';
import type { FeedSource } from './feed-source.ts';
import type { FeedState } from './feed-state.ts';
import { changesRequest } from './parameters.ts';
import { decodeDbUpdate } from './read-db-updates.ts';
import type { DbUpdate } from './read-db-updates.ts';

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
      throw mustBe('dbUpdates$: latency', 'milliseconds from 0', latency, RangeError);
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
    return iterate(this);
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
