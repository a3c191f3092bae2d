import { EMPTY, distinctUntilChanged, expand, map, mergeMap, of, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { readChanges } from '../changes/changes-request.ts';
import { requireId } from '../http/url.ts';
import { follow, supersedes } from './follow.ts';
import type { LiveDatabase } from './live-database.ts';
import type { LiveEntry } from './live-entry.ts';
import { LiveQuery } from './live-query.ts';
import type { ChangesResult } from '../model/change.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** Returns a live query that emits one document; null while it is missing or deleted. */
export function liveDocument<T extends object>(
  live: LiveDatabase,
  id: string,
): LiveQuery<Document<T> | null> {
  requireId(id, 'doc$: the id');
  return new LiveQuery(live, ['doc$', id], () =>
    followDocument(live, id).pipe(
      map(({ doc }) => doc as Document<T> | null),
      distinctUntilChanged(),
    ),
  );
}

/** Emits the entry of one document, also of its tombstone, and again each time it changes. */
export function followDocument(live: LiveDatabase, id: string): Observable<LiveEntry> {
  return follow<LiveEntry>(live, {
    changes$: live.changesOf(id),
    read: () => live.read([id]).pipe(map(([entry]) => entry as LiveEntry)),
    patch: (value, changes, duringRead) => {
      let next = value;
      for (const change of changes) {
        if (supersedes(live, change, next.rev, duringRead)) next = change;
      }
      return { value: next };
    },
  });
}

/** Returns a live query that emits several documents, in the order of `ids`; null for a missing one. */
export function liveDocuments<T extends object>(
  live: LiveDatabase,
  ids: readonly string[],
): LiveQuery<readonly (Document<T> | null)[]> {
  if (!Array.isArray(ids)) throw invalidArgument('docs$: ids', 'a list of ids', ids);
  ids.forEach((id, i) => requireId(id, `docs$: ids[${i}]`));
  const requestedIds = [...ids];
  return new LiveQuery(live, ['docs$', requestedIds], () => {
    const indexes = new Map<string, number[]>();
    requestedIds.forEach((id, i) => indexes.set(id, [...(indexes.get(id) ?? []), i]));
    return follow<readonly LiveEntry[]>(live, {
      changes$: live.changes$,
      read: () => live.read(requestedIds),
      patch: (value, changes, duringRead) => {
        let next: LiveEntry[] | undefined;
        for (const change of changes) {
          for (const index of indexes.get(change.id) ?? []) {
            const { rev } = (next ?? value)[index] as LiveEntry;
            if (supersedes(live, change, rev, duringRead)) (next ??= [...value])[index] = change;
          }
        }
        return { value: next ?? value };
      },
    }).pipe(map((all) => all.map(({ doc }) => doc as Document<T> | null)));
  });
}

/** A document with several leaf revisions that are not deleted, as replication creates them. */
export interface DocumentConflict<T extends object = AnyFields> {
  readonly id: string;
  /** The winning revision. */
  readonly rev: string;
  /** The document in the winning revision. */
  readonly doc: Document<T>;
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
  return new LiveQuery(live, ['conflicts$'], () =>
    follow<ReadonlyMap<string, LiveEntry>>(live, {
      changes$: live.changes$,
      read: () =>
        readBranchedIds(live).pipe(
          mergeMap((ids) => (ids.length === 0 ? of([]) : live.read(ids))),
          map((all) => new Map(all.filter(isConflicted).map((entry) => [entry.id, entry]))),
        ),
      patch: (value, changes, duringRead) => {
        let next: Map<string, LiveEntry> | undefined;
        for (const change of changes) {
          const present = (next ?? value).get(change.id);
          const conflicts = present?.conflicts.join() ?? '';
          if (present?.rev === change.rev && conflicts === change.conflicts.join()) continue;
          if (present === undefined && !isConflicted(change)) continue;
          if (duringRead) {
            live.refetch([change.id]);
            continue;
          }
          next ??= new Map(value);
          if (isConflicted(change)) next.set(change.id, change);
          else next.delete(change.id);
        }
        return { value: next ?? value };
      },
    }).pipe(
      map((all) =>
        ([...all.values()] as unknown[] as DocumentConflict<T>[]).sort((a, b) =>
          a.id < b.id ? -1 : 1,
        ),
      ),
    ),
  );
}

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
