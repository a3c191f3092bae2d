import { EMPTY, distinctUntilChanged, expand, map, mergeMap, of, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { readChanges } from '../changes/changes-request.ts';
import { requireId } from '../http/url.ts';
import { follow } from './follow.ts';
import { KeyedList } from './keyed-list.ts';
import type { LiveDatabase } from './live-database.ts';
import type { ReadWaits } from './shared-queries.ts';
import type { LiveEntry } from './live-entry.ts';
import { liveQuery } from './live-query.ts';
import type { LiveQuery } from './live-query.ts';
import { SortedList } from './sorted-list.ts';
import type { ListRules } from './sorted-list.ts';
import type { ChangesResult } from '../model/change.ts';
import { byId } from '../model/document.ts';
import type { AnyFields, LiveDocument } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** Returns a live query that emits one document; null while it is missing or deleted. */
export function liveDocument<T extends object>(
  live: LiveDatabase,
  id: string,
): LiveQuery<LiveDocument<T> | null> {
  requireFollowed(id, 'doc$: the id');
  return liveQuery(live, ['doc$', id], (waits) =>
    followEntries(live, [id], waits).pipe(
      map(([entry]) => (entry as LiveEntry).doc as unknown as LiveDocument<T> | null),
      distinctUntilChanged(),
    ),
  );
}

/** Emits the entry of one document, also of its tombstone, and again each time it changes. */
export function followDocument(
  live: LiveDatabase,
  id: string,
  waits?: ReadWaits,
): Observable<LiveEntry> {
  return followEntries(live, [id], waits).pipe(map(([entry]) => entry as LiveEntry));
}

function followEntries(
  live: LiveDatabase,
  ids: readonly string[],
  waits?: ReadWaits,
): Observable<readonly LiveEntry[]> {
  const rules = {
    ids,
    itemOf: (entry: LiveEntry) => entry,
    entryOf: (entry: LiveEntry) => entry,
    holds: true,
  };
  return follow(
    live,
    {
      interest: { ids },
      result: () => new KeyedList<LiveEntry>(rules, live.cache),
      read: (onWait) => live.readEntries(ids, onWait),
    },
    waits,
  );
}

/** Returns a live query that emits several documents, in the order of `ids`; null for a missing one. */
export function liveDocuments<T extends object>(
  live: LiveDatabase,
  ids: readonly string[],
): LiveQuery<readonly (LiveDocument<T> | null)[]> {
  if (!Array.isArray(ids)) throw invalidArgument('docs$: ids', 'a list of ids', ids);
  ids.forEach((id, i) => requireFollowed(id, `docs$: ids[${i}]`));
  const requestedIds: readonly string[] = [...ids];
  return liveQuery(live, ['docs$', requestedIds], (waits) =>
    followEntries(live, requestedIds, waits).pipe(
      map((all) => all.map(({ doc }) => doc as unknown as LiveDocument<T> | null)),
      // A deleted document is null, whichever tombstone it has.
      distinctUntilChanged((a, b) => a.every((doc, i) => doc === b[i])),
    ),
  );
}

/**
 * Throws for an id that no changes feed tells about.
 *
 * @throws TypeError for an invalid id, and for a local document.
 */
export function requireFollowed(id: unknown, name: string): void {
  requireId(id, name);
  if (id.startsWith('_local/'))
    throw new TypeError(
      `${name} must not be a local document (received '${id}'): CouchDB reports no changes of local documents. Read it with db.local.get()`,
    );
}

/** A document with several leaf revisions that are not deleted, as replication creates them. */
export interface DocumentConflict<T extends object = AnyFields> {
  readonly id: string;
  /** The winning revision. */
  readonly rev: string;
  /** The document in the winning revision. */
  readonly doc: LiveDocument<T>;
  /** The losing leaf revisions. */
  readonly conflicts: readonly string[];
}

/** How many changes one request reads. */
const PAGE_SIZE = 1000;

/**
 * Returns a live query that emits the documents in conflict, sorted by id. It first reads the whole
 * changes history, without documents, and then the documents with several leaves.
 */
export function liveConflicts<T extends object>(
  live: LiveDatabase,
): LiveQuery<readonly DocumentConflict<T>[]> {
  return liveQuery(live, ['conflicts$'], (waits) =>
    follow<readonly LiveEntry[], readonly LiveEntry[]>(
      live,
      {
        interest: 'all',
        result: () => new SortedList<LiveEntry>(CONFLICTED, live.cache),
        read: (onWait, onAttempt) =>
          live.readAfterStart(() => {
            onAttempt();
            return readBranchedIds(live).pipe(
              mergeMap((ids) => (ids.length === 0 ? of([]) : live.read(ids))),
              map((all) => all.filter(isConflicted).sort((a, b) => byId(a.id, b.id))),
            );
          }, onWait),
      },
      waits,
    ).pipe(map((all) => all as readonly unknown[] as readonly DocumentConflict<T>[])),
  );
}

const CONFLICTED: ListRules<LiveEntry> = {
  idOf: ({ id }) => id,
  revOf: ({ rev }) => rev,
  versionOf: ({ rev, conflicts }) => [rev, ...conflicts].join(),
  itemOf: (entry) => entry,
  accepts: isConflicted,
  orderOf: () => (a, b) => byId(a.id, b.id),
  placesNew: true,
  limit: Infinity,
  skip: 0,
  // Other queries may hold a document without its conflicts.
  entryOf: null,
};

function isConflicted({ doc, conflicts }: LiveEntry): boolean {
  return doc !== null && conflicts.length > 0;
}

/** Emits the ids of the documents with several leaves. Some of these leaves may be deleted. */
function readBranchedIds({ db }: LiveDatabase): Observable<readonly string[]> {
  const page = (since: string | 0): Observable<ChangesResult> =>
    readChanges(db, { since, limit: PAGE_SIZE, style: 'all_docs' });
  return page(0).pipe(
    expand(({ results, lastSeq, pending }) =>
      results.length < PAGE_SIZE || pending === 0 ? EMPTY : page(lastSeq),
    ),
    reduce((ids, { results }) => {
      for (const { id, changes } of results) if (changes.length > 1) ids.add(id);
      return ids;
    }, new Set<string>()),
    map((ids) => [...ids]),
  );
}
