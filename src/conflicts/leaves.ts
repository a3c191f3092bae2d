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
import { httpError } from '../errors/from-response.ts';
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

/** The live leaf revisions of a document, the winner first: by CouchDB's own rule. */
export function leaves<T extends object = AnyFields>(
  db: DatabaseScope,
  id: string,
): Operation<Document<T>[]> {
  requireId(id);
  const path = `${db.path}${documentPath(id)}?open_revs=all&revs=true`;
  return operation(
    db.connection,
    () => ({ path }),
    (body, { headers, request }) => {
      const found = asArray(body).flatMap((answer) => {
        const { ok } = asObject(answer) as { readonly ok?: Document<T> };
        return ok === undefined ? [] : [ok];
      });
      const live = found.filter((leaf) => !('_deleted' in leaf));
      if (live.length > 0) return live.sort((a, b) => byWinner(a._rev, b._rev));
      const reason = found.length > 0 ? 'deleted' : 'missing';
      throw httpError({ status: 404, error: 'not_found', reason, headers, request });
    },
  );
}

const BACKOFF = { initialDelay: 20, maxDelay: 2000 };

/**
 * Makes one of all leaf revisions: writes what the merge makes of them as the next revision of the
 * winner, and deletes the losers, in one request. Starts again when the tree changes meanwhile.
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
  const { attempts = 5, backoff: pace = BACKOFF } = options;

  /** `rescued`: losers that were deleted although the winner could not be written then. */
  const attempt = (round: number, rescued: readonly Document<T>[]): Observable<Document<T>> =>
    leaves<T>(db, id).pipe(
      mergeMap((found) => {
        const [winner, ...losers] = found as [Document<T>, ...Document<T>[]];
        if (losers.length === 0 && rescued.length === 0) return of(winner);
        return mergeAll(db, winner, [...losers, ...rescued], merge).pipe(
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
                  return throwError(() => refused(db, id, error, reason));
                }
                const lost =
                  written?.ok === true ? [] : losers.filter((_, i) => removed[i]?.ok === true);
                return db.connection
                  .after(backoff(round, pace))
                  .pipe(mergeMap(() => attempt(round + 1, [...rescued, ...lost])));
              }),
            );
          }),
        );
      }),
    );
  return defer(() => attempt(1, []));
}

/** Merges the losers into the winner, one after the other; the attachments of all leaves stay. */
function mergeAll<T extends object>(
  db: DatabaseScope,
  winner: Document<T>,
  losers: readonly Document<T>[],
  merge: Merge<T>,
): Observable<Draft<T>> {
  const { _id: id, _rev: rev } = winner;
  const mergeInto = (local: Draft<T>, loser: Document<T>): Observable<Draft<T>> =>
    commonAncestor(db, winner, loser, merge.length > 2).pipe(
      mergeMap((base) => mergeOne(merge, id, local, { server: bare(loser), base })),
      map((outcome) => {
        if (outcome.type === 'merged') return outcome.doc;
        const { reason } = outcome.type === 'failed' ? outcome : { reason: 'the merge gave up' };
        throw refused(db, id, 'merge_failed', reason);
      }),
    );
  return losers
    .reduce(
      (before, loser) => before.pipe(mergeMap((local) => mergeInto(local, loser))),
      of<Draft<T>>(bare(winner)),
    )
    .pipe(
      mergeMap((merged) =>
        attachmentsOf(db, winner, losers).pipe(
          map((attachments) => {
            const doc = { ...bare(merged), _id: id, _rev: rev, ...attachments } as unknown;
            return doc as Draft<T>;
          }),
        ),
      ),
    );
}

/** Those of the winner as stubs; those that only losers have with their bytes, to be written anew. */
function attachmentsOf<T extends object>(
  db: DatabaseScope,
  winner: Document<T>,
  losers: readonly Document<T>[],
): Observable<{ readonly _attachments?: Attachments }> {
  const own = winner._attachments ?? {};
  const owners = losers.filter(({ _attachments: theirs = {} }) =>
    Object.keys(theirs).some((name) => !(name in own)),
  );
  return from(owners).pipe(
    concatMap(({ _id, _rev: rev }) => getDocument<T>(db, _id, { rev, attachments: true })),
    reduce((all, { _attachments: theirs = {} }) => ({ ...theirs, ...all }), own),
    map((all) => (Object.keys(all).length === 0 ? {} : { _attachments: all })),
  );
}

/** The body of the last revision that two leaves have in common, where the server still has it. */
function commonAncestor<T extends object>(
  db: DatabaseScope,
  a: Document<T>,
  b: Document<T>,
  wanted: boolean,
): Observable<Document<T> | null> {
  const known = new Set(ancestry(b));
  const rev = wanted ? ancestry(a).find((one) => known.has(one)) : undefined;
  if (rev === undefined) return of(null);
  return getDocument<T>(db, a._id, { rev }).pipe(
    catchError((error: unknown) => (isNotFound(error) ? of(null) : throwError(() => error))),
  );
}

function ancestry({ _revisions: history }: Document<object>): readonly string[] {
  return history === undefined ? [] : history.ids.map((hash, i) => `${history.start - i}-${hash}`);
}

/** A leaf as a merge sees it: without the ancestry that it was read with, and its attachments. */
function bare<D extends Draft<object>>(doc: D): D {
  const {
    _revisions: _history,
    _attachments: _files,
    ...rest
  } = doc as Draft<object> & {
    readonly _revisions?: unknown;
  };
  return rest as D;
}

function refused(db: DatabaseScope, id: string, error: string, reason: string): Conflict {
  const url = `${db.connection.url}${db.path}${documentPath(id)}`;
  return new Conflict({
    status: 409,
    error,
    reason,
    headers: {},
    request: { method: 'POST', url },
  });
}

/** A document with several leaves, as `db.conflicts$()` lists them. */
export interface ConflictedDocument {
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
  readonly revs: {
    resolveLeaves(id: string, merge: Merge<T>, options?: ResolveOptions): Observable<Document<T>>;
  };
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
): OperatorFunction<readonly ConflictedDocument[], LeavesOutcome<T>> {
  const { concurrency = 4, ...rounds } = options;
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
      const busy = new Set<string>();
      /** The leaves that each document had when it was taken on: the same are not taken on again. */
      const taken = new Map<string, string>();
      const forgetOthers = (list: readonly ConflictedDocument[]): void => {
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
            db.revs.resolveLeaves(id, merge, rounds).pipe(
              map((doc): LeavesOutcome<T> => ({ ok: true, id, doc })),
              catchError((error: CorduroyError) => of<LeavesOutcome<T>>({ ok: false, id, error })),
              tap(() => busy.delete(id)),
            ),
          concurrency,
        ),
      );
    });
}

function leavesOf({ rev, conflicts = [] }: ConflictedDocument): string {
  return [rev, ...conflicts].join();
}
