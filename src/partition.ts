import { asObject, stringField } from './http/decode.ts';
import { operation } from './http/operation.ts';
import type { Operation } from './http/operation.ts';
import type { DatabaseScope } from './http/scope.ts';
import { endpoint, segment } from './http/url.ts';
import type {
  AnyFields,
  Document,
  JsonFields,
  LiveDocument,
  ReadonlyDeep,
} from './model/document.ts';
import { decodeLive } from './live/decode-live.ts';
import type { LiveDatabase, LivePlace } from './live/live-database.ts';
import { liveFind } from './live/live-find.ts';
import type { LiveFindQuery } from './live/live-find.ts';
import type { LiveQuery } from './live/live-query.ts';
import { liveAllDocs, liveView } from './live/live-rows.ts';
import type { LiveAllDocsOptions, LiveViewOptions } from './live/live-rows.ts';
import type { RowStream } from './http/row-stream.ts';
import { invalidArgument, describeValue } from './model/invalid-argument.ts';
import type { Row, RowWithDoc, View, ViewHead } from './model/view.ts';
import { listDocuments } from './queries/all-docs.ts';
import type { AllDocsOptions, AllDocsRow, RevisionValue } from './queries/all-docs.ts';
import type { Matching, TagValue } from './queries/selector.ts';
import type { FieldPath } from './queries/field-path.ts';
import { explain, find, streamFound } from './queries/find.ts';
import type {
  Explanation,
  FindQuery,
  FindResult,
  FindSummary,
  FoundDocument,
} from './queries/find.ts';
import { nouveau } from './queries/nouveau.ts';
import type { NouveauQuery, NouveauResult } from './queries/nouveau.ts';
import { search } from './queries/search.ts';
import type { SearchQuery, SearchResult } from './queries/search.ts';
import { Pages } from './queries/pages.ts';
import type { PagesOptions } from './queries/pages.ts';
import { queryView, streamView } from './queries/view.ts';
import type {
  AnyViewName,
  GroupLevel,
  TypedOptions,
  TypedRow,
  ViewName,
} from './queries/typed-view.ts';
import type { ViewOptions } from './queries/view.ts';

/** The state of a partition. */
export interface PartitionInfo {
  readonly key: string;
  readonly docCount: number;
  readonly deletedDocCount: number;
  /** The sizes in bytes: `active` of the live data, `external` of the same data uncompressed. */
  readonly sizes: { readonly active: number; readonly external: number };
}

/**
 * A partition of a partitioned database: `db.partition(key)`. Its methods return what those of `Database` do,
 * and only the shard that holds the partition answers.
 *
 * The id of a document names its partition: `'key:id'`. Use that id to read and write the document, as
 * in any database.
 *
 * @see https://docs.couchdb.org/en/stable/api/partitioned-dbs.html
 */
export class Partition<T extends object = AnyFields, Out extends object = JsonFields<T>> {
  readonly key: string;
  readonly #db: DatabaseScope;
  readonly #live: () => LiveDatabase;

  /** @internal */
  constructor(db: DatabaseScope, key: string, live: () => LiveDatabase) {
    requireKey(key);
    this.key = key;
    this.#live = live;
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

  /** Streams the rows of a view of a partitioned design document: see {@link Database.viewRows}. */
  viewRows<
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
  ): RowStream<TypedRow<Key, Value, Reduced, Out, Reduce, Docs, Group, Level>, ViewHead>;
  viewRows<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: ViewOptions & { readonly includeDocs: true },
  ): RowStream<RowWithDoc<Key, Value, Out>, ViewHead>;
  viewRows<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: ViewOptions,
  ): RowStream<Row<Key, Value>, ViewHead>;
  viewRows(name: string, options: ViewOptions = {}): RowStream<never, ViewHead> {
    return streamView(this.#db, name, options) as never;
  }

  /** Reads a view of a partitioned design document page by page: see {@link Database.viewPages}. */
  viewPages<
    Key,
    Value,
    Reduced,
    Reduce extends boolean = true,
    Docs extends boolean = false,
    Group extends boolean = false,
    Level extends GroupLevel = never,
  >(
    name: ViewName<Key, Value, Reduced>,
    options?: TypedOptions<Key, PagesOptions, Reduce, Docs, Group, Level>,
  ): Pages<TypedRow<Key, Value, Reduced, Out, Reduce, Docs, Group, Level>>;
  viewPages<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: PagesOptions<RowWithDoc<Key, Value, Out>> & { readonly includeDocs: true },
  ): Pages<RowWithDoc<Key, Value, Out>>;
  viewPages<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: PagesOptions<Row<Key, Value>>,
  ): Pages<Row<Key, Value>>;
  viewPages(name: string, options: PagesOptions = {}): Pages<never> {
    return new Pages(this.#db, name, options) as never;
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
  /** Streams the documents that a Mango query finds in the partition: see {@link Database.findRows}. */
  findRows<const Field extends FieldPath<T> = never, const Tag extends TagValue<T> = TagValue<T>>(
    query: FindQuery<T, Field, Tag>,
  ): RowStream<FoundDocument<Matching<Out, Tag>, Field>, FindSummary> {
    return streamFound<Matching<Out, Tag>, never>(this.#db, query as never) as never;
  }

  /** Returns a live query of the documents of the partition, or of a range: see {@link Database.allDocs$}. */
  allDocs$(
    options: LiveAllDocsOptions & { readonly includeDocs: true },
  ): LiveQuery<readonly Row<string, { readonly rev: string }, LiveDocument<Out> | null>[]>;
  allDocs$(
    options?: LiveAllDocsOptions,
  ): LiveQuery<readonly Row<string, { readonly rev: string }>[]>;
  allDocs$(options: LiveAllDocsOptions = {}): LiveQuery<readonly Row<string, never, never>[]> {
    return this.#decoded(liveAllDocs(this.#live(), options, this.#place)) as never;
  }

  /**
   * Returns a live query of the documents of the partition that match a Mango query: see
   * {@link Database.find$}.
   */
  find$<const Tag extends TagValue<T> = TagValue<T>>(
    query: LiveFindQuery<T, Tag>,
  ): LiveQuery<readonly LiveDocument<Matching<Out, Tag>>[]> {
    return this.#decoded(liveFind<Matching<Out, Tag>>(this.#live(), query, this.#place));
  }

  /** Returns a live query of the rows of a view of a partitioned design document: see {@link Database.view$}. */
  view$<
    Key,
    Value,
    Reduced,
    Reduce extends boolean = true,
    Docs extends boolean = false,
    Group extends boolean = false,
    Level extends GroupLevel = never,
  >(
    name: ViewName<Key, Value, Reduced>,
    options?: TypedOptions<Key, LiveViewOptions, Reduce, Docs, Group, Level>,
  ): LiveQuery<
    readonly TypedRow<
      Key,
      ReadonlyDeep<Value>,
      ReadonlyDeep<Reduced>,
      LiveDocument<Out>,
      Reduce,
      Docs,
      Group,
      Level
    >[]
  >;
  view$<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options: LiveViewOptions & { readonly includeDocs: true },
  ): LiveQuery<readonly Row<Key, ReadonlyDeep<Value>, LiveDocument<Out> | null>[]>;
  view$<Key = unknown, Value = unknown>(
    name: AnyViewName,
    options?: LiveViewOptions,
  ): LiveQuery<readonly Row<Key, ReadonlyDeep<Value>>[]>;
  view$(name: string, options: LiveViewOptions = {}): LiveQuery<readonly never[]> {
    return this.#decoded(liveView(this.#live(), name, options, this.#place)) as never;
  }

  get #place(): LivePlace {
    return { db: { ...this.#db, rules: null }, prefix: `${this.key}:` };
  }

  #decoded<V>(query: LiveQuery<V>): LiveQuery<V> {
    return decodeLive(this.#db.rules, query);
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
