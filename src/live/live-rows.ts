import { map } from 'rxjs';
import { requireRestrictions } from '../http/query.ts';
import { byId } from '../model/document.ts';
import type { Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { canonical, equal, plainCopy } from '../model/json.ts';
import { Row } from '../model/view.ts';
import { duration } from '../operators/time.ts';
import { queryView } from '../queries/view.ts';
import type { ViewOptions } from '../queries/view.ts';
import { follow } from './follow.ts';
import { KeyedList } from './keyed-list.ts';
import type { KeyedRules } from './keyed-list.ts';
import type { LiveDatabase, LivePlace } from './live-database.ts';
import { requireFollowed } from './live-documents.ts';
import { missingEntry } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';
import { liveQuery } from './live-query.ts';
import type { LiveQuery } from './live-query.ts';
import { keepEqual } from './live-result.ts';
import type { Heard, LiveResult, Outcome } from './live-result.ts';
import { SortedList } from './sorted-list.ts';
import type { ListRules } from './sorted-list.ts';

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
  { db, prefix }: LivePlace = { db: live.db, prefix: '' },
): LiveQuery<Rows<T>> {
  requireRestrictions(options, 'allDocs$');
  const { latency = live.latency, ...given } = options;
  duration(latency, 'allDocs$: latency');
  for (const name of ['key', 'startKey', 'endKey'] as const) {
    const id = given[name];
    if (id !== undefined && typeof id !== 'string')
      throw invalidArgument(`allDocs$: ${name}`, 'an id', id);
  }
  given.keys?.forEach((id, i) => requireFollowed(id, `allDocs$: keys[${i}]`));
  if (given.key !== undefined) requireFollowed(given.key, 'allDocs$: key');
  // The caller may change its list later.
  const listOptions = given.keys === undefined ? given : { ...given, keys: [...given.keys] };
  const query = queryView<string, { rev: string }, Document<T> | null>(
    db,
    '_all_docs',
    listOptions,
  );
  const { keys } = listOptions;
  const rowOf = (entry: LiveEntry): DocRow<T> => toRow<T>(entry, listOptions);
  return liveQuery(live, ['allDocs$', prefix, listOptions, latency], (waits) =>
    follow<Rows<T>, Rows<T>>(
      live,
      {
        interest: keys === undefined ? 'all' : { ids: keys },
        result: () =>
          keys === undefined
            ? new SortedList(rangeRules(listOptions, rowOf, prefix), live.cache)
            : new KeyedList(keyRules(keys, rowOf), live.cache),
        read: (onWait, onAttempt) =>
          live.readAfterStart(() => {
            onAttempt();
            return query.pipe(map(({ rows }) => rows));
          }, onWait),
        latency,
      },
      waits,
    ),
  );
}

/** Returns the rules of a list sorted by id, which may grow and shrink. */
function rangeRules<T extends object>(
  options: LiveAllDocsOptions,
  itemOf: (entry: LiveEntry) => DocRow<T>,
  prefix: string,
): ListRules<DocRow<T>> {
  const { descending = false, limit = Infinity, skip = 0, includeDocs = false } = options;
  const direction = descending ? -1 : 1;
  return {
    idOf: ({ key }) => key,
    revOf: ({ value }) => value.rev,
    versionOf: ({ value }) => value.rev,
    itemOf,
    accepts: ({ id, doc }) => doc !== null && id.startsWith(prefix) && isInRange(id, options),
    orderOf: () => (a, b) => byId(a.key, b.key) * direction,
    placesNew: true,
    limit,
    skip,
    entryOf: includeDocs ? entryOf : null,
  };
}

/** Returns the rules of a list with one row for each requested id, missing documents included. */
function keyRules<T extends object>(
  ids: readonly string[],
  itemOf: (entry: LiveEntry) => DocRow<T>,
): KeyedRules<DocRow<T>> {
  return { ids, itemOf, entryOf, holds: false };
}

function entryOf({ key, value, doc, error }: DocRow<object>): LiveEntry {
  return error === null
    ? { id: key, rev: value.rev, doc: doc as Document | null, conflicts: [] }
    : missingEntry(key);
}

function toRow<T extends object>(
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
  { db, prefix }: LivePlace = { db: live.db, prefix: '' },
): LiveQuery<readonly R[]> {
  requireRestrictions(options, 'view$');
  const { latency = live.latency, ...given } = options;
  duration(latency, 'view$: latency');
  // Checks the options, before they are copied.
  queryView<unknown, unknown, Document | null>(db, name, given);
  const viewOptions = plainCopy(given, live.db.connection.codec) as ViewOptions;
  const query = queryView<unknown, unknown, Document | null>(db, name, viewOptions);
  return liveQuery(live, ['view$', prefix, name, viewOptions, latency], (waits) =>
    follow<readonly R[], readonly R[]>(
      live,
      {
        interest: 'all',
        result: () => new ViewRows<R>(),
        read: (onWait, onAttempt) =>
          live.readAfterStart(() => {
            onAttempt();
            return query.pipe(map(({ rows }) => rows as readonly unknown[] as readonly R[]));
          }, onWait),
        latency,
      },
      waits,
    ),
  );
}

/** The rows of a view: only the server can compute them, so every change requires a read. */
class ViewRows<R extends Row<unknown, unknown, unknown>> implements LiveResult<
  readonly R[],
  readonly R[]
> {
  value: readonly R[] = [];

  answer(answer: readonly R[], heard: Heard): Outcome {
    const before = this.value;
    this.value = keepEqual(before, answer, ({ id, key }) => canonical([id, key]), equal);
    return { changed: this.value !== before, reread: heard.size > 0, refetch: [] };
  }

  apply(): Outcome {
    return { changed: false, reread: true, refetch: [] };
  }

  clear(): void {
    this.value = [];
  }
}
