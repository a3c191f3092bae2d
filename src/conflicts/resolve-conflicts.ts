import { catchError, mergeMap, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import { Conflict, isConflict } from '../errors/status-errors.ts';
import type { AnyFields } from '../model/document.ts';
import { mustBe } from '../model/must-be.ts';
import type { Merge } from './merge.ts';
import type { ConflictResolution, ResolveOptions } from './resolution.ts';

/** How a stream of saves is resolved. */
export interface ResolveConflictsOptions extends ResolveOptions {
  /** How many saves are resolved at the same time. @defaultValue 1 */
  readonly concurrency?: number;
}

/**
 * Resolves the conflicts of saves, of one document or of many, as they pass:
 * `db.save(docs).pipe(resolveConflicts(merge))`.
 *
 * A save that errors with a `Conflict` is resolved too; where that does not succeed it errors with
 * a `Conflict` that holds what is pending still. Everything else passes unchanged.
 *
 * ```
 * source:                        -p-|       p: a resolution with pending documents
 * resolveConflicts(merge):       ----r|     r: the same, resolved; two requests later
 * ```
 */
export function resolveConflicts<T extends object = AnyFields>(
  merge: Merge<T>,
  options: ResolveConflictsOptions = {},
): MonoTypeOperatorFunction<ConflictResolution<T>> {
  const { concurrency = 1, ...rounds } = options;
  if (typeof merge !== 'function') throw mustBe('resolveConflicts: merge', 'a function', merge);
  return (source) =>
    source.pipe(
      mergeMap((resolution) => resolution.resolve(merge, rounds), concurrency),
      catchError((error: unknown): Observable<ConflictResolution<T>> => {
        if (!isConflict(error) || error.resolution === null) return throwError(() => error);
        // What a save of these documents errors with holds a resolution of these documents.
        const unresolved = error.resolution as ConflictResolution<T>;
        return unresolved
          .resolve(merge, rounds)
          .pipe(
            mergeMap((left) =>
              left.pending.size === 0 ? [left] : throwError(() => new Conflict(error, left)),
            ),
          );
      }),
    );
}
