import type { IncomingMessage, ServerResponse } from 'node:http';
import { Observable, map, repeat } from 'rxjs';
import { connectionOf } from '../core-couch.ts';
import type { CoreCouch } from '../core-couch.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { duration } from '../operators/time.ts';
import { Hub } from './hub.ts';
import { sendAnswer, toRefusal } from './refusal.ts';
import { readRelayOptions } from './relay-options.ts';
import type { RelayOptions } from './relay-options.ts';
import { respond } from './routes.ts';
import { Streams } from './streams.ts';
import type { RelayStats } from './stats.ts';

/**
 * Answers a request. It is a handler of `node:http`, of Express, and of all that passes on requests and
 * responses of Node, before their bodies are read: the guide has Fastify and Hono.
 */
export interface Relay {
  (request: IncomingMessage, response: ServerResponse): void;
  /**
   * Emits the figures of the relay: the present ones at once, then each second. Cold. It never completes
   * and never errors.
   */
  readonly stats$: Observable<RelayStats>;
  /**
   * Takes no more listeners, and ends the present feeds in good order, so that their clients continue
   * elsewhere after the last row. Resolves when all have ended. Without it the process does not end.
   *
   * @param options - `over` is the time over which the ends are spread, in milliseconds. Default: 0.
   */
  readonly close: (options?: { readonly over?: number }) => Promise<void>;
}

/**
 * Makes a relay: thousands listen to it, and CouchDB has one listener for each database.
 *
 * It answers `GET` and `POST /{db}/_changes` as CouchDB does, with CouchDB's sequences, so that PouchDB,
 * curl, Corduroy and others listen to it unchanged. Each listener reads only what CouchDB lets it read:
 * the relay asks with the listener's credentials, and asks again every `recheck` milliseconds.
 *
 * - Rows come from one shared feed for each database and named filter. `_doc_ids` and `_selector` are
 *   decided in the relay, and by CouchDB where only it can decide.
 * - A listener behind the window of recent rows catches up by separate requests, and then joins.
 * - `feed=normal`, rare parameters (`descending`, `attachments`, `att_encoding_info`, `seq_interval`),
 *   system databases and filter functions that may depend on the user go to CouchDB as they are.
 * - A client that takes nothing is cut off after `maxStall`, or when it is `maxBacklog` rows behind. It has
 *   complete rows, and continues with `since`.
 * - If CouchDB cannot be heard for `maxBlind`, all listeners are cut off, and new ones have a 503.
 * - `GET /_relay` returns the figures as JSON, and `/_relay/metrics` in the format of Prometheus: for
 *   administrators of CouchDB, unless `publicStats` is true. `/_relay/up` is for load balancers.
 *
 * The relay keeps credentials in memory as long as their user listens, and writes no logs.
 *
 * @param couch - The server, with the credentials of a user who may read all served databases.
 * @throws TypeError or RangeError for an unknown or invalid option.
 * @example
 * const handler = relay(new Couch(url, { auth: ['admin', 'password'] }), { databases: ['orders'] });
 * createServer(handler).listen(5985);
 * @see https://docs.couchdb.org/en/stable/api/database/changes.html
 */
export function relay(couch: CoreCouch, options: RelayOptions = {}): Relay {
  const connection = couch instanceof Object && 'url' in couch ? connectionOf(couch) : null;
  if (connection === null) throw invalidArgument('relay: couch', 'a Couch', couch);
  const settings = readRelayOptions(options);
  const hub = new Hub(connection.with({ retry: false, timeout: 60_000 }), settings);
  const streams = new Streams(hub);
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    respond({ hub, streams }, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendAnswer(response, toRefusal(error));
    });
  };
  const stats$ = new Observable<RelayStats>((subscriber) => {
    subscriber.next(hub.stats);
    return connection
      .after(1000)
      .pipe(
        repeat(),
        map(() => hub.stats),
      )
      .subscribe(subscriber);
  });
  const close = async (closing: { readonly over?: number } = {}): Promise<void> => {
    requireOptions(closing, 'relay.close', ['over']);
    await hub.close(duration(closing.over ?? 0, 'relay.close: over'));
    streams.close();
  };
  return Object.assign(handle, { stats$, close });
}
