import { arrayField, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, text, toBody, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { AnyFields } from '../model/document.ts';
import { explain } from '../queries/find.ts';
import type { Explanation, FindQuery } from '../queries/find.ts';
import { DELETE_INDEX, decodeIndex, indexAt, indexBody } from '../queries/indexes.ts';
import type {
  DeleteIndexOptions,
  IndexCreated,
  IndexDefinition,
  IndexesDeleted,
  IndexRef,
  MangoIndex,
} from '../queries/indexes.ts';

const INDEX = '/_index';

/** The options of `db.indexes.list()`. */
export interface IndexListOptions {
  /** The maximum number of indexes. Default: no limit. */
  readonly limit?: number;
  /** How many indexes to skip. @defaultValue 0 */
  readonly skip?: number;
}

/**
 * The Mango indexes of a database: `db.indexes`. Every method returns a cold `Operation`.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/find.html
 */
export class Indexes<T extends object = AnyFields> {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Lists the indexes. `_all_docs`, which every database has, is among them.
   *
   * Cold. Emits once.
   *
   * @param options - `limit` and `skip`. Default: all indexes.
   * @throws TypeError or RangeError for an invalid option.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#get--db-_index
   */
  list(options: IndexListOptions = {}): Operation<MangoIndex[]> {
    const db = this.#db;
    const query = toQuery({ limit: count, skip: count }, options, 'indexes.list');
    return operation(
      db.connection,
      () => endpoint(db, INDEX, query),
      (body) => arrayField(body, 'indexes').map(decodeIndex),
    );
  }

  /**
   * Creates an index, unless the same index exists. Emits its design document and its name.
   *
   * Cold. The server answers before it builds the index: the first query that uses the index waits.
   *
   * Errors with `Unauthorized` or `Forbidden` if the user may not write design documents. Errors with
   * `BadRequest` for a text index if the server has no full-text search.
   *
   * @throws TypeError or RangeError for an invalid definition.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#post--db-_index
   */
  create(definition: IndexDefinition<T>): Operation<IndexCreated> {
    const db = this.#db;
    const encode = (): Record<string, unknown> => indexBody(definition, db.connection.codec);
    // Validate now: throws at the call.
    encode();
    return operation(
      db.connection,
      () => ({ ...endpoint(db, INDEX), method: 'POST', json: encode() }),
      (body) => ({
        created: stringField(body, 'result') === 'created',
        ddoc: stringField(body, 'id'),
        name: stringField(body, 'name'),
      }),
    );
  }

  /**
   * Deletes an index. Deletes its design document too if that holds no other index. Emits `true`.
   *
   * Cold. Errors with `NotFound`.
   *
   * @param index - An index as `list` and `create` emit it.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#delete--db-_index-design_doc-json-name
   */
  delete(index: IndexRef, options: DeleteIndexOptions = {}): Operation<true> {
    const db = this.#db;
    const query = toQuery(DELETE_INDEX, options, 'indexes.delete');
    const address = indexAt(endpoint(db, INDEX), index, query);
    return operation(
      db.connection,
      () => ({ ...address, method: 'DELETE' }),
      (): true => true,
    );
  }

  /**
   * Deletes all indexes of several design documents in one request. Emits which were deleted, and which
   * failed.
   *
   * Cold. A design document that cannot be deleted is in `failed`, and no error.
   *
   * @param ddocs - The ids of design documents, with or without `_design/`.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#post--db-_index-_bulk_delete
   */
  deleteMany(
    ddocs: readonly string[],
    options: DeleteIndexOptions = {},
  ): Operation<IndexesDeleted> {
    const db = this.#db;
    if (!Array.isArray(ddocs))
      throw invalidArgument('indexes.deleteMany: ddocs', 'an array', ddocs);
    ddocs.forEach((ddoc, i) => text(ddoc, `indexes.deleteMany: ddocs[${i}]`));
    const body = toBody(DELETE_INDEX, options, 'indexes.deleteMany');
    return operation(
      db.connection,
      () => ({
        ...endpoint(db, `${INDEX}/_bulk_delete`),
        method: 'POST',
        json: { docids: ddocs, ...body },
      }),
      (answer) => ({
        deleted: arrayField(answer, 'success').map((entry) => stringField(entry, 'id')),
        failed: arrayField(answer, 'fail').map((entry) => ({
          ddoc: stringField(entry, 'id'),
          error: stringField(entry, 'error'),
        })),
      }),
    );
  }

  /**
   * Explains how the server would answer a query: which index it would use, and why not the others.
   *
   * Cold. Emits once. Takes the same query as {@link Database.find}.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#post--db-_explain
   */
  explain(query: FindQuery<T>): Operation<Explanation> {
    return explain<T>(this.#db, query);
  }
}
