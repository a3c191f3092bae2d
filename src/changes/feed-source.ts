import type { Observable } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { Sequence } from '../model/change.ts';
import type { ChangesRequest } from './parameters.ts';

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
