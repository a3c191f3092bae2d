import { map, tap } from 'rxjs';
import { requireId } from '../http/url.ts';
import { follow, supersedes } from './follow.ts';
import type { PatchResult } from './follow.ts';
import type { LiveDatabase } from './live-database.ts';
import { keepEqual } from './live-entry.ts';
import { LiveQuery } from './live-query.ts';
import type { LiveEntry } from './live-entry.ts';
import { byId } from '../model/document.ts';
import type { Document } from '../model/document.ts';
import { canonical } from '../model/json.ts';
import { requireRestrictions } from '../http/query.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { Row } from '../model/view.ts';
import { duration } from '../operators/time.ts';
import { queryView } from '../queries/view.ts';
import type { ViewOptions } from '../queries/view.ts';

/** The options of `db.allDocs$()`: those of `_all_docs` that a live query supports. */
export interface LiveAllDocsOptions {
  /** Only this id. */
  readonly key?: string;
  /** Only these ids, in this order. A missing document has a row with `error: 'not_found'`. */
  readonly keys?: readonly string[];
  /** The id at which the list starts. */
  readonly startKey?: string;
  /** The id at which the list ends. */
  readonly endKey?: string;
  /** Whether the list includes the document with the id `endKey`. @defaultValue true */
  readonly inclusiveEnd?: boolean;
  /** Lists the last id first. @defaultValue false */
  readonly descending?: boolean;
  /** The maximum number of rows. */
  readonly limit?: number;
  /** How many rows to leave out at the start. @defaultValue 0 */
  readonly skip?: number;
  /** Adds the documents. @defaultValue false */
  readonly includeDocs?: boolean;
  /**
   * The minimum time between an answer and the next read, in milliseconds.
   * @defaultValue that of the `Couch`
   */
  readonly latency?: number;
}

/** A row of `_all_docs`. */
type DocRow<T extends object> = Row<string, { readonly rev: string }, Document<T> | null>;
type Rows<T extends object> = readonly DocRow<T>[];

/**
 * Returns a live query that emits the rows of a database's documents, or of a range of ids. It
 * applies changes locally. With `limit` or `skip`, it reads again if a document enters or leaves.
 */
export function liveAllDocs<T extends object>(
  live: LiveDatabase,
  options: LiveAllDocsOptions,
): LiveQuery<Rows<T>> {
  requireRestrictions(options, 'allDocs$');
  const { latency = live.latency, ...listOptions } = options;
  duration(latency, 'allDocs$: latency');
  for (const name of ['key', 'startKey', 'endKey'] as const) {
    const id = listOptions[name];
    if (id !== undefined && typeof id !== 'string')
      throw invalidArgument(`allDocs$: ${name}`, 'an id', id);
  }
  listOptions.keys?.forEach((id, i) => requireId(id, `allDocs$: keys[${i}]`));
  const query = queryView<string, { rev: string }, Document<T> | null>(
    live.db,
    '_all_docs',
    listOptions,
  );
  const patch = listOptions.keys === undefined ? patchRange<T> : patchKeys<T>;
  return new LiveQuery(live, ['allDocs$', listOptions, latency], () =>
    follow<Rows<T>>(live, {
      changes$: live.changes$,
      read: () =>
        query.pipe(
          map(({ rows }) => rows),
          tap((rows) => live.recordRevisions(rows.filter(({ id }) => id !== null).map(entryOfRow))),
        ),
      patch: (rows, changes, duringRead) => patch(live, listOptions, rows, changes, duringRead),
      reconcile: (rows, answer) => keepEqual(rows, answer, ({ key }) => key),
      latency,
    }),
  );
}

function entryOfRow({ key, value, doc }: DocRow<object>): LiveEntry {
  return { id: key, rev: value.rev, doc: doc as Document | null, conflicts: [] };
}

/** Applies changes to a list sorted by id, which may grow and shrink. */
function patchRange<T extends object>(
  live: LiveDatabase,
  options: LiveAllDocsOptions,
  rows: Rows<T>,
  changes: readonly LiveEntry[],
  duringRead: boolean,
): PatchResult<Rows<T>> {
  const direction = options.descending === true ? -1 : 1;
  let next: DocRow<T>[] | undefined;
  for (const change of changes) {
    if (!isInRange(change.id, options)) continue;
    const present = next ?? rows;
    const index = insertionIndex(present, change.id, direction);
    const row = present[index]?.key === change.id ? present[index] : undefined;
    if (row === undefined && change.doc === null) continue;
    if (row !== undefined && change.doc !== null) {
      if (!supersedes(live, change, row.value.rev, duringRead)) continue;
      next = [...present];
      next[index] = rowOf<T>(change, options);
      continue;
    }
    // Only the server knows which row moves up, and whether a change during the read is the latest.
    if (duringRead || options.limit !== undefined || options.skip !== undefined) {
      return { value: next ?? rows, reread: true };
    }
    next = [...present];
    if (row !== undefined) next.splice(index, 1);
    else next.splice(index, 0, rowOf<T>(change, options));
  }
  return { value: next ?? rows };
}

/** Applies changes to a list with one row for each requested id, missing documents included. */
function patchKeys<T extends object>(
  live: LiveDatabase,
  options: LiveAllDocsOptions,
  rows: Rows<T>,
  changes: readonly LiveEntry[],
  duringRead: boolean,
): PatchResult<Rows<T>> {
  let next: DocRow<T>[] | undefined;
  for (const change of changes) {
    const present: Rows<T> = next ?? rows;
    present.forEach((row, index) => {
      if (row.key !== change.id) return;
      const rev = row.error === null ? row.value.rev : null;
      if (!supersedes(live, change, rev, duringRead)) return;
      next ??= [...rows];
      next[index] = rowOf<T>(change, options);
    });
  }
  return { value: next ?? rows };
}

function rowOf<T extends object>(
  { id, rev, doc }: LiveEntry,
  { includeDocs = false }: LiveAllDocsOptions,
): DocRow<T> {
  if (rev === null) return new Row<string, never>(null, id, null as never, null, 'not_found');
  const value = doc === null ? { rev, deleted: true } : { rev };
  return new Row(id, id, value, includeDocs ? (doc as Document<T> | null) : null, null);
}

function isInRange(id: string, options: LiveAllDocsOptions): boolean {
  const { key, startKey, endKey, inclusiveEnd = true, descending = false } = options;
  if (key !== undefined) return id === key;
  const [first, last] = descending ? [endKey, startKey] : [startKey, endKey];
  if (first !== undefined && byId(id, first) < 0) return false;
  if (last !== undefined && byId(id, last) > 0) return false;
  return inclusiveEnd || id !== endKey;
}

/** Returns the index of an id, or the index at which it would be inserted. */
function insertionIndex(rows: Rows<object>, id: string, direction: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byId((rows[middle] as DocRow<object>).key, id) * direction < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The options of `db.view$()`. */
export interface LiveViewOptions extends ViewOptions {
  /**
   * The minimum time between an answer and the next read, in milliseconds.
   * @defaultValue that of the `Couch`
   */
  readonly latency?: number;
}

/**
 * Returns a live query that emits the rows of a view. Only the server can compute them, so the query
 * reads again after a change, at most once every `latency` milliseconds.
 */
export function liveView<R extends Row<unknown, unknown, unknown>>(
  live: LiveDatabase,
  name: string,
  options: LiveViewOptions,
): LiveQuery<readonly R[]> {
  requireRestrictions(options, 'view$');
  const { latency = live.latency, ...viewOptions } = options;
  duration(latency, 'view$: latency');
  const query = queryView<unknown, unknown, Document | null>(live.db, name, viewOptions);
  return new LiveQuery(live, ['view$', name, viewOptions, latency], () =>
    follow<readonly R[]>(live, {
      changes$: live.changes$,
      read: () => query.pipe(map(({ rows }) => rows as readonly unknown[] as readonly R[])),
      patch: (value) => ({ value, reread: true }),
      reconcile: (value, answer) => keepEqual(value, answer, rowKey),
      latency,
    }),
  );
}

/** Returns the identity of a view's row. One document may emit several rows with the same key. */
function rowKey({ id, key }: Row<unknown, unknown, unknown>): string {
  return canonical([id, key]);
}
