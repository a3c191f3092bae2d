import { distinctUntilChanged, map } from 'rxjs';
import type { Observable } from 'rxjs';
import { requireId } from '../http/url.ts';
import type { Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { follow, supersedes } from './follow.ts';
import type { LiveEntry } from './live-entry.ts';
import type { LiveDatabase } from './live-database.ts';
import { LiveQuery } from './live-query.ts';

/** One document as it changes; null while it is missing or deleted. */
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

/** What is known of one document as it changes, with the revision of its tombstone too. */
export function followDocument(live: LiveDatabase, id: string): Observable<LiveEntry> {
  return follow<LiveEntry>(live, {
    changes$: live.changesOf(id),
    read: () => live.read([id]).pipe(map(([found]) => found as LiveEntry)),
    patch: (value, changes, overtaken) => {
      let next = value;
      for (const found of changes) {
        if (supersedes(live, found, next.rev, overtaken)) next = found;
      }
      return { value: next };
    },
  });
}

/** Several documents as they change, in the order of their ids. */
export function liveDocuments<T extends object>(
  live: LiveDatabase,
  ids: readonly string[],
): LiveQuery<readonly (Document<T> | null)[]> {
  if (!Array.isArray(ids)) throw invalidArgument('docs$: ids', 'a list of ids', ids);
  ids.forEach((id, i) => requireId(id, `docs$: ids[${i}]`));
  const wanted = [...ids];
  return new LiveQuery(live, ['docs$', wanted], () => {
    const places = new Map<string, number[]>();
    wanted.forEach((id, i) => places.set(id, [...(places.get(id) ?? []), i]));
    return follow<readonly LiveEntry[]>(live, {
      changes$: live.changes$,
      read: () => live.read(wanted),
      patch: (value, changes, overtaken) => {
        let next: LiveEntry[] | undefined;
        for (const found of changes) {
          for (const place of places.get(found.id) ?? []) {
            const { rev } = (next ?? value)[place] as LiveEntry;
            if (supersedes(live, found, rev, overtaken)) (next ??= [...value])[place] = found;
          }
        }
        return { value: next ?? value };
      },
    }).pipe(map((all) => all.map(({ doc }) => doc as Document<T> | null)));
  });
}
