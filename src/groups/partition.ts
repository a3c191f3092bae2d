import { asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint, segment } from '../http/url.ts';
import type { AnyFields, Document, JsonFields } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import type { Row, RowWithDoc, View } from '../model/view.ts';
import { listDocuments } from '../queries/all-docs.ts';
import type { AllDocsOptions, AllDocsRow, RevisionValue } from '../queries/all-docs.ts';
import type { Matching, TagValue } from '../queries/selector.ts';
import type { FieldPath } from '../queries/field-path.ts';
import { explain, find } from '../queries/find.ts';
import type { Explanation, FindQuery, FindResult, FoundDocument } from '../queries/find.ts';
import { nouveau } from '../queries/nouveau.ts';
import type { NouveauQuery, NouveauResult } from '../queries/nouveau.ts';
import { search } from '../queries/search.ts';
import type { SearchQuery, SearchResult } from '../queries/search.ts';
import { queryView } from '../queries/view.ts';
import type {
  AnyViewName,
  GroupLevel,
  TypedOptions,
  TypedRow,
  ViewName,
} from '../queries/typed-view.ts';
import type { ViewOptions } from '../queries/view.ts';

/** The state of a partition. */
export interface PartitionInfo {
  readonly key: string;
  readonly docCount: number;
  readonly deletedDocCount: number;
  /** The sizes in bytes: `active` of the live data, `external` of the same data uncompressed. */
  readonly sizes: { readonly active: number; readonly external: number };
}

/**
 * A partition of a partitioned database: `db.partition(key)`. Every method returns a cold `Operation`,
 * and only the shard that holds the partition answers it.
 *
 * The id of a document names its partition: `'key:id'`. Use that id to read and write the document, as
 * in any database.
 *
 * @see https://docs.couchdb.org/en/stable/api/partitioned-dbs.html
 */
export class Partition<T extends object = AnyFields, Out extends object = JsonFields<T>> {
  readonly key: string;
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope, key: string) {
    requireKey(key);
    this.key = key;
    // CouchDB has the same endpoints below the path of a partition as below that of the database.
    const value = segment(key, 'The key of a partition');
    this.#db = { ...db, ...endpoint(db, '/_partition/{partition_id}', '', value) };
  }

  /**
   * Reads the state of the partition. A partition without documents has one too.
   *
   * Cold. Emits once.
   *
   * @see https://docs.couchdb.org/en/stable/api/partitioned-dbs.html#get--db-_partition-partition
   */
  info(): Operation<PartitionInfo> {
    const db = this.#db;
    return operation(
      db.connection,
      () => endpoint(db, ''),
      (body) => {
        const { doc_count: count, doc_del_count: deleted, sizes } = asObject(body);
        return {
          key: stringField(body, 'partition'),
          docCount: Number(count),
          deletedDocCount: Number(deleted),
          sizes: { active: 0, external: 0, ...(sizes as Partial<PartitionInfo['sizes']>) },
        };
      },
    );
  }

  /** Lists the documents of the partition: see {@link Database.allDocs}. */
  allDocs(
    options: AllDocsOptions & { readonly keys: readonly string[]; readonly includeDocs: true },
  ): Operation<View<AllDocsRow<Document<Out> | null, RevisionValue | null>, AllDocsOptions>>;
  allDocs(
    options: AllDocsOptions & { readonly keys: readonly string[] },
  ): Operation<View<AllDocsRow<null, RevisionValue | null>, AllDocsOptions>>;
  allDocs(
    options: AllDocsOptions & { readonly includeDocs: true },
  ): Operation<View<AllDocsRow<Document<Out> | null>, AllDocsOptions>>;
  allDocs(options?: AllDocsOptions): Operation<View<AllDocsRow, AllDocsOptions>>;
  allDocs(options: AllDocsOptions = {}): Operation<View<AllDocsRow<never, never>>> {
    return listDocuments(this.#db, '_all_docs', options, 'allDocs');
  }

  /** Queries a view of a partitioned design document: see {@link Database.view}. */
  view<
    Key,
    Value,
    Reduced,
    Reduce extends boolean = true,
    Docs extends boolean = false,
    Group extends boolean = false,
    Level extends GroupLevel = never,
  >(
    name: ViewName<Key, Value, Reduced>,
    options?: TypedOptions<Key, ViewOptions, Reduce, Docs, Group, Level>,
  ): Operation<View<TypedRow<Key, Value, Reduced, Out, Reduce, Docs, Group, Level>, ViewOptions>>;
  view<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: ViewOptions & { readonly includeDocs: true },
  ): Operation<View<RowWithDoc<Key, Value, Out>, ViewOptions>>;
  view<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: ViewOptions,
  ): Operation<View<Row<Key, Value>, ViewOptions>>;
  view(name: string, options: ViewOptions = {}): Operation<View<never, ViewOptions>> {
    return queryView(this.#db, name, options) as never;
  }

  /** Finds documents of the partition, **up to 25 by default**: see {@link Database.find}. */
  find<const Field extends FieldPath<T> = never, const Tag extends TagValue<T> = TagValue<T>>(
    query: FindQuery<T, Field, Tag>,
  ): Operation<FindResult<FoundDocument<Matching<Out, Tag>, Field>>> {
    return find<Matching<Out, Tag>, never>(this.#db, query as never) as never;
  }

  /** Explains how the server would answer a query: see {@link Indexes.explain}. */
  explain(query: FindQuery<T>): Operation<Explanation> {
    return explain<T>(this.#db, query);
  }

  /**
   * Searches the partition with Clouseau: see {@link Search}. `counts`, `ranges` and groups are not
   * available for a partition.
   */
  search(name: string, query: SearchQuery): Operation<SearchResult<Out>> {
    return search<Out>(this.#db, name, query);
  }

  /**
   * Searches the partition with Nouveau: see {@link NouveauSearch}. `counts` and `ranges` are not
   * available for a partition.
   */
  nouveau(name: string, query: NouveauQuery): Operation<NouveauResult<Out>> {
    return nouveau<Out>(this.#db, name, query);
  }
}

function requireKey(key: unknown): asserts key is string {
  if (typeof key !== 'string' || key === '')
    throw invalidArgument('The key of a partition', 'a string that is not empty', key);
  if (key.includes(':'))
    throw new TypeError(`The key of a partition must not contain a colon: ${describeValue(key)}`);
  if (key.startsWith('_'))
    throw new TypeError(
      `The key of a partition must not begin with an underscore: ${describeValue(key)}`,
    );
}
