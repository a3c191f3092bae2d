import { EMPTY, expand, map, mergeMap, of, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { readChanges } from '../changes/one-shot.ts';
import type { ChangesResult } from '../model/change.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { follow } from './follow.ts';
import type { LiveEntry } from './live-entry.ts';
import type { LiveDatabase } from './live-database.ts';
import { LiveQuery } from './live-query.ts';

/** A document that replication brought several live revisions of. */
export interface DocumentConflict<T extends object = AnyFields> {
  readonly id: string;
  /** The revision that wins. */
  readonly rev: string;
  /** The document in that revision. */
  readonly doc: Document<T>;
  /** The revisions that lost, and are there still. */
  readonly conflicts: readonly string[];
}

/** How many changes are looked through with one request. */
const PAGE = 1000;

/**
 * The documents that are in conflict, as they change, by id. To begin with the whole history is
 * looked through, without documents; those that have several leaves are then read.
 */
export function liveConflicts<T extends object>(
  live: LiveDatabase,
): LiveQuery<readonly DocumentConflict<T>[]> {
  return new LiveQuery(live, ['conflicts$'], () =>
    follow<ReadonlyMap<string, LiveEntry>>(live, {
      changes$: live.changes$,
      read: () =>
        branched(live).pipe(
          mergeMap((ids) => (ids.length === 0 ? of([]) : live.read(ids))),
          map((all) => new Map(all.filter(isConflicted).map((found) => [found.id, found]))),
        ),
      patch: (value, changes, overtaken) => {
        let next: Map<string, LiveEntry> | undefined;
        for (const found of changes) {
          const there = (next ?? value).get(found.id);
          const before = there?.conflicts.join() ?? '';
          if (there?.rev === found.rev && before === found.conflicts.join()) continue;
          if (there === undefined && !isConflicted(found)) continue;
          if (overtaken) {
            live.recheck([found.id]);
            continue;
          }
          next ??= new Map(value);
          if (isConflicted(found)) next.set(found.id, found);
          else next.delete(found.id);
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

/** Emits the ids of the documents with several leaves; some of those may be deleted. */
function branched({ db }: LiveDatabase): Observable<readonly string[]> {
  const page = (since: string | 0): Observable<ChangesResult> =>
    readChanges(db, { since, limit: PAGE, style: 'all_docs' });
  return page(0).pipe(
    expand(({ results, lastSeq, pending }) =>
      results.length < PAGE || pending === 0 ? EMPTY : page(lastSeq),
    ),
    reduce((ids, { results }) => {
      for (const { id, changes } of results) if (changes.length > 1) ids.add(id);
      return ids;
    }, new Set<string>()),
    map((ids) => [...ids]),
  );
}
