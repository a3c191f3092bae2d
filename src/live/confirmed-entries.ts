import { defer, mergeMap, of, switchMap } from 'rxjs';
import type { Observable } from 'rxjs';
import type { LiveDatabase } from './live-database.ts';
import { followDocument } from './live-documents.ts';
import { wins } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';
import type { ReadWaits } from './shared-queries.ts';

/** Returns the revision that is known to win; undefined if the document has not been read. */
export type KnownRevision = () => string | null | undefined;

/**
 * Follows a document for a client that also learns of revisions by its own saves. Emits the winning
 * entry, and each newer one; never one that a save has replaced.
 *
 * A losing revision can be older than the last save, or the former winner is gone. Corduroy reads the
 * document again to find out which. Cold; errors as reads do, and completes never.
 */
export function confirmedEntries(
  live: LiveDatabase,
  id: string,
  known: KnownRevision,
  waits: ReadWaits,
): Observable<LiveEntry> {
  const isNotOlder = ({ rev }: LiveEntry): boolean => {
    const present = known();
    return present === undefined || rev === present || wins(rev, present);
  };
  const read = (): Observable<LiveEntry> =>
    defer(() => {
      const before = known();
      return live.read([id]).pipe(
        mergeMap((entries) => {
          const [entry] = entries as readonly [LiveEntry];
          // If a save ended during the read, its revision may be newer than the answer.
          return known() === before || isNotOlder(entry) ? of(entry) : read();
        }),
      );
    });
  return followDocument(live, id, waits).pipe(
    switchMap((entry) => (isNotOlder(entry) ? of(entry) : read())),
  );
}
