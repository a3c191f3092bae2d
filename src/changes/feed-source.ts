import { catchError, map, mergeMap, of, throwError, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CheckpointStore } from './checkpoint.ts';
import { decodeChange, readChanges, readLastSequence } from './one-shot.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters, ChangesRequest } from './parameters.ts';
import { isForbidden } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asObject } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change, Sequence } from '../model/change.ts';
import { toObservable } from '../operators/to-observable.ts';

/** Something that has a sequence of its own: a change of a database, or of the list of databases. */
export interface Sequenced {
  readonly seq: Sequence | null;
}

/** What a feed follows: a database's changes, or the server's databases. */
export interface FeedSource<Item extends Sequenced> {
  readonly connection: Connection;
  /** The path below the server's URL, without a query. */
  readonly path: string;
  /** Reads one row of the feed; what it throws ends the connection. */
  readonly decode: (row: unknown) => Item;
  /** Writes the request for a feed of a kind, from a place on. */
  readonly request: (added: Readonly<Record<string, unknown>>) => ChangesRequest;
  /**
   * Emits what tells this database from another of the same name; null where there is nothing.
   * Like the next, it waits for an answer as long as it is told, in milliseconds.
   */
  readonly identity: (silence: number) => Observable<string | null>;
  /** Emits the place that `'now'` is. */
  readonly now: (silence: number) => Observable<Sequence>;
  /** Emits whether there is anything after a place; null where that would be dear to find out. */
  readonly hasMore: ((place: Sequence) => Observable<boolean>) | null;
}

/** What one connection of a feed tells. */
export type FeedEvent<Item> =
  /** The server accepted it. */
  | { readonly type: 'open' }
  /** Something came: items, or none where it was a heartbeat. */
  | { readonly type: 'items'; readonly items: readonly Item[] }
  /** The server ended it of its own accord, and says where to go on. */
  | { readonly type: 'end'; readonly lastSeq: Sequence; readonly pending: number | null };

export const OPEN = { type: 'open' } as const;
export const HEARTBEAT = { type: 'items', items: [] } as const;

/** One connection at each subscription, from a place on, for so many items at most. */
export type Protocol = <Item extends Sequenced>(
  source: FeedSource<Item>,
  place: Sequence,
  left: number,
  heartbeat: number,
) => Observable<FeedEvent<Item>>;

/**
 * Emits where to begin: where the checkpoint says, and else where `since` does. A `'now'` is made a
 * place that stays, and noted: who leaves before the first change came must not miss it.
 */
export function startSequence<Item extends Sequenced>(
  source: FeedSource<Item>,
  checkpoint: CheckpointStore,
  since: Sequence,
  silence: number,
): Observable<Sequence> {
  return toObservable(() => checkpoint.read()).pipe(
    mergeMap((noted) => {
      if (noted !== null || since !== 'now') return of(noted ?? since);
      return source.now(silence).pipe(
        mergeMap((place) =>
          toObservable(() => checkpoint.write(place)).pipe(
            toArray(),
            map(() => place),
          ),
        ),
      );
    }),
  );
}

/** The changes of a database, as something to be followed. */
export function databaseSource<T extends object>(
  db: DatabaseScope,
  parameters: ChangesParameters,
): FeedSource<Change<T>> {
  const { docIds, selector, view, filter } = parameters;
  const filtered = [docIds, selector, view, filter].some((way) => way !== undefined);
  return {
    connection: db.connection,
    path: `${db.path}/_changes`,
    decode: decodeChange<T>,
    request: (added) => changesRequest(parameters, added, 'changes$'),
    identity: (silence) => creation(db, silence),
    now: (silence) => readLastSequence(db, silence),
    // Of a filter only the server knows whether what there is passes it.
    hasMore: filtered
      ? null
      : (place) =>
          readChanges(db, { since: place, limit: 1 }).pipe(
            map(({ results }) => results.length > 0),
          ),
  };
}

/** Emits when the database was created, as its server tells since 3.3; null where it does not. */
function creation(db: DatabaseScope, silence: number): Observable<string | null> {
  return db.connection
    .json(
      () => ({ path: db.path, timeout: silence }),
      (body) => {
        const { instance_start_time: time } = asObject(body);
        return typeof time === 'string' && time !== '0' ? time : null;
      },
    )
    .pipe(
      map(({ value }) => value),
      catchError((error: unknown) => (isForbidden(error) ? of(null) : throwError(() => error))),
    );
}
