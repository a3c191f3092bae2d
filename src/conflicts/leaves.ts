import { catchError, concatMap, defer, from, map, mergeMap, of, reduce, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { attachmentOf, isSameAttachment } from './merge-attachments.ts';
import { mergeOne } from './merge.ts';
import type { Merge } from './merge.ts';
import type { ResolveOptions } from './resolution.ts';
import { getDocument } from '../documents/read.ts';
import { writeMany } from '../documents/write-many.ts';
import { refusalOf, writeOne } from '../documents/write.ts';
import type { Write } from '../documents/write.ts';
import { httpError, redactHeaders } from '../errors/from-response.ts';
import { isConflict, isNotFound } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import { asArray, asObject } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { requireBackoff } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt, documentPath, requireId } from '../http/url.ts';
import { byWinner } from '../model/document.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';
import { equal } from '../model/json.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';

/** Reads the live leaf revisions of a document. The winner comes first, by CouchDB's own rule. */
export function leaves<T extends object = AnyFields>(
  db: DatabaseScope,
  id: string,
): Operation<Document<T>[]> {
  requireId(id);
  const address = documentAt(db, id, '?open_revs=all&revs=true');
  return operation(
    db.connection,
    () => address,
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
 * Merges all leaf revisions into one: writes the merge as the next revision of the winner, and deletes
 * the losers when that is known to be written. Starts again if the revision tree changes meanwhile.
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
  requireOptions(options, 'resolveLeaves', ['attempts', 'backoff']);
  const { attempts = 5, backoff: backoffOptions = BACKOFF } = options;
  requireBackoff(backoffOptions, 'resolveLeaves: backoff');

  const attempt = (round: number, merged: MergedLosers<T>): Observable<Document<T>> => {
    const again = (error: unknown, next: MergedLosers<T>): Observable<Document<T>> =>
      isConflict(error) && round < attempts
        ? db.connection
            .after(backoff(round, backoffOptions))
            .pipe(mergeMap(() => attempt(round + 1, next)))
        : throwError(() => error);
    return leaves<T>(db, id).pipe(
      mergeMap((live) => {
        const [winner, ...losers] = live as [Document<T>, ...Document<T>[]];
        if (losers.length === 0) return of(withoutHistory(winner));
        const earlier = merged.into !== null && ancestry(winner).includes(merged.into);
        const known = earlier ? merged : NOTHING_MERGED;
        return mergeLosers(db, winner, losers, merge, known).pipe(
          mergeMap((draft) =>
            writeMerge(db, winner, draft).pipe(
              map((doc) => ({
                doc,
                merged: { into: doc._rev, losers: [...known.losers, ...losers] },
              })),
              catchError((error: unknown) =>
                again(error, known).pipe(map((finished) => ({ finished }))),
              ),
            ),
          ),
          mergeMap((written) => {
            if ('finished' in written) return of(written.finished);
            return deleteLosers(db, id, losers).pipe(
              map(() => written.doc),
              catchError((error: unknown) => again(error, written.merged)),
            );
          }),
        );
      }),
    );
  };
  return defer(() => attempt(1, NOTHING_MERGED));
}

/** The losers that earlier rounds have merged, and the revision that holds them. */
interface MergedLosers<T extends object> {
  readonly into: string | null;
  readonly losers: readonly Document<T>[];
}

const NOTHING_MERGED = { into: null, losers: [] } as const;

/** Writes a merge as the next revision of the winner, unless it changes nothing. */
function writeMerge<T extends object>(
  db: DatabaseScope,
  winner: Document<T>,
  doc: Draft<T>,
): Observable<Document<T>> {
  const { _id: id, _rev: rev } = winner;
  if (equal(withoutHistory(winner), { ...doc, _rev: rev })) return of(withoutHistory(winner));
  return writeOne<T>(db, { id, doc }, {}).pipe(
    map(({ value }) => ({ ...doc, _rev: value.ok ? value.rev : rev }) as Document<T>),
  );
}

/** Deletes leaves that are merged. Errors with the refusal of the first that could not be deleted. */
function deleteLosers<T extends object>(
  db: DatabaseScope,
  id: string,
  losers: readonly Document<T>[],
): Observable<unknown> {
  const tombstones = losers.map(({ _rev }): Write<T> => ({
    id,
    doc: { _id: id, _rev, _deleted: true } as unknown as Draft<T>,
  }));
  return writeMany<T>(db, tombstones, {}).pipe(
    map(({ value, failure }) => {
      if (failure !== undefined) throw failure;
      const refused = value.filter((outcome) => !outcome.ok);
      const worst = refused.find(({ error }) => error !== 'conflict') ?? refused[0];
      if (worst !== undefined) throw refusalOf(db, worst);
      return value;
    }),
  );
}

/** Merges the losers into the winner, one after the other, with the attachments of all. */
function mergeLosers<T extends object>(
  db: DatabaseScope,
  winner: Document<T>,
  losers: readonly Document<T>[],
  merge: Merge<T>,
  earlier: MergedLosers<T>,
): Observable<Draft<T>> {
  const { _id: id, _rev: rev } = winner;
  const merged = new Map(earlier.losers.map((loser) => [loser._rev, loser]));
  const mergeInto = (local: Draft<T>, loser: Document<T>): Observable<Draft<T>> => {
    // An earlier round has merged this leaf, or one that it descends from: the latest one counts.
    const base = ancestry(loser)
      .map((ancestor) => merged.get(ancestor))
      .find((one) => one !== undefined);
    if (base?._rev === loser._rev) return of(local);
    const base$ = base === undefined ? commonAncestor(db, winner, loser, merge) : of(base);
    return base$.pipe(
      mergeMap((common) =>
        mergeOne(merge, id, local, { server: withoutHistory(loser), base: common }, 'leaves'),
      ),
      map((outcome) => {
        if (outcome.type === 'merged') return outcome.doc;
        const { reason } = outcome.type === 'failed' ? outcome : { reason: 'the merge gave up' };
        throw mergeFailed(db, id, reason);
      }),
    );
  };
  return losers
    .reduce(
      (local$, loser) => local$.pipe(mergeMap((local) => mergeInto(local, loser))),
      of<Draft<T>>(withoutHistory(winner)),
    )
    .pipe(mergeMap((doc) => withLosersBytes(db, { ...doc, _id: id, _rev: rev }, winner, losers)));
}

/** Replaces the stubs that only losers have by their bytes, which must be written again. */
function withLosersBytes<T extends object>(
  db: DatabaseScope,
  doc: Draft<T>,
  winner: Document<T>,
  losers: readonly Document<T>[],
): Observable<Draft<T>> {
  const { _attachments: stubs = {} } = doc;
  const missing = Object.entries(stubs).filter(
    ([name, one]) =>
      !('data' in one) && !isSameAttachment(one, attachmentOf(winner._attachments, name)),
  );
  const ownerOf = ([name, one]: (typeof missing)[number]): string | undefined =>
    losers.find(({ _attachments: theirs }) => isSameAttachment(one, attachmentOf(theirs, name)))
      ?._rev;
  const owners = new Set(missing.map(ownerOf).filter((rev) => rev !== undefined));
  if (owners.size === 0) return of(doc);
  return from(owners).pipe(
    concatMap((rev) => getDocument<T>(db, winner._id, { rev, attachments: true })),
    reduce((found, owner) => [...found, owner], [] as Document<T>[]),
    map((found) => {
      const bytes = missing.map((entry) => {
        const [name] = entry;
        const rev = ownerOf(entry);
        const owner = found.find(({ _rev }) => _rev === rev);
        return [name, attachmentOf(owner?._attachments, name)] as const;
      });
      return { ...doc, _attachments: { ...stubs, ...Object.fromEntries(bytes) } } as Draft<T>;
    }),
  );
}

/** Reads the last common revision of two leaves. Emits null if the server has compacted it away. */
function commonAncestor<T extends object>(
  db: DatabaseScope,
  a: Document<T>,
  b: Document<T>,
  merge: Merge<T>,
): Observable<Document<T> | null> {
  const ancestorsOfB = new Set(ancestry(b));
  const needed = merge.length > 2;
  const rev = needed ? ancestry(a).find((ancestor) => ancestorsOfB.has(ancestor)) : undefined;
  if (rev === undefined) return of(null);
  return getDocument<T>(db, a._id, { rev }).pipe(
    catchError((error: unknown) => (isNotFound(error) ? of(null) : throwError(() => error))),
  );
}

function ancestry({ _rev, _revisions: history }: Document<object>): readonly string[] {
  return history === undefined
    ? [_rev]
    : history.ids.map((hash, i) => `${history.start - i}-${hash}`);
}

/** Returns a leaf as the merge receives it. */
function withoutHistory<D extends Draft<object>>(doc: D): D {
  const { _revisions: _history, ...rest } = doc as Draft<object> & {
    readonly _revisions?: unknown;
  };
  return rest as D;
}

function mergeFailed(db: DatabaseScope, id: string, reason: string): HTTPError {
  const url = `${db.connection.url}${db.path}${documentPath(id)}`;
  const request = { method: 'POST', url };
  return httpError({ status: 409, error: 'merge_failed', reason, headers: {}, request });
}
