import { coalescing } from './connection-options.ts';
import type { CoalesceOptions, Coalescing } from './connection-options.ts';
import type { Connection } from './connection.ts';
import { databaseAt, requireDatabaseName } from './url.ts';
import type { Endpoint } from './url.ts';

/** The rules of a database for the documents that it reads and writes. */
export interface DocumentRules {
  /**
   * Decodes a document that was read; null leaves it out of a list.
   *
   * @throws SchemaError for a document that does not fit.
   */
  readonly read: <D>(doc: D) => D | null;
  /** Decodes a document for a stream that must not end. The same document has the same result. */
  readonly readOrWarn: <D>(doc: D) => D | null;
  /**
   * Checks a document before it is written.
   *
   * @throws SchemaError
   */
  readonly requireValid: (doc: unknown, what?: string) => void;
}

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
  /** The rules for its documents; null without a schema. */
  readonly rules: DocumentRules | null;
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
  rules: DocumentRules | null = null,
): DatabaseScope {
  requireDatabaseName(name);
  const coalesced =
    coalesce === undefined ? connection.coalescing : coalescing(coalesce, connection.scheduler);
  return { connection, name, ...databaseAt(name), coalescing: coalesced, rules };
}
