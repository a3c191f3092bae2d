import { catchError, defaultIfEmpty, map, mergeMap, of, throwError, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CheckpointStore } from './checkpoint.ts';
import { CHANGES, decodeChange, readLastSequence } from './changes-request.ts';
import { changesRequest } from './changes-request.ts';
import type { ChangesParameters, ChangesRequest } from './changes-request.ts';
import { DatabaseReplaced, InvalidCheckpoint } from '../errors/connection-error.ts';
import type { ProtocolError } from '../errors/connection-error.ts';
import { isAccountLocked, isForbidden } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, sequence } from '../http/decode.ts';
import { protocolError } from '../http/exchange.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import type { Change, Sequence } from '../model/change.ts';
import type { JsonCodec } from '../model/json.ts';
import { describeValue } from '../model/invalid-argument.ts';
import { clock, isRealTime } from '../operators/time.ts';
import { toObservable } from '../operators/to-observable.ts';

/** An item of a feed: a change of a database, or an update of the server's list of databases. */
export interface Sequenced {
  readonly seq: Sequence | null;
}

/** The history that a feed follows: a database's changes, or the server's database updates. */
export interface FeedSource<Item extends Sequenced> extends Endpoint {
  readonly connection: Connection;
  /** Parses each row. */
  readonly codec: JsonCodec;
  /** Decodes one row of the feed. If it throws, the connection ends with a `ProtocolError`. */
  readonly decode: (row: unknown) => Item;
  /** Builds the request; `added` holds the feed's kind, `since` and the like. */
  readonly request: (added: Readonly<Record<string, unknown>>) => ChangesRequest;
  /**
   * Emits a value that differs between two databases of the same name; null if it is unknown.
   *
   * @param timeout - How long the request may stay without an answer, in milliseconds.
   */
  readonly identity: (timeout: number) => Observable<string | null>;
  /** Emits the sequence that `'now'` stands for. `timeout` is that of `identity`. */
  readonly currentSequence: (timeout: number) => Observable<Sequence>;
  /** Whether a filter of the server may pass nothing for a long time. */
  readonly filtered: boolean;
  /** Whether the server sends the head of a stream late, which then tells nothing about proxies. */
  readonly hasLateHead: boolean;
}

/** Whether there are items after a sequence, and the sequence up to which the server looked. */
export interface Look {
  readonly more: boolean;
  readonly seq: Sequence | null;
}

/**
 * Looks for items after a sequence. With a filter it polls, because CouchDB then sends signs of life
 * while the filter works.
 *
 * @param wait - How long a poll waits for an item, in milliseconds.
 */
export function look<Item extends Sequenced>(
  source: FeedSource<Item>,
  since: Sequence,
  wait: number,
  timeout: number,
): Observable<Look> {
  const poll = source.filtered ? { feed: 'longpoll', timeout: wait } : {};
  const { query, ...rest } = source.request({ ...poll, since, limit: 1 });
  const spec = { ...rest, ...endpoint(source, '', query), timeout };
  return source.connection
    .json(
      () => spec,
      (body) => ({
        more: arrayField(body, 'results').length > 0,
        seq: sequence(asObject(body)['last_seq']),
      }),
    )
    .pipe(map(({ value }) => value));
}

/**
 * Emits the sequence to start from: that of the checkpoint, or else `since`. Resolves `'now'` to a
 * fixed sequence and stores it, so that a consumer that stops before its first change misses none.
 * Errors with `InvalidCheckpoint` if the checkpoint holds no sequence.
 */
export function startSequence<Item extends Sequenced>(
  source: FeedSource<Item>,
  checkpoint: CheckpointStore,
  since: Sequence,
  timeout: number,
): Observable<Sequence> {
  return toObservable(() => checkpoint.read()).pipe(
    // A store of the user may hold nothing in other ways than null.
    defaultIfEmpty(null),
    mergeMap((read: unknown) => {
      const stored = read ?? null;
      if (stored !== null && !isSequence(stored))
        throw new InvalidCheckpoint(describeValue(stored));
      if (stored !== null || since !== 'now') return of(stored ?? since);
      return source.currentSequence(timeout).pipe(
        mergeMap((seq) =>
          toObservable(() => checkpoint.write(seq)).pipe(
            toArray(),
            map(() => seq),
          ),
        ),
      );
    }),
  );
}

/** Tells whether a stored value may be a sequence. CouchDB refuses others than its own. */
function isSequence(stored: unknown): stored is Sequence {
  return typeof stored === 'string' && /^[\x21-\x7e]+$/.test(stored) && stored !== 'now';
}

/**
 * Returns the changes of a database as the source of a feed. Its requests are not retried by themselves,
 * because the feed retries them, and reports it.
 */
export function databaseSource<T extends object>(
  scope: DatabaseScope,
  parameters: ChangesParameters,
): FeedSource<Change<T>> {
  const db = { ...scope, connection: scope.connection.with({ retry: false }) };
  const { docIds, selector, view, filter } = parameters;
  const filtered = [docIds, selector, view, filter].some((option) => option !== undefined);
  return {
    connection: db.connection,
    codec: db.connection.codec,
    ...endpoint(db, CHANGES),
    decode: decodeChange<T>,
    request: (added) => changesRequest(parameters, added, 'changes$', db.connection.codec),
    identity: (timeout) => readCreationTime(db, timeout),
    currentSequence: (timeout) => readLastSequence(db, timeout),
    filtered,
    hasLateHead: false,
  };
}

/** Makes the error of a source whose database was replaced by another one of its name. */
export function replacedError({ connection, path }: FeedSource<Sequenced>): DatabaseReplaced {
  return new DatabaseReplaced({ method: 'GET', url: connection.url + path });
}

/** Makes the error of a source whose server ends each connection at once. */
export function brokenFeedError({ connection, path }: FeedSource<Sequenced>): ProtocolError {
  const request = { method: 'GET', url: connection.url + path };
  return protocolError(request, 'the server ends each feed at once', { transient: true });
}

/**
 * Emits when the database was created, in whole seconds: CouchDB reports it since 3.3. Emits null if
 * it is unknown, as for a user who may not read it.
 */
function readCreationTime(db: DatabaseScope, timeout: number): Observable<string | null> {
  return db.connection
    .json(() => ({ ...endpoint(db, ''), timeout }), creationTime)
    .pipe(
      map(({ value }) => value),
      catchError((error: unknown) =>
        isForbidden(error) && !isAccountLocked(error) ? of(null) : throwError(() => error),
      ),
    );
}

/** Returns when a database was created, from its information; null if the server does not tell. */
export function creationTime(info: unknown): string | null {
  const { instance_start_time: time } = asObject(info);
  return typeof time === 'string' && time !== '0' ? time : null;
}

/** When each origin was found to hold back streams. */
type BufferedServers = Map<string, number>;

const realServers: BufferedServers = new Map();
/** Virtual time starts at 0 in each test, so its servers must not outlive one. */
const virtualServers = new WeakMap<object, BufferedServers>();

function bufferedServers({ scheduler, shared }: Connection): BufferedServers {
  if (isRealTime(scheduler)) return realServers;
  const servers = virtualServers.get(shared) ?? new Map<string, number>();
  virtualServers.set(shared, servers);
  return servers;
}

/** Returns when something was found to hold back streams of a server; null if nothing was. */
export function bufferedSince(connection: Connection): number | null {
  return bufferedServers(connection).get(new URL(connection.url).origin) ?? null;
}

/** Remembers for all feeds of a server whether something holds back streams. */
export function rememberBuffered(connection: Connection, isBuffered: boolean): void {
  const { origin } = new URL(connection.url);
  if (isBuffered) bufferedServers(connection).set(origin, clock(connection.scheduler)());
  else bufferedServers(connection).delete(origin);
}
