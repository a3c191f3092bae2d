import { catchError, concatMap, from, map, mergeMap, of, throwError, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import { isHTTPError, isNotFound } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject, sequence } from '../http/decode.ts';
import { SERVER, databaseAt, endpoint, readByPost, requireDatabaseName } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { DatabaseLook } from './database-set.ts';
import { creationTime } from './feed-source.ts';

/**
 * Selects databases: their names, a pattern, or a function that returns whether a name belongs to them.
 * Patterns and functions select no system databases, whose names begin with an underscore.
 */
export type DatabaseSelection = readonly string[] | RegExp | ((name: string) => boolean);

/** A selection that was validated. */
export interface Selection {
  /** Null if the server must list the databases. */
  readonly names: readonly string[] | null;
  readonly matches: (name: string) => boolean;
}

/**
 * Validates a selection of databases.
 *
 * @throws TypeError for another value, for an empty list, and for an invalid name.
 */
export function readSelection(databases: DatabaseSelection, what: string): Selection {
  if (typeof databases === 'function')
    return { names: null, matches: (name) => !name.startsWith('_') && databases(name) };
  if (databases instanceof RegExp) {
    // A pattern with the flag g or y would remember where its last match ended.
    const pattern = new RegExp(databases.source, databases.flags.replace(/[gy]/g, ''));
    return { names: null, matches: (name) => !name.startsWith('_') && pattern.test(name) };
  }
  if (!Array.isArray(databases) || databases.length === 0) {
    const received: unknown = Array.isArray(databases) ? '[]' : databases;
    const wanted = 'names, a RegExp or a function';
    throw invalidArgument(`${what}: databases`, wanted, received);
  }
  const names = new Set<string>(databases as readonly string[]);
  for (const name of names) requireDatabaseName(name);
  return { names: [...names], matches: (name) => names.has(name) };
}

/** Looks at one database. Emits null if it does not exist. */
export function lookAt(
  connection: Connection,
  name: string,
  timeout: number,
): Observable<DatabaseLook | null> {
  return connection
    .json(() => ({ ...databaseAt(name), timeout }), decodeLook)
    .pipe(
      map(({ value }) => value),
      catchError((error: unknown) => (isNotFound(error) ? of(null) : throwError(() => error))),
    );
}

/** Databases in their order, with their state: null if one does not exist, or if it is unknown. */
export type Looks = ReadonlyMap<string, DatabaseLook | null>;

/** The databases of a selection. */
export interface DatabaseList {
  readonly looks: Looks;
  /** Whether the server told the state of the databases. Without it, each must be looked at. */
  readonly isKnown: boolean;
}

/** CouchDB refuses longer lists (`[chttpd] max_db_number_for_dbs_info_req`). */
const MAX_KEYS = 100;

/**
 * Reads the state of all databases of a selection, a hundred in a request. Not every server has this
 * request, and not every user may send it.
 */
export function listDatabases(
  connection: Connection,
  { names, matches }: Selection,
  timeout: number,
): Observable<DatabaseList> {
  const names$ = names === null ? listNames(connection, timeout) : of(names);
  return names$.pipe(
    map((all) => all.filter(matches)),
    mergeMap((matching) => {
      const unknown: Looks = new Map(matching.map((name) => [name, null]));
      const chunks: (readonly string[])[] = [];
      for (let i = 0; i < matching.length; i += MAX_KEYS)
        chunks.push(matching.slice(i, i + MAX_KEYS));
      return from(chunks).pipe(
        concatMap((keys) => readLooks(connection, keys, timeout)),
        toArray(),
        map((parts) => ({ looks: new Map(parts.flat()), isKnown: true })),
        catchError((error: unknown) =>
          isHTTPError(error) && !error.transient
            ? of({ looks: unknown, isKnown: false })
            : throwError(() => error),
        ),
      );
    }),
  );
}

function listNames(connection: Connection, timeout: number): Observable<readonly string[]> {
  return connection
    .json(
      () => ({ ...endpoint(SERVER, '/_all_dbs'), timeout }),
      (body) => asArray(body) as string[],
    )
    .pipe(map(({ value }) => value));
}

function readLooks(
  connection: Connection,
  keys: readonly string[],
  timeout: number,
): Observable<readonly (readonly [string, DatabaseLook | null])[]> {
  const request = { ...readByPost(endpoint(SERVER, '/_dbs_info'), { keys }), timeout };
  return connection
    .json(
      () => request,
      (body) =>
        asArray(body).map((row, i): readonly [string, DatabaseLook | null] => {
          const { info } = asObject(row);
          return [keys[i] as string, info === undefined ? null : decodeLook(info)];
        }),
    )
    .pipe(map(({ value }) => value));
}

function decodeLook(info: unknown): DatabaseLook {
  return { identity: creationTime(info), updateSeq: sequence(asObject(info)['update_seq']) };
}

/** Adds to the refusal of `_db_updates` what the user can do. Returns any other error as it is. */
export function explainUpdatesError(error: unknown, what: string): unknown {
  if (!isHTTPError(error) || error.transient || ![401, 403, 404].includes(error.status))
    return error;
  const { status, error: code, headers, request } = error;
  const remedy =
    status === 404
      ? "create the database '_global_changes'"
      : 'use the credentials of an administrator';
  const reason = `${error.reason} ${what} needs the updates of the server: ${remedy}, or pass updates: { poll: 5000 }`;
  return httpError({ status, error: code, headers, request, reason });
}
