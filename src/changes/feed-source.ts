import { catchError, map, mergeMap, of, throwError, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CheckpointStore } from './checkpoint.ts';
import { CHANGES, decodeChange, readChanges, readLastSequence } from './one-shot.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters, ChangesRequest } from './parameters.ts';
import { DatabaseReplaced } from '../errors/connection-error.ts';
import { isAccountLocked, isForbidden } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asObject } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import type { Change, Sequence } from '../model/change.ts';
import { toObservable } from '../operators/to-observable.ts';

/** An item of a feed: a change of a database, or an update of the server's list of databases. */
export interface Sequenced {
  readonly seq: Sequence | null;
}

/** The history that a feed follows: a database's changes, or the server's database updates. */
export interface FeedSource<Item extends Sequenced> extends Endpoint {
  readonly connection: Connection;
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
  /** Emits whether changes exist after a sequence; null if that is expensive to find out. */
  readonly hasMore: ((since: Sequence) => Observable<boolean>) | null;
}

/** An event of one connection of a feed. */
export type FeedEvent<Item> =
  /** The server accepted the request. */
  | { readonly type: 'open' }
  /** Items came; an empty list is a heartbeat. */
  | { readonly type: 'items'; readonly items: readonly Item[] }
  /** The server ended the connection; the next one continues after `lastSeq`. */
  | { readonly type: 'end'; readonly lastSeq: Sequence; readonly pending: number | null };

export const OPEN = { type: 'open' } as const;
export const HEARTBEAT = { type: 'items', items: [] } as const;

/** Opens one connection at each subscription, after `since`, for at most `remaining` items. */
export type Protocol = <Item extends Sequenced>(
  source: FeedSource<Item>,
  since: Sequence,
  remaining: number,
  heartbeat: number,
) => Observable<FeedEvent<Item>>;

/**
 * Emits the sequence to start from: that of the checkpoint, or else `since`. Resolves `'now'` to a
 * fixed sequence and stores it, so that a consumer that stops before its first change misses none.
 */
export function startSequence<Item extends Sequenced>(
  source: FeedSource<Item>,
  checkpoint: CheckpointStore,
  since: Sequence,
  timeout: number,
): Observable<Sequence> {
  return toObservable(() => checkpoint.read()).pipe(
    mergeMap((stored) => {
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
    ...endpoint(db, CHANGES),
    decode: decodeChange<T>,
    request: (added) => changesRequest(parameters, added, 'changes$', db.connection.codec),
    identity: (timeout) => readCreationTime(db, timeout),
    currentSequence: (timeout) => readLastSequence(db, timeout),
    // Only the server knows which changes pass a filter.
    hasMore: filtered
      ? null
      : (since) =>
          readChanges(db, { since, limit: 1 }).pipe(map(({ results }) => results.length > 0)),
  };
}

/**
 * Returns the identity to remember after the server reported `current`. Null means unknown, and
 * differs from nothing: only a change between two known identities counts.
 *
 * @throws DatabaseReplaced if another database has the name now.
 */
export function sameDatabase(
  { connection, path }: Pick<FeedSource<Sequenced>, 'connection' | 'path'>,
  known: string | null,
  current: string | null,
): string | null {
  if (known !== null && current !== null && current !== known) {
    throw new DatabaseReplaced({ method: 'GET', url: connection.url + path });
  }
  return current ?? known;
}

/**
 * Emits when the database was created, in whole seconds: CouchDB reports it since 3.3. Emits null if
 * it is unknown, as for a user who may not read it.
 */
function readCreationTime(db: DatabaseScope, timeout: number): Observable<string | null> {
  return db.connection
    .json(
      () => ({ ...endpoint(db, ''), timeout }),
      (body) => {
        const { instance_start_time: time } = asObject(body);
        return typeof time === 'string' && time !== '0' ? time : null;
      },
    )
    .pipe(
      map(({ value }) => value),
      catchError((error: unknown) =>
        isForbidden(error) && !isAccountLocked(error) ? of(null) : throwError(() => error),
      ),
    );
}
