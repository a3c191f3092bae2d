import {
  Subject,
  defer,
  distinctUntilChanged,
  exhaustMap,
  filter,
  map,
  merge,
  mergeMap,
  repeat,
  scan,
  startWith,
  takeWhile,
  tap,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { byWinner } from '../model/document.ts';
import type { LiveEntry } from './live-entry.ts';
import type { LiveDatabase } from './live-database.ts';

/** The result of a patch: the next value, or the same one if the changes do not affect it. */
export interface PatchResult<V> {
  readonly value: V;
  /** Whether only the server can compute the value, so that it must be read again. @defaultValue false */
  readonly reread?: boolean;
}

/** The functions that read a value and keep it up to date. */
export interface FollowOptions<V> {
  /** Emits the changes that may affect the value. */
  readonly changes$: Observable<readonly LiveEntry[]>;
  /** Reads the value, at each subscription. */
  readonly read: () => Observable<V>;
  /**
   * Applies changes to the value.
   *
   * @param duringRead - Whether the changes came during the read: the value may be newer than they
   * are.
   */
  readonly patch: (value: V, changes: readonly LiveEntry[], duringRead: boolean) => PatchResult<V>;
  /** Merges an answer into the present value, so that equal parts keep their identity. */
  readonly reconcile?: (value: V, answer: V) => V;
  /** The minimum time between an answer and the next read, in milliseconds. @defaultValue 0 */
  readonly latency?: number;
}

type Event<V> = { readonly answer: V } | { readonly changes: readonly LiveEntry[] };

/**
 * Reads a value, emits it, and emits it again each time changes modify it. Reads it again if a patch
 * requires that, with one request at a time. Retries transient errors, and errors with all others.
 */
export function follow<V>(live: LiveDatabase, options: FollowOptions<V>): Observable<V> {
  const { changes$, read, patch, reconcile = (_value, answer) => answer, latency = 0 } = options;
  const { connection } = live.db;
  return defer(() => {
    const reread$ = new Subject<void>();
    let rereadRequested = false;
    /** The changes since the present read began; null while no read is in flight. */
    let changesDuringRead: LiveEntry[] | null = null;

    // Reads in the next turn, so that several requests in this turn need one read.
    const answers$ = connection.after(0).pipe(
      mergeMap(() => live.readAfterStart(() => defer(() => startRead()))),
      repeat({ delay: () => connection.after(latency).pipe(takeWhile(() => rereadRequested)) }),
    );
    const startRead = (): Observable<V> => {
      rereadRequested = false;
      changesDuringRead = [];
      return read();
    };
    const requestReread = ({ value, reread = false }: PatchResult<V>): { readonly value: V } => {
      if (reread) {
        rereadRequested = true;
        reread$.next();
      }
      return { value };
    };
    const next = (state: { readonly value: V } | null, event: Event<V>): typeof state => {
      if ('changes' in event)
        return state && requestReread(patch(state.value, event.changes, false));
      const changes = changesDuringRead ?? [];
      changesDuringRead = null;
      const { value } =
        changes.length === 0
          ? { value: event.answer }
          : requestReread(patch(event.answer, changes, true));
      return { value: state === null ? value : reconcile(state.value, value) };
    };
    return merge(
      changes$.pipe(
        tap((changes) => changesDuringRead?.push(...changes)),
        map((changes): Event<V> => ({ changes })),
      ),
      reread$.pipe(
        startWith(undefined),
        exhaustMap(() => answers$),
        map((answer): Event<V> => ({ answer })),
      ),
    ).pipe(
      scan(next, null),
      filter((state) => state !== null),
      map(({ value }) => value),
      distinctUntilChanged(),
    );
  });
}

/**
 * Returns whether a change replaces the revision `rev`. If the change came during the read and does
 * not win, either may be newer: then the document is fetched again, and comes as another change.
 */
export function supersedes(
  live: LiveDatabase,
  change: LiveEntry,
  rev: string | null,
  duringRead: boolean,
): boolean {
  if (change.rev === rev) return false;
  if (!duringRead || rev === null || (change.rev !== null && byWinner(change.rev, rev) < 0))
    return true;
  live.refetch([change.id]);
  return false;
}
