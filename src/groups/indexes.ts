import { arrayField, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { text, toBody, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { AnyFields } from '../model/document.ts';
import { explain } from '../queries/find.ts';
import type { Explanation, FindQuery } from '../queries/find.ts';
import { DELETE_INDEX, decodeIndex, indexBody, indexPath } from '../queries/indexes.ts';
import type {
  DeleteIndexOptions,
  IndexCreated,
  IndexDefinition,
  IndexesDeleted,
  IndexRef,
  MangoIndex,
} from '../queries/indexes.ts';

/** The Mango indexes of a database: `db.indexes`. All of it is cold. */
export class Indexes<T extends object = AnyFields> {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Emits the indexes, with `_all_docs`, which every database has.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#get--db-_index
   */
  list(): Operation<MangoIndex[]> {
    const db = this.#db;
    return operation(
      db.connection,
      () => ({ path: `${db.path}/_index` }),
      (body) => arrayField(body, 'indexes').map(decodeIndex),
    );
  }

  /**
   * Makes an index, and emits where it is; where there is the same already, it is left.
   *
   * The server answers before the index is built: the first query that uses it waits for that.
   * Errors with `Unauthorized` or `Forbidden` where one may not write design documents, `BadRequest`
   * for a text index where the server has no full-text search.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#post--db-_index
   */
  create(definition: IndexDefinition<T>): Operation<IndexCreated> {
    const db = this.#db;
    const write = (): Record<string, unknown> => indexBody(definition);
    // Misuse is told now.
    write();
    return operation(
      db.connection,
      () => ({ method: 'POST', path: `${db.path}/_index`, json: write() }),
      (body) => ({
        created: stringField(body, 'result') === 'created',
        ddoc: stringField(body, 'id'),
        name: stringField(body, 'name'),
      }),
    );
  }

  /**
   * Deletes an index, and its design document when that was the last in it; emits `true`.
   *
   * Errors with `NotFound`.
   *
   * @param index - As `list` and `create` give it.
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#delete--db-_index-design_doc-json-name
   */
  delete(index: IndexRef, options: DeleteIndexOptions = {}): Operation<true> {
    const db = this.#db;
    const path = indexPath(index) + toQuery(DELETE_INDEX, options, 'indexes.delete');
    return operation(
      db.connection,
      () => ({ method: 'DELETE', path: db.path + path }),
      (): true => true,
    );
  }

  /**
   * Deletes all indexes of several design documents in one request; emits what became of each.
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
        method: 'POST',
        path: `${db.path}/_index/_bulk_delete`,
        json: { docids: ddocs, ...body },
      }),
      (answer) => ({
        deleted: arrayField(answer, 'success').map((one) => stringField(one, 'id')),
        failed: arrayField(answer, 'fail').map((one) => ({
          ddoc: stringField(one, 'id'),
          error: stringField(one, 'error'),
        })),
      }),
    );
  }

  /**
   * Explains how the server would answer a query: which index it would use, and why not the others.
   *
   * Cold. Takes the same query as {@link Database.find}.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/find.html#post--db-_explain
   */
  explain(query: FindQuery<T>): Operation<Explanation> {
    return explain<T>(this.#db, query);
  }
}
