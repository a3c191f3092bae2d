import { distinctUntilChanged, map } from 'rxjs';
import type { Observable } from 'rxjs';
import { requireId } from '../http/url.ts';
import type { Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { follow, supersedes } from './follow.ts';
import type { LiveEntry } from './live-entry.ts';
import type { LiveDatabase } from './live-database.ts';
import { LiveQuery } from './live-query.ts';

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
