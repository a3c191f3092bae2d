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
import type { AttachmentRule, Merge } from './merge.ts';
import { refetch } from '../documents/refetch.ts';
import { writeMany } from '../documents/write-many.ts';
import { copyFields, plainDraft } from '../documents/write.ts';
import type { WriteOutcome } from '../documents/write.ts';
import { isCorduroyError, withResolution } from '../errors/corduroy-error.ts';
import { Conflict, isConflict } from '../errors/http-error.ts';
import { requireBackoff } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { recordRevision } from '../model/document.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';

/** A document that was not written, and the reason. */
export interface PendingWrite<T extends object = AnyFields> {
  readonly doc: Draft<T>;
  /**
   * `'conflict'`, `'merge_failed'`, `'unchanged'` (an `upsert` left it as it is), `'unknown'` (the request
   * failed), or another error name of CouchDB, such as `'forbidden'`.
   */
  readonly error: string;
  readonly reason: string;
}

/** Options for resolving conflicts. */
export interface ResolveOptions {
  /**
   * The maximum number of rounds. Each round sends one request to read and one to write.
   * @defaultValue 5
   */
  readonly attempts?: number;
  /** The delays between rounds, in milliseconds. @defaultValue `{ initialDelay: 20, maxDelay: 2000 }` */
  readonly backoff?: BackoffOptions;
}

const BACKOFF = { initialDelay: 20, maxDelay: 2000 };

/**
 * The outcome of a save: the documents that were written, and those that were not.
 *
 * Both maps are keyed by `_id`, in the order in which the documents were passed.
 */
export class ConflictResolution<T extends object = AnyFields, Out extends object = T> {
  /** The documents that were not written. */
  readonly pending: ReadonlyMap<string, PendingWrite<T>>;
  /** The documents that were written, with their new `_rev`. */
  readonly resolved: ReadonlyMap<string, Document<T | Out>>;
  readonly #db: DatabaseScope;
  /** Every outcome, in order. The maps cannot replace it: two documents of a save can share an id. */
  readonly #outcomes: readonly WriteOutcome<T>[];

  /** @internal */
  constructor(db: DatabaseScope, outcomes: readonly WriteOutcome<T>[]) {
    const pending = new Map<string, PendingWrite<T>>();
    const resolved = new Map<string, Document<T>>();
    for (const outcome of outcomes) {
      const { id, doc } = outcome;
      if (outcome.ok) resolved.set(id, savedDocument(doc, id, outcome.rev));
      else pending.set(id, { doc, error: outcome.error, reason: outcome.reason });
    }
    this.pending = pending;
    this.resolved = resolved;
    this.#db = db;
    this.#outcomes = outcomes;
  }

  /**
   * Resolves the conflicts: refetches the pending documents, merges each with the local copy, and saves
   * the merged documents. Repeats this for documents that conflict again.
   *
   * A round sends one request to read and one to write, however many documents are pending.
   *
   * - **Temperature:** cold. It reads and writes nothing until you subscribe.
   * - **Emits** the new resolution once: when no document is in conflict, when the merge has given up on
   *   the remaining ones, or when the attempts have run out. `pending` holds the remaining documents.
   * - **Completes** after that.
   * - **Errors** with the error of a request. A merge that throws fails its own document only, which
   *   stays pending with the error `'merge_failed'`.
   * - **On unsubscribe** it aborts the request in flight, and writes nothing more.
   *
   * The object that was saved receives the merged fields and the new `_rev`. Attachments of both copies
   * stay unless the merge decides otherwise; see {@link MergeResult}.
   *
   * @param merge - Receives the local copy, the server's copy (null if it is deleted), and the revision
   * that the local copy was read from. Returns a document or null, or a Promise or Observable of either.
   * @param options - `attempts`, and the `backoff` between the rounds.
   * @throws TypeError if `merge` is not a function, RangeError for `attempts` below 1.
   * @see https://docs.couchdb.org/en/stable/replication/conflicts.html
   */
  resolve(
    merge: Merge<T, Out>,
    options: ResolveOptions = {},
  ): Observable<ConflictResolution<T, Out>> {
    if (typeof merge !== 'function') throw invalidArgument('resolve: merge', 'a function', merge);
    return this.#resolve(merge, options, 'merge');
  }

  /**
   * Applies a change to the server's copies, instead of merging them with local ones.
   * @internal
   */
  apply(
    change: (server: Document<Out> | null) => ReturnType<Merge<T, Out>>,
    options: ResolveOptions,
  ): Observable<ConflictResolution<T, Out>> {
    return this.#resolve((_local, server) => change(server), options, 'exact');
  }

  #resolve(
    merge: Merge<T, Out>,
    options: ResolveOptions,
    rule: AttachmentRule,
  ): Observable<ConflictResolution<T, Out>> {
    requireOptions(options, 'resolve', ['attempts', 'backoff']);
    const { attempts = 5, backoff: backoffOptions = BACKOFF } = options;
    requireBackoff(backoffOptions, 'resolve: backoff');
    if (!Number.isSafeInteger(attempts) || attempts < 1) {
      throw invalidArgument('resolve: attempts', 'a whole number from 1', attempts, RangeError);
    }
    const { connection } = this.#db;
    const isFinished = ({ round, givenUp, resolution }: Round<T, Out>): boolean =>
      round >= attempts || resolution.#conflictIndexes(givenUp).length === 0;
    return of<Round<T, Out>>({ round: 0, givenUp: new Set(), resolution: this }).pipe(
      expand((previous) => {
        if (isFinished(previous)) return [];
        const next = defer(() => previous.resolution.#runRound(merge, previous, rule)).pipe(
          // The documents that earlier rounds have written are known.
          catchError((error: unknown) => {
            const isNew = isCorduroyError(error) && error.resolution === null;
            throw isNew ? withResolution(error, previous.resolution) : error;
          }),
        );
        return previous.round === 0
          ? next
          : connection.after(backoff(previous.round, backoffOptions)).pipe(mergeMap(() => next));
      }),
      filter(isFinished),
      take(1),
      map(({ resolution }) => resolution),
    );
  }

  /**
   * Overwrites the server's copies with the local copies. The changes of other clients are lost; prefer
   * {@link ConflictResolution.resolve}.
   *
   * Cold. It runs in rounds, emits and errors as {@link ConflictResolution.resolve} does.
   */
  overwrite(options: ResolveOptions = {}): Observable<ConflictResolution<T, Out>> {
    return this.resolve((local) => local, options);
  }

  /** Returns the indexes of the outcomes in conflict. Of outcomes with the same id, only the first. */
  #conflictIndexes(givenUp: ReadonlySet<number>): readonly number[] {
    const ids = new Set<string>();
    return this.#outcomes.flatMap((outcome, i) => {
      if (outcome.ok || outcome.error !== 'conflict' || ids.has(outcome.id)) return [];
      if (givenUp.has(i)) return [];
      ids.add(outcome.id);
      return [i];
    });
  }

  #runRound(
    merge: Merge<T, Out>,
    previous: Round<T, Out>,
    rule: AttachmentRule,
  ): Observable<Round<T, Out>> {
    const givenUp = new Set(previous.givenUp);
    const indexes = this.#conflictIndexes(givenUp);
    const conflicts = indexes.map((index) => {
      const { id, doc } = this.#outcomes[index] as WriteOutcome<T>;
      return { id, doc, base: doc._rev };
    });
    return refetch<Out>(this.#db, conflicts, merge.length > 2).pipe(
      mergeMap((copies) =>
        forkJoin(
          conflicts.map(({ id, doc }, i) =>
            mergeOne(merge, id, doc, copies[i] ?? { server: null, base: null }, rule),
          ),
        ),
      ),
      mergeMap((merges) => {
        const outcomes = [...this.#outcomes];
        const writes = merges.flatMap((merged, i) => {
          const { id, doc } = conflicts[i] as (typeof conflicts)[number];
          const index = indexes[i] as number;
          if (merged.type === 'merged') return [{ id, doc: merged.doc, index }];
          if (merged.type === 'given up') {
            givenUp.add(index);
            if (rule === 'exact') outcomes[index] = { ok: false, id, doc, ...UNCHANGED };
          }
          if (merged.type === 'failed') {
            outcomes[index] = { ok: false, id, doc, error: 'merge_failed', reason: merged.reason };
          }
          return [];
        });
        const finish = (): Round<T, Out> => ({
          round: previous.round + 1,
          givenUp,
          resolution: new ConflictResolution<T, Out>(this.#db, outcomes),
        });
        if (writes.length === 0) return of(finish());
        return writeMany<T>(this.#db, writes, {}).pipe(
          map(({ value, failure }) => {
            value.forEach((outcome, i) => {
              const { id, index } = writes[i] as (typeof writes)[number];
              const { doc } = this.#outcomes[index] as WriteOutcome<T>;
              outcomes[index] = outcome.ok
                ? { ...outcome, doc: updateInPlace(doc, outcome.doc, id, outcome.rev) }
                : { ...outcome, doc };
            });
            const round = finish();
            if (failure !== undefined) throw withResolution(failure, round.resolution);
            return round;
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

/** The outcome of a document that `upsert` leaves as it is. */
const UNCHANGED = { error: 'unchanged', reason: '`change` returned null' } as const;

interface Round<T extends object, Out extends object> {
  readonly round: number;
  /** The indexes of the outcomes that the merge gave up on: it is not called for them again. */
  readonly givenUp: ReadonlySet<number>;
  readonly resolution: ConflictResolution<T, Out>;
}

/**
 * Copies the written document onto the object that was passed to `save`. Returns the written document
 * if the object cannot hold it: if the object is frozen, for example, or has a field without a setter.
 * The object then keeps its old revision, so that another save of it cannot undo the merge.
 */
function updateInPlace<T extends object>(
  local: Draft<T>,
  saved: Draft<T>,
  id: string,
  rev: string | undefined,
): Draft<T> {
  try {
    if (copyFields(local, saved)) {
      recordRevision(local, id, rev);
      return local;
    }
  } catch {
    // A setter has thrown. The document is written, so this is no failure of the save.
  }
  recordRevision(saved, id, rev);
  return saved;
}

/** Returns the saved object with its new revision, or a copy if the object is frozen. */
function savedDocument<T extends object>(
  doc: Draft<T>,
  id: string,
  rev: string | undefined,
): Document<T> {
  if (doc._id === id && (rev === undefined || doc._rev === rev)) return doc as Document<T>;
  return { ...plainDraft(doc), _id: id, ...(rev !== undefined && { _rev: rev }) } as Document<T>;
}

/** Options for {@link resolveConflicts}. */
export interface ResolveConflictsOptions extends ResolveOptions {
  /** How many saves it resolves at the same time. @defaultValue 1 */
  readonly concurrency?: number;
}

/**
 * Returns an operator that resolves the conflicts of saves, of one document or of many:
 * `db.save(docs).pipe(resolveConflicts(merge))`.
 *
 * - **Temperature:** that of the source.
 * - **Emits** each resolution after resolving it; documents that could not be resolved are in `pending`.
 * - **Completes** when the source has completed and every save is resolved.
 * - **Errors** with the source's error, unless that is the `Conflict` of a save: then it resolves that
 *   save too. If that fails, it errors with a `Conflict` whose `resolution` holds the pending document.
 * - **On unsubscribe** it aborts the request in flight.
 *
 * ```
 * source:                        -p-|       p: a resolution with pending documents
 * resolveConflicts(merge):       ----r|     r: the same, resolved; two requests later
 * ```
 *
 * @throws TypeError if `merge` is not a function.
 */
export function resolveConflicts<T extends object = AnyFields>(
  merge: Merge<T>,
  options: ResolveConflictsOptions = {},
): MonoTypeOperatorFunction<ConflictResolution<T>> {
  requireOptions(options, 'resolveConflicts', ['attempts', 'backoff', 'concurrency']);
  const { concurrency = 1, ...resolveOptions } = options;
  if (typeof merge !== 'function')
    throw invalidArgument('resolveConflicts: merge', 'a function', merge);
  return (source) =>
    source.pipe(
      mergeMap((resolution) => resolution.resolve(merge, resolveOptions), concurrency),
      catchError((error: unknown): Observable<ConflictResolution<T>> => {
        if (!isConflict(error) || error.resolution === null) return throwError(() => error);
        // `Conflict` does not know T: its resolution is that of the save, which has these documents.
        const unresolved = error.resolution as ConflictResolution<T>;
        return unresolved
          .resolve(merge, resolveOptions)
          .pipe(
            mergeMap((resolved) =>
              resolved.pending.size === 0
                ? [resolved]
                : throwError(() => new Conflict(error, resolved)),
            ),
          );
      }),
    );
}
