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
import { invalidArgument } from '../model/invalid-argument.ts';
import { Row } from '../model/view.ts';
import { queryView } from '../queries/view.ts';
import type { ViewOptions } from '../queries/view.ts';

/** Which documents are listed, and how; those of `_all_docs` that can be followed. */
export interface LiveAllDocsOptions {
  /** Only this id. */
  readonly key?: string;
  /** Only these ids, in this order; what is missing has a row that says so. */
  readonly keys?: readonly string[];
  readonly startKey?: string;
  readonly endKey?: string;
  /** Whether the document with the id `endKey` is listed. @defaultValue true */
  readonly inclusiveEnd?: boolean;
  readonly descending?: boolean;
  readonly limit?: number;
  readonly skip?: number;
  /** Adds the documents. @defaultValue false */
  readonly includeDocs?: boolean;
  /** How long to wait after an answer before asking again, in milliseconds; else the `Couch`'s. */
  readonly latency?: number;
}

/** A row of `_all_docs`. */
type DocRow<T extends object> = Row<string, { readonly rev: string }, Document<T> | null>;
type Rows<T extends object> = readonly DocRow<T>[];

/**
 * The documents of a database, or of a range of ids, as they change. Told from the changes alone,
 * but where a `limit` or a `skip` has others move up or down: there the server is asked.
 */
export function liveAllDocs<T extends object>(
  live: LiveDatabase,
  options: LiveAllDocsOptions,
): LiveQuery<Rows<T>> {
  const { latency = live.latency, ...wanted } = options;
  for (const name of ['key', 'startKey', 'endKey'] as const) {
    const id = wanted[name];
    if (id !== undefined && typeof id !== 'string')
      throw invalidArgument(`allDocs$: ${name}`, 'an id', id);
  }
  wanted.keys?.forEach((id, i) => requireId(id, `allDocs$: keys[${i}]`));
  const query = queryView<string, { rev: string }, Document<T> | null>(
    live.db,
    '_all_docs',
    wanted,
  );
  const patch = wanted.keys === undefined ? patchRange<T> : patchKeys<T>;
  return new LiveQuery(live, ['allDocs$', wanted, latency], () =>
    follow<Rows<T>>(live, {
      changes$: live.changes$,
      read: () =>
        query.pipe(
          map(({ rows }) => rows),
          tap((rows) => live.note(rows.filter(({ id }) => id !== null).map(foundRow))),
        ),
      patch: (rows, changes, overtaken) => patch(live, wanted, rows, changes, overtaken),
      reconcile: (rows, answer) => keepEqual(rows, answer, ({ key }) => key),
      latency,
    }),
  );
}

function foundRow({ key, value, doc }: DocRow<object>): LiveEntry {
  return { id: key, rev: value.rev, doc: doc as Document | null, conflicts: [] };
}

/** Lists by id: a document that is new or gone opens or closes a gap. */
function patchRange<T extends object>(
  live: LiveDatabase,
  options: LiveAllDocsOptions,
  rows: Rows<T>,
  changes: readonly LiveEntry[],
  overtaken: boolean,
): PatchResult<Rows<T>> {
  const direction = options.descending === true ? -1 : 1;
  let next: DocRow<T>[] | undefined;
  for (const found of changes) {
    if (!isInRange(found.id, options)) continue;
    const present = next ?? rows;
    const place = placeOf(present, found.id, direction);
    const there = present[place]?.key === found.id ? present[place] : undefined;
    if (there === undefined && found.doc === null) continue;
    if (there !== undefined && found.doc !== null) {
      if (!supersedes(live, found, there.value.rev, overtaken)) continue;
      next = [...present];
      next[place] = rowOf<T>(found, options);
      continue;
    }
    // Who moves up, or whether this is the newest news of what was read as missing: ask.
    if (overtaken || options.limit !== undefined || options.skip !== undefined) {
      return { value: next ?? rows, again: true };
    }
    next = [...present];
    if (there !== undefined) next.splice(place, 1);
    else next.splice(place, 0, rowOf<T>(found, options));
  }
  return { value: next ?? rows };
}

/** One row for each id that was asked for, whatever became of it. */
function patchKeys<T extends object>(
  live: LiveDatabase,
  options: LiveAllDocsOptions,
  rows: Rows<T>,
  changes: readonly LiveEntry[],
  overtaken: boolean,
): PatchResult<Rows<T>> {
  let next: DocRow<T>[] | undefined;
  for (const found of changes) {
    const present: Rows<T> = next ?? rows;
    present.forEach((row, place) => {
      if (row.key !== found.id) return;
      const rev = row.error === null ? row.value.rev : null;
      if (!supersedes(live, found, rev, overtaken)) return;
      next ??= [...rows];
      next[place] = rowOf<T>(found, options);
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

/** Where an id is, or would be. */
function placeOf(rows: Rows<object>, id: string, direction: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byId((rows[middle] as DocRow<object>).key, id) * direction < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How a view is followed: what is read of it, and how often. */
export interface LiveViewOptions extends ViewOptions {
  /** How long to wait after an answer before asking again, in milliseconds; else the `Couch`'s. */
  readonly latency?: number;
}

/**
 * The rows of a view as they change. Only the server knows what a document emits, so it is asked
 * again after a change, at most once every `latency`.
 */
export function liveView<R extends Row<unknown, unknown, unknown>>(
  live: LiveDatabase,
  name: string,
  options: LiveViewOptions,
): LiveQuery<readonly R[]> {
  const { latency = live.latency, ...wanted } = options;
  const query = queryView<unknown, unknown, Document | null>(live.db, name, wanted);
  return new LiveQuery(live, ['view$', name, wanted, latency], () =>
    follow<readonly R[]>(live, {
      changes$: live.changes$,
      read: () => query.pipe(map(({ rows }) => rows as readonly unknown[] as readonly R[])),
      patch: (value) => ({ value, again: true }),
      reconcile: (value, answer) => keepEqual(value, answer, rowKey),
      latency,
    }),
  );
}

/** Which row this is, among those of a view: one document may emit several with one key. */
function rowKey({ id, key }: Row<unknown, unknown, unknown>): string {
  return JSON.stringify([id, key]);
}
