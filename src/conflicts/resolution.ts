/**
 * The conflicts room: what became of writes, and what to do about those that met a newer revision.
 * It sees documents, http and below.
 */
import { defer, forkJoin, from, isObservable, map, mergeMap, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { getDocuments } from '../documents/read.ts';
import { writeMany } from '../documents/write.ts';
import type { Write, WriteOutcome } from '../documents/write.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { noteRevision } from '../model/document.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';
import { mustBe } from '../model/must-be.ts';

/** A document that was not written, and why. */
export interface PendingWrite<T extends object = AnyFields> {
  readonly doc: Draft<T>;
  /** `'conflict'`, or another word of CouchDB's: `'forbidden'`, `'unauthorized'`… */
  readonly error: string;
  readonly reason: string;
}

/**
 * Makes one document of two: of the one that could not be saved, and the server's, which is null
 * where it was deleted. Null leaves the document pending.
 */
export type Merge<T extends object = AnyFields> = (
  local: Draft<T>,
  server: Document<T> | null,
) => Merged<T> | Promise<Merged<T>> | Observable<Merged<T>>;

/** A merged document, or null where merging gave up. */
type Merged<T extends object> = Draft<T> | null;

/**
 * What became of a save. The maps are keyed by `_id`, in the order in which the documents were
 * given.
 */
export class ConflictResolution<T extends object = AnyFields> {
  /** The documents that were not written. */
  readonly pending: ReadonlyMap<string, PendingWrite<T>>;
  /** The documents that were written, with their new `_rev`. */
  readonly resolved: ReadonlyMap<string, Document<T>>;
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(
    db: DatabaseScope,
    outcomes: readonly WriteOutcome<T>[],
    before: ReadonlyMap<string, Document<T>> = new Map(),
  ) {
    const pending = new Map<string, PendingWrite<T>>();
    const resolved = new Map<string, Document<T>>(before);
    for (const outcome of outcomes) {
      const { id, doc } = outcome;
      if (outcome.ok) resolved.set(id, written(doc, id, outcome.rev));
      else pending.set(id, { doc, error: outcome.error, reason: outcome.reason });
    }
    this.pending = pending;
    this.resolved = resolved;
    this.#db = db;
  }

  /**
   * Refetches the documents in conflict, merges each with the local copy, and saves what the merge
   * made of them: one request each. Emits the resolution after that.
   *
   * Cold: nothing is read or written until it is subscribed to. A document whose merge returns null,
   * and one that was changed once more meanwhile, is pending still. The object that was saved is
   * given the merged fields and the new `_rev`. Errors with what the requests or the merge throw.
   *
   * @param merge - Given the local and the server's copy (null where it was deleted); returns a
   * document, null, or a Promise or Observable of either.
   */
  resolve(merge: Merge<T>): Observable<ConflictResolution<T>> {
    if (typeof merge !== 'function') throw mustBe('resolve: merge', 'a function', merge);
    return defer(() => {
      const conflicts = [...this.pending].filter(([, { error }]) => error === 'conflict');
      if (conflicts.length === 0) return of(this);
      return getDocuments<T>(
        this.#db,
        conflicts.map(([id]) => id),
        {},
      ).pipe(
        mergeMap((servers) =>
          forkJoin(
            conflicts.map(([id, { doc }], i) => {
              const server = servers[i] ?? null;
              return toObservable(merge(doc, server)).pipe(
                map((merged) => ({ id, doc, rev: server?._rev, merged })),
              );
            }),
          ),
        ),
        mergeMap((merges) => this.#save(merges)),
      );
    });
  }

  /**
   * Writes the local copies over the server's, whatever is in those: the force that merging spares.
   *
   * Cold, as {@link ConflictResolution.resolve}.
   */
  overwrite(): Observable<ConflictResolution<T>> {
    return this.resolve((local) => local);
  }

  #save(merges: readonly MergedWrite<T>[]): Observable<ConflictResolution<T>> {
    const writes = merges.flatMap(({ id, rev, merged }): Write<T>[] => {
      if (merged === null) return [];
      const { _rev: _old, ...fields } = merged;
      const doc = { ...fields, _id: id, ...(rev !== undefined && { _rev: rev }) } as unknown;
      return [{ id, doc: doc as Draft<T> }];
    });
    if (writes.length === 0) return of(this);
    return writeMany<T>(this.#db, writes, {}).pipe(
      map(({ value }) => {
        const outcomes = new Map(value.map((outcome) => [outcome.id, outcome]));
        const next = [...this.pending].map(([id, { doc, error, reason }]): WriteOutcome<T> => {
          const outcome = outcomes.get(id);
          if (outcome === undefined) return { ok: false, id, doc, error, reason };
          if (!outcome.ok) return { ...outcome, doc };
          return { ...outcome, doc: adopt(doc, outcome.doc, id, outcome.rev) };
        });
        return new ConflictResolution(this.#db, next, this.resolved);
      }),
    );
  }

  toString(): string {
    if (this.pending.size > 0) return `<Conflict: ${[...this.pending.keys()].join(', ')}>`;
    const { size } = this.resolved;
    return `<Success: ${size} ${size === 1 ? 'doc' : 'docs'} updated>`;
  }
}

interface MergedWrite<T extends object> {
  readonly id: string;
  readonly rev: string | undefined;
  readonly merged: Draft<T> | null;
}

/** Gives the object that was saved what was written in its stead, if it can be written to. */
function adopt<T extends object>(
  local: Draft<T>,
  saved: Draft<T>,
  id: string,
  rev: string | undefined,
): Draft<T> {
  if (!Object.isExtensible(local)) {
    noteRevision(saved, id, rev);
    return saved;
  }
  for (const field of Object.keys(local))
    if (!(field in saved)) Reflect.deleteProperty(local, field);
  Object.assign(local, saved);
  noteRevision(local, id, rev);
  return local;
}

function toObservable<R>(result: R | Promise<R> | Observable<R>): Observable<R> {
  if (isObservable(result)) return result;
  return isPromise(result) ? from(result) : of(result);
}

function isPromise<R>(result: R | Promise<R>): result is Promise<R> {
  return typeof result === 'object' && result !== null && 'then' in result;
}

/** The object that was saved, which carries its new revision; a copy of one that cannot. */
function written<T extends object>(
  doc: Draft<T>,
  id: string,
  rev: string | undefined,
): Document<T> {
  if (doc._id === id && (rev === undefined || doc._rev === rev)) return doc as Document<T>;
  return { ...doc, _id: id, ...(rev !== undefined && { _rev: rev }) } as Document<T>;
}
