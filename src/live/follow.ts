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

/** What changes make of a value: the next one, or the same one where they do not concern it. */
export interface PatchResult<V> {
  readonly value: V;
  /** Whether only the server can tell what the value is now. @defaultValue false */
  readonly again?: boolean;
}

/** A value that is read, and then kept up to date. */
export interface FollowOptions<V> {
  /** What tells of the changes that may concern it. */
  readonly changes$: Observable<readonly LiveEntry[]>;
  /** Reads it, at each subscription. */
  readonly read: () => Observable<V>;
  /**
   * Makes the next value of the present one and changes.
   *
   * @param overtaken - Whether they came while the value was read: it may be newer than they are.
   */
  readonly patch: (value: V, changes: readonly LiveEntry[], overtaken: boolean) => PatchResult<V>;
  /** Makes the next value of the present one and a new answer, and keeps what is equal. */
  readonly reconcile?: (value: V, answer: V) => V;
  /** How long to wait after an answer before asking again, in milliseconds. @defaultValue 0 */
  readonly latency?: number;
}

type Event<V> = { readonly answer: V } | { readonly changes: readonly LiveEntry[] };

/**
 * Follows a value: reads it, and emits what changes make of it. It is read again where they do not
 * tell, by one request at a time. Errors with what cannot pass by itself.
 */
export function follow<V>(live: LiveDatabase, followed: FollowOptions<V>): Observable<V> {
  const { changes$, read, patch, reconcile = (_value, answer) => answer, latency = 0 } = followed;
  const { connection } = live.db;
  return defer(() => {
    const again$ = new Subject<void>();
    let wanted = false;
    /** What has come since the request that is under way went out. */
    let meanwhile: LiveEntry[] | null = null;

    // In the next turn: what else makes it necessary in this one is answered by the same request.
    const asked$ = connection.after(0).pipe(
      mergeMap(() => live.begin(() => defer(() => begin()))),
      repeat({ delay: () => connection.after(latency).pipe(takeWhile(() => wanted)) }),
    );
    const begin = (): Observable<V> => {
      wanted = false;
      meanwhile = [];
      return read();
    };
    const note = ({ value, again = false }: PatchResult<V>): { readonly value: V } => {
      if (again) {
        wanted = true;
        again$.next();
      }
      return { value };
    };
    const next = (state: { readonly value: V } | null, event: Event<V>): typeof state => {
      if ('changes' in event) return state && note(patch(state.value, event.changes, false));
      const came = meanwhile ?? [];
      meanwhile = null;
      const { value } =
        came.length === 0 ? { value: event.answer } : note(patch(event.answer, came, true));
      return { value: state === null ? value : reconcile(state.value, value) };
    };
    return merge(
      changes$.pipe(
        tap((changes) => meanwhile?.push(...changes)),
        map((changes): Event<V> => ({ changes })),
      ),
      again$.pipe(
        startWith(undefined),
        exhaustMap(() => asked$),
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
 * Tells whether a change takes the place of what is there. Where a change came while that was read,
 * and does not win over it, either may be the newer one: it is looked into, and told again.
 */
export function supersedes(
  live: LiveDatabase,
  found: LiveEntry,
  rev: string | null,
  overtaken: boolean,
): boolean {
  if (found.rev === rev) return false;
  if (!overtaken || rev === null || (found.rev !== null && byWinner(found.rev, rev) < 0))
    return true;
  live.recheck([found.id]);
  return false;
}
