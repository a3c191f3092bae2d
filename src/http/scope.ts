import { coalescing } from './coalescing.ts';
import type { CoalesceOptions, Coalescing } from './coalescing.ts';
import type { Connection } from './connection.ts';
import { databasePath, requireDatabaseName } from './url.ts';

/** A database on a server: what the operations on it need to know of it. */
export interface DatabaseScope {
  readonly connection: Connection;
  readonly name: string;
  /** The path of the database below the server's URL, encoded, without a slash at the end. */
  readonly path: string;
  /** Whether single reads and writes go together, and how; null where each goes alone. */
  readonly coalescing: Coalescing | null;
}

/**
 * Names a database on a server. Nothing is sent.
 *
 * @param coalesce - Whether single reads and writes go together; that of the connection, by default.
 * @throws TypeError for a name that CouchDB would refuse, and for bad options.
 */
export function databaseScope(
  connection: Connection,
  name: string,
  coalesce?: boolean | CoalesceOptions,
): DatabaseScope {
  requireDatabaseName(name);
  const coalesced =
    coalesce === undefined ? connection.coalescing : coalescing(coalesce, connection.scheduler);
  return { connection, name, path: databasePath(name), coalescing: coalesced };
}
