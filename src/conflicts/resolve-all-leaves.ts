import { catchError, defer, filter, from, map, mergeMap, of, tap } from 'rxjs';
import type { Observable, OperatorFunction } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { mustBe } from '../model/must-be.ts';
import type { Merge } from './merge.ts';
import type { ResolveOptions } from './resolution.ts';

/** A document with several leaves, as `db.conflicts$()` lists them. */
export interface Branched {
  readonly id: string;
  readonly rev?: string;
  readonly conflicts?: readonly string[];
}

/** What became of the leaves of a document. */
export type LeavesOutcome<T extends object = AnyFields> =
  | { readonly ok: true; readonly id: string; readonly doc: Document<T> }
  | { readonly ok: false; readonly id: string; readonly error: CorduroyError };

/** How leaves are resolved, document by document. */
export interface ResolveAllLeavesOptions extends ResolveOptions {
  /** How many documents are resolved at the same time. @defaultValue 4 */
  readonly concurrency?: number;
}

/** What resolves the leaves of one document: a `Database`. */
interface LeavesResolver<T extends object> {
  resolveLeaves(id: string, merge: Merge<T>, options?: ResolveOptions): Observable<Document<T>>;
}

/**
 * Makes one of all leaves of each document of a list that goes on changing:
 * `db.conflicts$().pipe(resolveAllLeaves(db, merge))`. Emits what became of each.
 *
 * A document is resolved by one at a time. One that could not be resolved does not end the stream,
 * and is tried again when its leaves have changed. Errors with what the list errors with; unsubscribing
 * aborts what is being resolved.
 *
 * ```
 * source:                        -a---b--     a: the documents x and y; b: y
 * resolveAllLeaves(db, merge):   ---x-y--     one outcome each
 * ```
 */
export function resolveAllLeaves<T extends object = AnyFields>(
  db: LeavesResolver<T>,
  merge: Merge<T>,
  options: ResolveAllLeavesOptions = {},
): OperatorFunction<readonly Branched[], LeavesOutcome<T>> {
  const { concurrency = 4, ...rounds } = options;
  if (typeof merge !== 'function') throw mustBe('resolveAllLeaves: merge', 'a function', merge);
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw mustBe('resolveAllLeaves: concurrency', 'a whole number from 1', concurrency, RangeError);
  }
  return (source) =>
    defer(() => {
      const busy = new Set<string>();
      /** The leaves that each document had when it was taken on: the same are not taken on again. */
      const taken = new Map<string, string>();
      const forgetOthers = (list: readonly Branched[]): void => {
        const listed = new Set(list.map(({ id }) => id));
        for (const id of taken.keys()) if (!listed.has(id) && !busy.has(id)) taken.delete(id);
      };
      return source.pipe(
        tap(forgetOthers),
        mergeMap((list) => from(list)),
        filter((one) => !busy.has(one.id) && taken.get(one.id) !== leavesOf(one)),
        tap((one) => {
          busy.add(one.id);
          taken.set(one.id, leavesOf(one));
        }),
        mergeMap(
          ({ id }) =>
            db.resolveLeaves(id, merge, rounds).pipe(
              map((doc): LeavesOutcome<T> => ({ ok: true, id, doc })),
              catchError((error: CorduroyError) => of<LeavesOutcome<T>>({ ok: false, id, error })),
              tap(() => busy.delete(id)),
            ),
          concurrency,
        ),
      );
    });
}

function leavesOf({ rev, conflicts = [] }: Branched): string {
  return [rev, ...conflicts].join();
}
