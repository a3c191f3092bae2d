import { catchError, defer, filter, from, map, mergeMap, of, tap } from 'rxjs';
import type { Observable, OperatorFunction } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import type { Merge } from './merge.ts';
import type { ResolveOptions } from './resolution.ts';

/** A document with several leaf revisions, as `db.conflicts$()` lists it. */
export interface ConflictedDocument {
  readonly id: string;
  readonly rev?: string;
  readonly conflicts?: readonly string[];
}

/** The outcome of resolving the leaves of one document. */
export type LeavesOutcome<T extends object = AnyFields> =
  | { readonly ok: true; readonly id: string; readonly doc: Document<T> }
  | { readonly ok: false; readonly id: string; readonly error: CorduroyError };

/** Options for {@link resolveAllLeaves}. */
export interface ResolveAllLeavesOptions extends ResolveOptions {
  /** How many documents it resolves at the same time. @defaultValue 4 */
  readonly concurrency?: number;
}

/** The part of a `Database` that resolves the leaves of one document. */
interface LeavesResolver<T extends object> {
  readonly revs: {
    resolveLeaves(id: string, merge: Merge<T>, options?: ResolveOptions): Observable<Document<T>>;
  };
}

/**
 * Returns an operator that merges the leaves of every document that a live list emits:
 * `db.conflicts$().pipe(resolveAllLeaves(db, merge))`.
 *
 * - **Temperature:** that of the source.
 * - **Emits** one outcome for each document, in the order in which they finish. It never resolves the
 *   same document twice at the same time.
 * - **Completes** when the source has completed and every document is resolved.
 * - **Errors** with the source's error. A document that cannot be resolved is an outcome with
 *   `ok: false`; it is retried when its leaves change.
 * - **On unsubscribe** it aborts the requests in flight.
 *
 * ```
 * source:                        -a---b--     a: the documents x and y; b: y
 * resolveAllLeaves(db, merge):   ---x-y--     one outcome each
 * ```
 *
 * @param merge - Merges two leaves, as `db.revs.resolveLeaves` does.
 * @param options - `concurrency`, and `attempts` and `backoff` for each document.
 * @throws TypeError if `merge` is not a function, RangeError for a `concurrency` below 1.
 * @see https://docs.couchdb.org/en/stable/replication/conflicts.html
 */
export function resolveAllLeaves<T extends object = AnyFields>(
  db: LeavesResolver<T>,
  merge: Merge<T>,
  options: ResolveAllLeavesOptions = {},
): OperatorFunction<readonly ConflictedDocument[], LeavesOutcome<T>> {
  requireOptions(options, 'resolveAllLeaves', ['attempts', 'backoff', 'concurrency']);
  const { concurrency = 4, ...resolveOptions } = options;
  if (typeof merge !== 'function')
    throw invalidArgument('resolveAllLeaves: merge', 'a function', merge);
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw invalidArgument(
      'resolveAllLeaves: concurrency',
      'a whole number from 1',
      concurrency,
      RangeError,
    );
  }
  return (source) =>
    defer(() => {
      const inProgress = new Set<string>();
      // The leaves that each document had at its last attempt, and the merge: a list that shows only
      // these is a failure that would happen again, or the moment before the losers are deleted.
      const attempted = new Map<string, Set<string>>();
      let listed: ReadonlySet<string> = new Set();
      /** A document that comes back to the list is tried again, whatever leaves it has. */
      const forgetUnlisted = (ids: Iterable<string>): void => {
        for (const id of ids) if (!listed.has(id) && !inProgress.has(id)) attempted.delete(id);
      };
      return source.pipe(
        tap((list) => {
          listed = new Set(list.map(({ id }) => id));
          forgetUnlisted(attempted.keys());
        }),
        mergeMap((list) => from(list)),
        filter((doc) => !inProgress.has(doc.id) && !isKnown(doc, attempted.get(doc.id))),
        tap((doc) => {
          inProgress.add(doc.id);
          attempted.set(doc.id, new Set(leavesOf(doc)));
        }),
        mergeMap(
          ({ id }) =>
            db.revs.resolveLeaves(id, merge, resolveOptions).pipe(
              tap(({ _rev }) => attempted.get(id)?.add(_rev)),
              map((doc): LeavesOutcome<T> => ({ ok: true, id, doc })),
              catchError((error: CorduroyError) => of<LeavesOutcome<T>>({ ok: false, id, error })),
              tap(() => {
                inProgress.delete(id);
                forgetUnlisted([id]);
              }),
            ),
          concurrency,
        ),
      );
    });
}

function leavesOf({ rev, conflicts = [] }: ConflictedDocument): readonly string[] {
  return rev === undefined ? conflicts : [rev, ...conflicts];
}

function isKnown(doc: ConflictedDocument, known: ReadonlySet<string> | undefined): boolean {
  return known !== undefined && leavesOf(doc).every((rev) => known.has(rev));
}
