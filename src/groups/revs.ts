import type { Observable } from 'rxjs';
import { leaves, resolveLeaves } from '../conflicts/leaves.ts';
import type { Merge } from '../conflicts/merge.ts';
import type { ResolveOptions } from '../conflicts/resolution.ts';
import { bulkGet, missingRevs, openRevs, revsDiff } from '../documents/revision-bodies.ts';
import type {
  BulkGetRef,
  BulkGetResult,
  OpenRevsOptions,
  OpenRevsWithAttachmentsOptions,
  RevisionOutcome,
  RevisionsById,
  RevsDifference,
} from '../documents/revision-bodies.ts';
import { currentRevision } from '../documents/revisions.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireUrlId } from '../http/url.ts';
import type { AnyFields, Document, JsonFields } from '../model/document.ts';

/**
 * The revision trees of a database: `db.revs`. Every method returns a cold Observable.
 *
 * A document has several live leaf revisions if it was edited in two databases before they replicated.
 *
 * @see https://docs.couchdb.org/en/stable/replication/conflicts.html
 */
export class Revs<T extends object = AnyFields, Out extends object = JsonFields<T>> {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Reads the current revision of a document, without its body. Emits null if the document is missing or
   * deleted.
   *
   * Cold. Emits once.
   *
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#head--db-docid
   */
  current(id: string): Operation<string | null> {
    return currentRevision(this.#db, id);
  }

  /**
   * Reads the live leaf revisions of a document, the winner first.
   *
   * Cold. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/replication/conflicts.html
   */
  leaves(id: string): Operation<Document<Out>[]> {
    requireUrlId(id, 'revs.leaves: id');
    return leaves<Out>(this.#db, id);
  }

  /**
   * Merges all leaf revisions of a document into one. Emits the merged document.
   *
   * Writes the merge as the next revision of the winner, and deletes the other leaves, in one
   * request. If the tree changes meanwhile, it starts again, and no leaf is lost.
   *
   * Cold. Emits a document without conflicts unchanged. Errors with `NotFound`. Errors with a `Conflict`
   * if the attempts run out, or if the merge throws or returns null: then it writes nothing.
   *
   * @param merge - Receives the winner (merged with the previous losers) and a loser. If it declares three
   * parameters, it also receives their last common revision, or null if the server no longer has it.
   * @param options - `attempts` (5 by default), and the `backoff` between them.
   * @see https://docs.couchdb.org/en/stable/replication/conflicts.html
   */
  resolveLeaves(
    id: string,
    merge: Merge<Out, Out>,
    options: ResolveOptions = {},
  ): Observable<Document<Out>> {
    requireUrlId(id, 'revs.resolveLeaves: id');
    return resolveLeaves(this.#db, id, merge, options);
  }

  /**
   * Reads revisions of a document, deleted ones too: those that `revs` names, or all leaves. Emits an
   * outcome for each: a missing revision is a value, not an error.
   *
   * Cold. With `latest`, it reads the leaves that descend from the named revisions.
   *
   * @see https://docs.couchdb.org/en/stable/api/document/common.html#get--db-docid
   */
  open(
    id: string,
    revs: readonly string[] | 'all',
    options: OpenRevsWithAttachmentsOptions = {},
  ): Operation<RevisionOutcome<Out>[]> {
    return openRevs<Out>(this.#db, id, revs, options);
  }

  /**
   * Reads revisions of many documents in one request: the named revision of each, or all its leaves.
   * Emits an outcome for each, in the order of `refs`.
   *
   * Cold. If you need the winners only, use {@link Database.get} with a list.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html#post--db-_bulk_get
   */
  bulkGet(
    refs: readonly (string | BulkGetRef)[],
    options: OpenRevsOptions = {},
  ): Operation<BulkGetResult<Out>[]> {
    return bulkGet<Out>(this.#db, refs, options);
  }

  /**
   * Reads which of these revisions the database lacks, by document, and from which of its revisions they
   * may descend. A replicator calls it before it copies.
   *
   * Cold. Emits a `Map` once, which has only the documents with missing revisions.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-revs-diff
   */
  diff(revs: RevisionsById): Operation<ReadonlyMap<string, RevsDifference>> {
    return revsDiff(this.#db, revs);
  }

  /**
   * Reads which of these revisions the database lacks, by document.
   *
   * Cold. Emits a `Map` once, which has only the documents with missing revisions.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-missing-revs
   */
  missing(revs: RevisionsById): Operation<ReadonlyMap<string, readonly string[]>> {
    return missingRevs(this.#db, revs);
  }
}
