import { getDocument } from '../documents/read.ts';
import type { GetOptions } from '../documents/read.ts';
import { copyDocument, deleteDocument } from '../documents/revisions.ts';
import type { DeleteResult, WriteResult } from '../documents/revisions.ts';
import { stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath } from '../http/url.ts';
import { recordRevision } from '../model/document.ts';
import type { Document } from '../model/document.ts';
import type { View } from '../model/view.ts';
import { listDocuments } from '../queries/all-docs.ts';
import type { AllDocsOptions, AllDocsRow } from '../queries/all-docs.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { deploy, requireDesign } from '../queries/deploy.ts';
import type { DeployOptions, DeployResult } from '../queries/deploy.ts';
import type { DesignDocument } from '../queries/design-document.ts';
import { designInfo } from '../queries/design-functions.ts';
import type { DesignInfo } from '../queries/design-functions.ts';

/** A design document, by its name or by itself. */
export type DesignRef = string | { readonly _id: `_design/${string}`; readonly _rev?: string };

/**
 * The design documents of a database: `db.designs`. All of it is cold; names are given with or
 * without `_design/`.
 *
 * @see https://docs.couchdb.org/en/stable/api/ddoc/common.html
 */
export class Designs {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /** Emits a design document. Errors with `NotFound`. */
  get(name: string, options: GetOptions = {}): Operation<Document<DesignDocument>> {
    return getDocument<DesignDocument>(this.#db, designId(name, 'designs.get'), options);
  }

  /**
   * Writes a design document as it is, and notes its new revision on the object that was passed.
   * Errors with `Conflict`; see {@link Designs.deploy} for what cares about neither revisions nor
   * readers that wait.
   */
  save(design: DesignDocument): Operation<WriteResult> {
    requireDesign(design, 'designs.save');
    const db = this.#db;
    return operation(
      db.connection,
      () => {
        requireDesign(design, 'designs.save');
        return { method: 'PUT', path: db.path + documentPath(design._id), json: design };
      },
      (body) => {
        const written = { id: stringField(body, 'id'), rev: stringField(body, 'rev') };
        recordRevision(design, written.id, written.rev);
        return written;
      },
    );
  }

  /** Deletes a design document; its indexes stay until `db.cleanup()`. Errors with `Conflict`. */
  delete(design: { readonly _id: string; readonly _rev: string }): Operation<DeleteResult> {
    return deleteDocument(this.#db, design);
  }

  /** Copies a design document on the server; emits the id and revision of the copy. */
  copy(source: DesignRef, dest: DesignRef): Operation<WriteResult> {
    return copyDocument(this.#db, designEnd(source, 'source'), designEnd(dest, 'dest'));
  }

  /** Emits what the server knows of its index: as `db.info(name)` does. */
  info(name: string): Operation<DesignInfo> {
    return designInfo(this.#db, name);
  }

  /**
   * Lists the design documents, as {@link Database.allDocs} lists documents.
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
   * Sees to it that a design document is there, and emits whether it had to be written.
   *
   * - It is written only when it differs from the server's, whatever revision that has.
   * - Its views have been built when it emits, however long that takes; those of a partitioned
   *   database are built on demand, and not before.
   * - Views that take the place of others are built before they do, so that nobody waits for them:
   *   under another name first (`…-deploying`), which is removed when the server has written the index
   *   to disk, some seconds later.
   * - Where somebody else writes it meanwhile, it starts again.
   *
   * Cold. Unsubscribing stops it, and has what it made removed; the server may go on building.
   * Errors with `Unauthorized` or `Forbidden` where one may not write design documents, with a
   * `Conflict` or whatever kept the views from being built when the attempts have run out.
   *
   * @param design - As `designDocument` makes it, or as it stands in JSON.
   */
  deploy(design: DesignDocument, options: DeployOptions = {}): Operation<DeployResult> {
    return deploy(this.#db, design, options);
  }
}

function designEnd(end: unknown, what: string): DesignRef {
  if (typeof end === 'string') return designId(end, `designs.copy: ${what}`);
  if (typeof end === 'object' && end !== null) return end as DesignRef;
  throw invalidArgument(`designs.copy: ${what}`, 'a name or a design document', end);
}

function designId(name: unknown, what: string): `_design/${string}` {
  const bare = typeof name === 'string' ? name.replace(/^_design\//, '') : '';
  if (bare === '') throw invalidArgument(`${what}: name`, 'the name of a design document', name);
  return `_design/${bare}`;
}
