import { coalescing } from './connection-options.ts';
import type { CoalesceOptions, Coalescing } from './connection-options.ts';
import type { Connection } from './connection.ts';
import { databaseAt, requireDatabaseName } from './url.ts';
import type { Endpoint } from './url.ts';

/** A database on a server, as its operations use it. */
export interface DatabaseScope extends Endpoint {
  readonly connection: Connection;
  readonly name: string;
  /** The path of the database below the server's URL, encoded, without a final slash. */
  readonly path: string;
  /** The route of `path`: `/{db}`, or that of a partition. */
  readonly route: string;
  /** How single reads and writes are combined; null if they are not. */
  readonly coalescing: Coalescing | null;
}

/**
 * Makes the scope of a database. Sends nothing.
 *
 * @param coalesce - Whether to combine single reads and writes. The default is the connection's option.
 * @throws TypeError for a name that CouchDB would refuse, and for invalid options.
 */
export function databaseScope(
  connection: Connection,
  name: string,
  coalesce?: boolean | CoalesceOptions,
): DatabaseScope {
  requireDatabaseName(name);
  const coalesced =
    coalesce === undefined ? connection.coalescing : coalescing(coalesce, connection.scheduler);
  return { connection, name, ...databaseAt(name), coalescing: coalesced };
}
