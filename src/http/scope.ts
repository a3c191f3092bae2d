import type { Connection } from './connection.ts';
import { databasePath, requireDatabaseName } from './url.ts';

/** A database on a server: what the operations on it need to know of it. */
export interface DatabaseScope {
  readonly connection: Connection;
  readonly name: string;
  /** The path of the database below the server's URL, encoded, without a slash at the end. */
  readonly path: string;
}

/**
 * Names a database on a server. Nothing is sent.
 *
 * @throws TypeError for a name that CouchDB would refuse.
 */
export function databaseScope(connection: Connection, name: string): DatabaseScope {
  requireDatabaseName(name);
  return { connection, name, path: databasePath(name) };
}
