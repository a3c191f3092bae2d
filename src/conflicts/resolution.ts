import {
  catchError,
  defer,
  expand,
  filter,
  forkJoin,
  map,
  mergeMap,
  of,
  take,
  throwError,
} from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import { mergeOne } from './merge.ts';
import type { Merge } from './merge.ts';
import { refetch } from './refetch.ts';
import { writeMany } from '../documents/write.ts';
import type { WriteOutcome } from '../documents/write.ts';
import { Conflict, isConflict } from '../errors/http-error.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { recordRevision } from '../model/document.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';

/**
 * The conflicts room: what became of writes, and what to do about those that met a newer revision.
 * It sees documents, http and below.
 */

/** A document that was not written, and why. */
export interface PendingWrite<T extends object = AnyFields> {
  readonly doc: Draft<T>;
  /** `'conflict'`, `'merge_failed'`, or another word of CouchDB's: `'forbidden'`… */
  readonly error: string;
  readonly reason: string;
}

/** How long merging is tried. */
export interface ResolveOptions {
  /**
   * How many rounds there are at most, of one request to read and one to write each.
   * @defaultValue 5
   */
  readonly attempts?: number;
  /** How long to wait between rounds. @defaultValue `{ initialDelay: 20, maxDelay: 2000 }` */
  readonly backoff?: BackoffOptions;
}

const BACKOFF = { initialDelay: 20, maxDelay: 2000 };

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
  /** Every outcome, in order: two documents of one call can share an id. */
  readonly #outcomes: readonly WriteOutcome<T>[];

  /** @internal */
  constructor(db: DatabaseScope, outcomes: readonly WriteOutcome<T>[]) {
    const pending = new Map<string, PendingWrite<T>>();
    const resolved = new Map<string, Document<T>>();
    for (const outcome of outcomes) {
      const { id, doc } = outcome;
      if (outcome.ok) resolved.set(id, written(doc, id, outcome.rev));
      else pending.set(id, { doc, error: outcome.error, reason: outcome.reason });
    }
    this.pending = pending;
    this.resolved = resolved;
    this.#db = db;
    this.#outcomes = outcomes;
  }

  /**
   * Refetches the documents in conflict, merges each with the local copy, and saves what the merge
   * made of them; and again for those that were changed once more meanwhile. A round is one request
   * to read and one to write, however many documents there are. Emits the resolution after that.
   *
   * - **Temperature:** cold. Nothing is read or written until it is subscribed to.
   * - **Emits** once, when nothing is in conflict, the merge has given up on what is, or the
   *   attempts have run out; what is pending still is in `pending`.
   * - **Errors** with what the requests do. A merge that throws fails its document alone, which is
   *   then pending with `'merge_failed'`.
   * - **On unsubscribe** the request in flight is aborted, and nothing more is written.
   *
   * The object that was saved is given the merged fields and the new `_rev`. Attachments that the
   * merge says nothing of stay.
   *
   * @param merge - Given the local copy, the server's (null where it was deleted), and what both were
   * made of; returns a document, null, or a Promise or Observable of either.
   */
  resolve(merge: Merge<T>, options: ResolveOptions = {}): Observable<ConflictResolution<T>> {
    if (typeof merge !== 'function') throw invalidArgument('resolve: merge', 'a function', merge);
    const { attempts = 5, backoff: pace = BACKOFF } = options;
    if (!Number.isSafeInteger(attempts) || attempts < 1) {
      throw invalidArgument('resolve: attempts', 'a whole number from 1', attempts, RangeError);
    }
    const { connection } = this.#db;
    const isOver = ({ round, givenUp, resolution }: Round<T>): boolean =>
      round >= attempts || resolution.#conflicts(givenUp).length === 0;
    return of<Round<T>>({ round: 0, givenUp: new Set(), resolution: this }).pipe(
      expand((last) => {
        if (isOver(last)) return [];
        const next = defer(() => last.resolution.#round(merge, last));
        return last.round === 0
          ? next
          : connection.after(backoff(last.round, pace)).pipe(mergeMap(() => next));
      }),
      filter(isOver),
      take(1),
      map(({ resolution }) => resolution),
    );
  }

  /**
   * Writes the local copies over the server's, whatever is in those: the force that merging spares.
   *
   * Cold, and in rounds, as {@link ConflictResolution.resolve}.
   */
  overwrite(options: ResolveOptions = {}): Observable<ConflictResolution<T>> {
    return this.resolve((local) => local, options);
  }

  /** Where the outcomes in conflict are; of those that share an id the first, for one at a time. */
  #conflicts(givenUp: ReadonlySet<number>): readonly number[] {
    const ids = new Set<string>();
    return this.#outcomes.flatMap((outcome, i) => {
      if (outcome.ok || outcome.error !== 'conflict' || ids.has(outcome.id)) return [];
      if (givenUp.has(i)) return [];
      ids.add(outcome.id);
      return [i];
    });
  }

  #round(merge: Merge<T>, last: Round<T>): Observable<Round<T>> {
    const givenUp = new Set(last.givenUp);
    const places = this.#conflicts(givenUp);
    const wanted = places.map((place) => {
      const { id, doc } = this.#outcomes[place] as WriteOutcome<T>;
      return { id, doc, base: doc._rev };
    });
    return refetch<T>(this.#db, wanted, merge.length > 2).pipe(
      mergeMap((copies) =>
        forkJoin(
          wanted.map(({ id, doc }, i) =>
            mergeOne(merge, id, doc, copies[i] ?? { server: null, base: null }),
          ),
        ),
      ),
      mergeMap((merges) => {
        const next = [...this.#outcomes];
        const writes = merges.flatMap((merged, i) => {
          const { id, doc } = wanted[i] as (typeof wanted)[number];
          const place = places[i] as number;
          if (merged.type === 'merged') return [{ id, doc: merged.doc, place }];
          if (merged.type === 'given up') givenUp.add(place);
          if (merged.type === 'failed') {
            next[place] = { ok: false, id, doc, error: 'merge_failed', reason: merged.reason };
          }
          return [];
        });
        const finish = (): Round<T> => ({
          round: last.round + 1,
          givenUp,
          resolution: new ConflictResolution(this.#db, next),
        });
        if (writes.length === 0) return of(finish());
        return writeMany<T>(this.#db, writes, {}).pipe(
          map(({ value }) => {
            value.forEach((outcome, i) => {
              const { id, place } = writes[i] as (typeof writes)[number];
              const { doc } = this.#outcomes[place] as WriteOutcome<T>;
              next[place] = outcome.ok
                ? { ...outcome, doc: adopt(doc, outcome.doc, id, outcome.rev) }
                : { ...outcome, doc };
            });
            return finish();
          }),
        );
      }),
    );
  }

  toString(): string {
    if (this.pending.size > 0) return `<Conflict: ${[...this.pending.keys()].join(', ')}>`;
    const { size } = this.resolved;
    return `<Success: ${size} ${size === 1 ? 'doc' : 'docs'} updated>`;
  }
}

interface Round<T extends object> {
  readonly round: number;
  /** Where the merge has given up: it is not asked again. */
  readonly givenUp: ReadonlySet<number>;
  readonly resolution: ConflictResolution<T>;
}

/** Gives the object that was saved what was written in its stead, if it can be written to. */
function adopt<T extends object>(
  local: Draft<T>,
  saved: Draft<T>,
  id: string,
  rev: string | undefined,
): Draft<T> {
  if (!Object.isExtensible(local)) {
    recordRevision(saved, id, rev);
    return saved;
  }
  for (const field of Object.keys(local)) {
    if (!(field in saved)) Reflect.deleteProperty(local, field);
  }
  Object.assign(local, saved);
  recordRevision(local, id, rev);
  return local;
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
  if (typeof merge !== 'function')
    throw invalidArgument('resolveConflicts: merge', 'a function', merge);
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
