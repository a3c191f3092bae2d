import type { WriteResult } from '../documents/revisions.ts';
import { requireDraft } from '../documents/write.ts';
import { stringField } from '../http/decode.ts';
import type { RequestSpec } from '../http/exchange.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, segment } from '../http/url.ts';
import { recordRevision } from '../model/document.ts';
import type { AnyFields, DocumentRef } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import type { Row, View } from '../model/view.ts';
import { listDocuments } from '../queries/all-docs.ts';
import type { AllDocsOptions, RevisionValue } from '../queries/all-docs.ts';

/** A local document as the server has it. Its revision is a count: `'0-3'`. */
export type LocalDocument<Fields extends object = AnyFields> = Fields & {
  _id: string;
  _rev: string;
};

/** A local document to be written. */
export type LocalDraft = object & { readonly _id: string; readonly _rev?: string };

/** Which local documents are listed; they are never read with their fields. */
export type LocalDocsOptions = Pick<
  AllDocsOptions,
  'key' | 'keys' | 'startKey' | 'endKey' | 'inclusiveEnd' | 'descending' | 'limit' | 'skip'
>;

/**
 * The local documents of a database: `db.local`. They are not replicated, are in no view and no
 * feed, and have no attachments and no conflicts. All of it is cold.
 *
 * An id is given with or without its `_local/`; it comes back with it.
 *
 * @see https://docs.couchdb.org/en/stable/api/local.html
 */
export class LocalDocuments {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /** Emits a local document. Errors with `NotFound`. */
  get<Fields extends object = AnyFields>(id: string): Operation<LocalDocument<Fields>> {
    const path = this.#path(id, 'local.get: id');
    return operation(
      this.#db.connection,
      () => ({ path }),
      (body) => {
        stringField(body, '_id');
        return body as LocalDocument<Fields>;
      },
    );
  }

  /**
   * Writes a local document, over what is there: CouchDB 3 does not compare revisions here. Emits its
   * id and its revision, and notes both on the object that was passed.
   *
   * @throws TypeError for what has no `_id`, and for what JSON cannot hold, with its path.
   */
  save(doc: LocalDraft): Operation<WriteResult> {
    requireDraft({ ...doc, _id: undefined }, 'local.save: the document');
    this.#path(doc._id, 'local.save: the _id');
    return operation(
      this.#db.connection,
      () => {
        const path = this.#path(doc._id, 'local.save: the _id');
        return { method: 'PUT', path, json: { ...doc, _id: localId(doc._id) } };
      },
      (body) => {
        const written = writtenBy(body);
        recordRevision(doc, written.id, written.rev);
        return written;
      },
    );
  }

  /**
   * Deletes a local document; emits its id. Errors with `NotFound`.
   *
   * @param doc - Its id; or itself with its `_rev`, which other servers than CouchDB 3 may insist on.
   */
  delete(doc: string | LocalDraft): Operation<WriteResult> {
    const describe = (): RequestSpec => {
      const { _id: id, _rev: rev }: Partial<DocumentRef> =
        typeof doc === 'string' ? { _id: doc } : (doc ?? {});
      const path = this.#path(id, 'local.delete: id');
      return { method: 'DELETE', path: rev === undefined ? path : `${path}?rev=${segment(rev)}` };
    };
    // Misuse is told now.
    describe();
    return operation(this.#db.connection, describe, writtenBy);
  }

  /** Copies a local document on the server, over what is there. Errors with `NotFound`. */
  copy(source: string, dest: string): Operation<WriteResult> {
    const path = this.#path(source, 'local.copy: source');
    this.#path(dest, 'local.copy: dest');
    // It is taken apart after it has been decoded.
    const destination = segment(localId(dest));
    return operation(
      this.#db.connection,
      () => ({ method: 'COPY', path, headers: { destination } }),
      writtenBy,
    );
  }

  /** Emits the ids and revisions of local documents: the server's own are among them. */
  list(
    options: LocalDocsOptions = {},
  ): Operation<View<Row<string, RevisionValue>, AllDocsOptions>> {
    return listDocuments(this.#db, '_local_docs', options, 'local.list');
  }

  #path(id: unknown, what: string): string {
    if (typeof id !== 'string' || id === '' || id === '_local/')
      throw invalidArgument(what, 'a string that is not empty', id);
    const bare = id.replace(/^_local\//, '');
    if (isDotSegment(bare)) throw new TypeError(`${what}: no URL can hold ${describeValue(id)}`);
    return this.#db.path + documentPath(`_local/${bare}`);
  }
}

const localId = (id: string): string => `_local/${id.replace(/^_local\//, '')}`;

const writtenBy = (body: unknown): WriteResult => ({
  id: stringField(body, 'id'),
  rev: stringField(body, 'rev'),
});
