import type { WriteResult } from '../documents/revisions.ts';
import { plainDraft, requireDraft } from '../documents/write.ts';
import { requireSameId, stringField } from '../http/decode.ts';
import type { RequestSpec } from '../http/link.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt, encodeText, revQuery } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { recordRevision } from '../model/document.ts';
import type { AnyFields, DocumentRef } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import type { Row, View } from '../model/view.ts';
import { listDocuments } from '../queries/all-docs.ts';
import type { AllDocsOptions, RevisionValue } from '../queries/all-docs.ts';

/** A local document as CouchDB stores it. Its revision counts the writes: `'0-3'`. */
export type LocalDocument<Fields extends object = AnyFields> = Fields & {
  _id: string;
  _rev: string;
};

/** A local document to save. */
export type LocalDraft = (object | AnyFields) & { readonly _id: string; readonly _rev?: string };

/** Options for listing local documents. CouchDB lists their ids and revisions only. */
export type LocalDocsOptions = Pick<
  AllDocsOptions,
  'key' | 'keys' | 'startKey' | 'endKey' | 'inclusiveEnd' | 'descending' | 'limit' | 'skip'
>;

/**
 * The local documents of a database: `db.local`. Every method returns a cold `Operation`.
 *
 * Local documents are not replicated. Views and feeds do not contain them. They have no attachments and
 * no conflicts.
 *
 * An id may begin with `_local/`, but need not. Emitted ids always begin with it.
 *
 * @see https://docs.couchdb.org/en/stable/api/local.html
 */
export class LocalDocuments {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Reads a local document.
   *
   * Cold. Emits once. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/api/local.html#get--db-_local-docid
   */
  get<Fields extends object = AnyFields>(id: string): Operation<LocalDocument<Fields>> {
    const address = this.#at(id, 'local.get: id');
    return operation(
      this.#db.connection,
      () => address,
      (body) => {
        requireSameId(localId(id), stringField(body, '_id'));
        return body as LocalDocument<Fields>;
      },
    );
  }

  /**
   * Saves a local document, and overwrites an existing one: CouchDB 3 does not compare revisions here.
   * Emits the id and the revision, and sets both on the object that you passed.
   *
   * Cold.
   *
   * @throws TypeError for a document without `_id`, or with a value that JSON cannot hold.
   * @see https://docs.couchdb.org/en/stable/api/local.html#put--db-_local-docid
   */
  save(doc: LocalDraft): Operation<WriteResult> {
    const { codec } = this.#db.connection;
    if (typeof doc !== 'object' || doc === null)
      throw invalidArgument('local.save: the document', 'an object with _id', doc);
    const plain = plainDraft(doc, 'local.save: the document');
    requireDraft({ ...plain, _id: undefined }, codec, 'local.save: the document');
    // Validate now: throws at the call.
    this.#at(doc._id, 'local.save: the _id');
    return operation(
      this.#db.connection,
      () => {
        const address = this.#at(doc._id, 'local.save: the _id');
        const json = { ...plainDraft(doc), _id: localId(doc._id) };
        return { ...address, method: 'PUT', json };
      },
      (body) => {
        const result = decodeWriteResult(body, doc._id);
        recordRevision(doc, result.id, result.rev);
        return result;
      },
    );
  }

  /**
   * Deletes a local document. Emits its id and the revision in the answer of the server.
   *
   * Cold. Errors with `NotFound`.
   *
   * @param doc - The id, or the document. CouchDB 3 needs no `_rev`; other servers may need it.
   * @see https://docs.couchdb.org/en/stable/api/local.html#delete--db-_local-docid
   */
  delete(doc: string | LocalDraft): Operation<WriteResult> {
    const ref = (): Partial<DocumentRef> => (typeof doc === 'string' ? { _id: doc } : (doc ?? {}));
    const describe = (): RequestSpec => {
      const { _id: id, _rev: rev } = ref();
      return { ...this.#at(id, 'local.delete: id', revQuery(rev)), method: 'DELETE' };
    };
    // Validate now: throws at the call.
    describe();
    return operation(this.#db.connection, describe, (body) =>
      decodeWriteResult(body, ref()._id ?? ''),
    );
  }

  /**
   * Copies a local document on the server, and overwrites an existing one. Emits the id and the revision
   * of the copy.
   *
   * Cold. Errors with `NotFound`.
   *
   * @see https://docs.couchdb.org/en/stable/api/local.html#copy--db-_local-docid
   */
  copy(source: string, dest: string): Operation<WriteResult> {
    const address = this.#at(source, 'local.copy: source');
    this.#at(dest, 'local.copy: dest');
    // CouchDB decodes the whole header before it parses it, so all of the id is encoded.
    const destination = encodeText(localId(dest), 'local.copy: dest');
    return operation(
      this.#db.connection,
      () => ({ ...address, method: 'COPY', headers: { destination } }),
      (body) => decodeWriteResult(body, dest),
    );
  }

  /**
   * Lists the ids and revisions of local documents. The server's documents, such as the checkpoints of
   * replications, are among them.
   *
   * Cold. Emits once.
   *
   * @see https://docs.couchdb.org/en/stable/api/local.html#get--db-_local_docs
   */
  list(
    options: LocalDocsOptions = {},
  ): Operation<View<Row<string, RevisionValue>, AllDocsOptions>> {
    return listDocuments(this.#db, '_local_docs', withPrefixedIds(options), 'local.list');
  }

  #at(id: unknown, what: string, query?: string): Endpoint {
    if (typeof id !== 'string' || id === '' || id === '_local/')
      throw invalidArgument(what, 'a string that is not empty', id);
    const bare = id.replace(/^_local\//, '');
    return documentAt(this.#db, `_local/${bare}`, query, what);
  }
}

const localId = (id: string): string => `_local/${id.replace(/^_local\//, '')}`;

function decodeWriteResult(body: unknown, sent: string): WriteResult {
  const id = stringField(body, 'id');
  requireSameId(localId(sent), id);
  return { id, rev: stringField(body, 'rev') };
}

/** Adds the prefix `_local/` to the ids of a listing's options. */
function withPrefixedIds(options: LocalDocsOptions): LocalDocsOptions {
  requireOptions(options, 'local.list');
  const prefixed: { -readonly [Name in keyof LocalDocsOptions]: LocalDocsOptions[Name] } = {
    ...options,
  };
  for (const name of ['key', 'startKey', 'endKey'] as const) {
    const id = prefixed[name];
    if (typeof id === 'string') prefixed[name] = localId(id);
  }
  const { keys } = prefixed;
  if (Array.isArray(keys)) {
    prefixed.keys = keys.map(
      (id: unknown) => (typeof id === 'string' ? localId(id) : id) as string,
    );
  }
  return prefixed;
}
