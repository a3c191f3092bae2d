import {
  catchError,
  concatMap,
  defer,
  filter,
  from,
  map,
  mergeMap,
  of,
  reduce,
  tap,
  throwError,
} from 'rxjs';
import type { Observable, OperatorFunction } from 'rxjs';
import { mergeOne } from './merge.ts';
import type { Merge } from './merge.ts';
import type { ResolveOptions } from './resolution.ts';
import { getDocument } from '../documents/read.ts';
import { writeMany } from '../documents/write.ts';
import type { Write } from '../documents/write.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { httpError, redactHeaders } from '../errors/from-response.ts';
import { Conflict, isNotFound } from '../errors/http-error.ts';
import { asArray, asObject } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, requireId } from '../http/url.ts';
import { byWinner } from '../model/document.ts';
import type { AnyFields, Attachments, Document, Draft } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';

/** Reads the live leaf revisions of a document. The winner comes first, by CouchDB's own rule. */
export function leaves<T extends object = AnyFields>(
  db: DatabaseScope,
  id: string,
): Operation<Document<T>[]> {
  requireId(id);
  const path = `${db.path}${documentPath(id)}?open_revs=all&revs=true`;
  return operation(
    db.connection,
    () => ({ path }),
    (body, { headers: received, redact, request }) => {
      const allLeaves = asArray(body).flatMap((answer) => {
        const { ok } = asObject(answer) as { readonly ok?: Document<T> };
        return ok === undefined ? [] : [ok];
      });
      const live = allLeaves.filter((leaf) => !('_deleted' in leaf));
      if (live.length > 0) return live.sort((a, b) => byWinner(a._rev, b._rev));
      const reason = allLeaves.length > 0 ? 'deleted' : 'missing';
      const headers = redactHeaders(received, redact);
      throw httpError({ status: 404, error: 'not_found', reason, headers, request });
    },
  );
}

const BACKOFF = { initialDelay: 20, maxDelay: 2000 };

/**
 * Merges all leaf revisions into one. Writes the merge as the next revision of the winner and deletes
 * the losers, in one request. Starts again if the revision tree changes meanwhile.
 */
export function resolveLeaves<T extends object>(
  db: DatabaseScope,
  id: string,
  merge: Merge<T>,
  options: ResolveOptions,
): Observable<Document<T>> {
  requireId(id);
  if (typeof merge !== 'function')
    throw invalidArgument('resolveLeaves: merge', 'a function', merge);
  const { attempts = 5, backoff: backoffOptions = BACKOFF } = options;

  // `deletedLosers` were deleted although the winner could not be written: the merge still needs them.
  const attempt = (round: number, deletedLosers: readonly Document<T>[]): Observable<Document<T>> =>
    leaves<T>(db, id).pipe(
      mergeMap((live) => {
        const [winner, ...losers] = live as [Document<T>, ...Document<T>[]];
        if (losers.length === 0 && deletedLosers.length === 0) return of(winner);
        return mergeLosers(db, winner, [...losers, ...deletedLosers], merge).pipe(
          mergeMap((doc) => {
            const tombstones = losers.map(({ _rev }): Write<T> => ({
              id,
              doc: { _id: id, _rev, _deleted: true } as unknown as Draft<T>,
            }));
            return writeMany<T>(db, [{ id, doc }, ...tombstones], {}).pipe(
              mergeMap(({ value }) => {
                const [written, ...removed] = value;
                if (written?.ok === true && removed.every(({ ok }) => ok)) {
                  return of({ ...doc, _rev: written.rev } as Document<T>);
                }
                const failed = value.find((outcome) => !outcome.ok && outcome.error !== 'conflict');
                if (failed !== undefined || round >= attempts) {
                  const { error = 'conflict', reason = '' } = (failed ?? {}) as {
                    error?: string;
                    reason?: string;
                  };
                  return throwError(() => conflictError(db, id, error, reason));
                }
                const newlyDeleted =
                  written?.ok === true ? [] : losers.filter((_, i) => removed[i]?.ok === true);
                return db.connection
                  .after(backoff(round, backoffOptions))
                  .pipe(mergeMap(() => attempt(round + 1, [...deletedLosers, ...newlyDeleted])));
              }),
            );
          }),
        );
      }),
    );
  return defer(() => attempt(1, []));
}

/** Merges the losers into the winner, one after the other. Keeps the attachments of all leaves. */
function mergeLosers<T extends object>(
  db: DatabaseScope,
  winner: Document<T>,
  losers: readonly Document<T>[],
  merge: Merge<T>,
): Observable<Draft<T>> {
  const { _id: id, _rev: rev } = winner;
  const mergeInto = (local: Draft<T>, loser: Document<T>): Observable<Draft<T>> =>
    commonAncestor(db, winner, loser, merge.length > 2).pipe(
      mergeMap((base) => mergeOne(merge, id, local, { server: bodyOf(loser), base })),
      map((outcome) => {
        if (outcome.type === 'merged') return outcome.doc;
        const { reason } = outcome.type === 'failed' ? outcome : { reason: 'the merge gave up' };
        throw conflictError(db, id, 'merge_failed', reason);
      }),
    );
  return losers
    .reduce(
      (merged, loser) => merged.pipe(mergeMap((local) => mergeInto(local, loser))),
      of<Draft<T>>(bodyOf(winner)),
    )
    .pipe(
      mergeMap((merged) =>
        readAttachments(db, winner, losers).pipe(
          map((attachments) => {
            const doc = { ...bodyOf(merged), _id: id, _rev: rev, ...attachments } as unknown;
            return doc as Draft<T>;
          }),
        ),
      ),
    );
}

/**
 * Collects the attachments of all leaves: the winner's as stubs, and those that only losers have with
 * their bytes, which must be written again.
 */
function readAttachments<T extends object>(
  db: DatabaseScope,
  winner: Document<T>,
  losers: readonly Document<T>[],
): Observable<{ readonly _attachments?: Attachments }> {
  const winnerStubs = winner._attachments ?? {};
  const losersWithMore = losers.filter(({ _attachments: stubs = {} }) =>
    Object.keys(stubs).some((name) => !(name in winnerStubs)),
  );
  return from(losersWithMore).pipe(
    concatMap(({ _id, _rev: rev }) => getDocument<T>(db, _id, { rev, attachments: true })),
    reduce((all, { _attachments: inline = {} }) => ({ ...inline, ...all }), winnerStubs),
    map((all) => (Object.keys(all).length === 0 ? {} : { _attachments: all })),
  );
}

/** Reads the last common revision of two leaves. Emits null if the server has compacted it away. */
function commonAncestor<T extends object>(
  db: DatabaseScope,
  a: Document<T>,
  b: Document<T>,
  needed: boolean,
): Observable<Document<T> | null> {
  const ancestorsOfB = new Set(ancestry(b));
  const rev = needed ? ancestry(a).find((ancestor) => ancestorsOfB.has(ancestor)) : undefined;
  if (rev === undefined) return of(null);
  return getDocument<T>(db, a._id, { rev }).pipe(
    catchError((error: unknown) => (isNotFound(error) ? of(null) : throwError(() => error))),
  );
}

function ancestry({ _revisions: history }: Document<object>): readonly string[] {
  return history === undefined ? [] : history.ids.map((hash, i) => `${history.start - i}-${hash}`);
}

/** Returns a leaf as the merge receives it: without its ancestry and its attachments. */
function bodyOf<D extends Draft<object>>(doc: D): D {
  const {
    _revisions: _history,
    _attachments: _stubs,
    ...rest
  } = doc as Draft<object> & {
    readonly _revisions?: unknown;
  };
  return rest as D;
}

function conflictError(db: DatabaseScope, id: string, error: string, reason: string): Conflict {
  const url = `${db.connection.url}${db.path}${documentPath(id)}`;
  return new Conflict({
    status: 409,
    error,
    reason,
    headers: {},
    request: { method: 'POST', url },
  });
}

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
      // The leaves that each document had at its last attempt: the same leaves are not retried.
      const attempted = new Map<string, string>();
      const forgetUnlisted = (list: readonly ConflictedDocument[]): void => {
        const listed = new Set(list.map(({ id }) => id));
        for (const id of attempted.keys())
          if (!listed.has(id) && !inProgress.has(id)) attempted.delete(id);
      };
      return source.pipe(
        tap(forgetUnlisted),
        mergeMap((list) => from(list)),
        filter((doc) => !inProgress.has(doc.id) && attempted.get(doc.id) !== leavesKey(doc)),
        tap((doc) => {
          inProgress.add(doc.id);
          attempted.set(doc.id, leavesKey(doc));
        }),
        mergeMap(
          ({ id }) =>
            db.revs.resolveLeaves(id, merge, resolveOptions).pipe(
              map((doc): LeavesOutcome<T> => ({ ok: true, id, doc })),
              catchError((error: CorduroyError) => of<LeavesOutcome<T>>({ ok: false, id, error })),
              tap(() => inProgress.delete(id)),
            ),
          concurrency,
        ),
      );
    });
}

function leavesKey({ rev, conflicts = [] }: ConflictedDocument): string {
  return [rev, ...conflicts].join();
}
