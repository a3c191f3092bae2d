import { getDocument } from '../documents/read.ts';
import type { GetOptions } from '../documents/read.ts';
import { copyDocument, deleteDocument } from '../documents/revisions.ts';
import type { DeleteResult, WriteResult } from '../documents/revisions.ts';
import { requireSameId, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt, requireId } from '../http/url.ts';
import { recordRevision } from '../model/document.ts';
import type { Document } from '../model/document.ts';
import type { View } from '../model/view.ts';
import { listDocuments } from '../queries/all-docs.ts';
import type { AllDocsOptions, AllDocsRow } from '../queries/all-docs.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { documentOf } from '../queries/define-design.ts';
import type { AnyDesign } from '../queries/define-design.ts';
import { deploy } from '../queries/deploy.ts';
import type { DeployOptions, DeployResult } from '../queries/deploy.ts';
import { drift, requireDesign } from '../queries/drift.ts';
import type { DesignDrift } from '../queries/drift.ts';
import type { DesignDocument } from '../queries/design-document.ts';
import { designInfo } from '../queries/design-functions.ts';
import type { DesignInfo } from '../queries/design-functions.ts';

/** A design document: its name, or the document. */
export type DesignRef = string | { readonly _id: `_design/${string}`; readonly _rev?: string };

/**
 * The design documents of a database: `db.designs`.
 *
 * Every method returns a cold `Operation`. A name may begin with `_design/`, but need not.
 *
 * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html
 */
export class Designs {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Reads a design document.
   *
   * Cold. Emits once. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html#get--db-_design-ddoc
   */
  get(name: string, options: GetOptions = {}): Operation<Document<DesignDocument>> {
    return getDocument<DesignDocument>(this.#db, designId(name, 'designs.get'), options);
  }

  /**
   * Saves a design document, and sets the new `_rev` on the object that you passed. Emits the id and the
   * revision.
   *
   * Cold. Errors with `Conflict` if `_rev` is not the current revision. {@link Designs.deploy} needs no
   * `_rev`, and builds the views before it replaces them.
   *
   * @throws TypeError for a value without an `_id` that begins with `_design/`, or that JSON cannot hold.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html#put--db-_design-ddoc
   */
  save(design: DesignDocument): Operation<WriteResult> {
    const db = this.#db;
    const { codec } = db.connection;
    requireDesign(design, 'designs.save', codec);
    return operation(
      db.connection,
      () => {
        requireDesign(design, 'designs.save', codec);
        return { ...documentAt(db, design._id), method: 'PUT', json: design };
      },
      (body) => {
        const result = { id: stringField(body, 'id'), rev: stringField(body, 'rev') };
        requireSameId(design._id, result.id);
        recordRevision(design, result.id, result.rev);
        return result;
      },
    );
  }

  /**
   * Deletes a design document. The files of its indexes stay until `db.cleanup()`.
   *
   * Cold. Emits the id and the revision of the tombstone. Errors with `NotFound`, and with `Conflict` if
   * `_rev` is not the current revision.
   *
   * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html#delete--db-_design-ddoc
   */
  delete(design: { readonly _id: string; readonly _rev: string }): Operation<DeleteResult> {
    return deleteDocument(this.#db, design);
  }

  /**
   * Copies a design document on the server. Emits the id and the revision of the copy.
   *
   * Cold. Errors with `NotFound`, and with `Conflict` if the target exists and `dest` has no `_rev`.
   *
   * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html#copy--db-_design-ddoc
   */
  copy(source: DesignRef, dest: DesignRef): Operation<WriteResult> {
    return copyDocument(this.#db, toCopyRef(source, 'source'), toCopyRef(dest, 'dest'));
  }

  /**
   * Reads the state of the view index of a design document, as `db.info(name)` does.
   *
   * Cold. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html#get--db-_design-ddoc-_info
   */
  info(name: string): Operation<DesignInfo> {
    return designInfo(this.#db, name);
  }

  /**
   * Lists the design documents, as {@link Database.allDocs} lists documents.
   *
   * Cold. Emits once.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/common.html#db-design-docs
   */
  list(
    options: AllDocsOptions & { readonly includeDocs: true },
  ): Operation<View<AllDocsRow<Document<DesignDocument> | null>, AllDocsOptions>>;
  list(options?: AllDocsOptions): Operation<View<AllDocsRow, AllDocsOptions>>;
  list(options: AllDocsOptions = {}): Operation<View<AllDocsRow<never, never>>> {
    return listDocuments(this.#db, '_design_docs', options, 'designs.list');
  }

  /**
   * Writes a design document if it differs from the server's, and builds its views. Emits whether it
   * wrote the document.
   *
   * - It compares the content only: you need no `_rev`.
   * - It emits when the views are built, however long that takes. In a partitioned database CouchDB
   *   builds the views on demand.
   * - It builds views that replace others before it replaces them, so that no reader waits for an index.
   *   For this it writes a temporary design document (`…-deploying`). It removes that when the server has
   *   written the index to disk, some seconds later.
   * - If another client writes the document meanwhile, it starts again.
   *
   * Cold. Emits once, and completes. Unsubscribing cancels the deployment and removes the temporary
   * document; the server may continue to build the index.
   *
   * Errors with `Unauthorized` or `Forbidden` if the user may not write design documents. If the attempts
   * run out, it errors with the last `Conflict`, or with the last error of building the views.
   *
   * @param design - The result of `defineDesign` or `designDocument`, or a design document as JSON.
   * @param options - `warmUp`, `attempts`, and the `backoff` between them.
   * @throws TypeError for an invalid design document, RangeError for `attempts` below 1.
   * @see https://docs.couchdb.org/en/stable/ddocs/ddocs.html
   */
  deploy(design: DesignDocument | AnyDesign, options: DeployOptions = {}): Operation<DeployResult> {
    return deploy(this.#db, documentOf(design) as DesignDocument, options);
  }

  /**
   * Compares a design document with the server's, and writes nothing. Emits what differs, and the current
   * revision.
   *
   * Cold. Emits once, and completes. Errors as reading a document does, but not if it is missing: then
   * `rev` is null, and each field differs.
   *
   * @param design - The result of `defineDesign` or `designDocument`, or a design document as JSON.
   * @throws TypeError for an invalid design document.
   * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html#get--db-_design-ddoc
   * @example
   * db.designs.drift(design).subscribe(({ differences }) => console.log(differences)); // ['views.byLegs.map']
   */
  drift(design: DesignDocument | AnyDesign): Operation<DesignDrift> {
    return drift(this.#db, documentOf(design) as DesignDocument);
  }
}

function toCopyRef(ref: unknown, what: string): DesignRef {
  if (typeof ref === 'string') return designId(ref, `designs.copy: ${what}`);
  if (typeof ref === 'object' && ref !== null) return ref as DesignRef;
  throw invalidArgument(`designs.copy: ${what}`, 'a name or a design document', ref);
}

function designId(name: unknown, what: string): `_design/${string}` {
  const bare = typeof name === 'string' ? name.replace(/^_design\//, '') : '';
  if (bare === '') throw invalidArgument(`${what}: name`, 'the name of a design document', name);
  const id = `_design/${bare}` as const;
  requireId(id, `${what}: the id`);
  return id;
}
