import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { AnyFields } from '../model/document.ts';
import { nouveau } from '../queries/nouveau.ts';
import type { NouveauQuery, NouveauResult } from '../queries/nouveau.ts';
import { analyze, search, searchCleanup, searchInfo } from '../queries/search.ts';
import type { SearchInfo, SearchQuery, SearchResult } from '../queries/search.ts';

/**
 * Full-text search with Clouseau: `db.search`. Call it to search; its methods maintain the indexes.
 *
 * Every call returns a cold `Operation`.
 *
 * @see https://docs.couchdb.org/en/stable/ddocs/search.html
 */
export interface Search<T extends object = AnyFields> {
  /**
   * Searches an index of Clouseau. Emits a page of hits: **up to 25, unless the query has a `limit`**.
   *
   * Errors with `NotFound` if the index does not exist or the server has no Clouseau, and with
   * `BadRequest` if Lucene cannot parse `q`.
   *
   * @param name - `'design-document/index'`, separated at the last slash.
   */
  (name: string, query: SearchQuery): Operation<SearchResult<T>>;
  /** Reads the state of an index. */
  info(name: string): Operation<SearchInfo>;
  /** Reads the size of an index on disk: `searchIndex.disk_size`, in bytes. */
  diskSize(name: string): Operation<SearchInfo>;
  /**
   * Removes the files of indexes that no design document defines any longer. Errors with `ServerError`
   * if the server has no Clouseau.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/cleanup.html
   */
  cleanup(): Operation<{ readonly ok: true }>;
  /**
   * Reads the terms that an analyzer makes of a text. Errors with `ServerError` if the server has no
   * full-text search.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#search-analyze
   */
  analyze(analyzer: string, text: string): Operation<string[]>;
  /** Full-text search with Nouveau: call it to search. */
  readonly nouveau: NouveauSearch<T>;
}

/**
 * Full-text search with Nouveau: `db.search.nouveau`. Every call returns a cold `Operation`.
 *
 * @see https://docs.couchdb.org/en/stable/ddocs/nouveau.html
 */
export interface NouveauSearch<T extends object = AnyFields> {
  /**
   * Searches an index of Nouveau. Emits a page of hits: **up to 25, unless the query has a `limit`**.
   *
   * Errors with `NotFound` if the index does not exist or the server has no Nouveau, and with
   * `BadRequest` if Lucene cannot parse `q`.
   *
   * @param name - `'design-document/index'`, separated at the last slash.
   */
  (name: string, query: NouveauQuery): Operation<NouveauResult<T>>;
  /** Reads the state of an index. */
  info(name: string): Operation<SearchInfo>;
  /**
   * Removes the files of indexes that no design document defines any longer.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/cleanup.html#db-nouveau-cleanup
   */
  cleanup(): Operation<{ readonly ok: true }>;
  /**
   * Reads the terms that an analyzer makes of a text. Errors with `NotFound` if Nouveau is not enabled.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#nouveau-analyze
   */
  analyze(analyzer: string, text: string): Operation<string[]>;
}

/** Makes the full-text search of a database. */
export function searchOf<T extends object>(db: DatabaseScope): Search<T> {
  const nouveauSearch: NouveauSearch<T> = Object.assign(
    (name: string, query: NouveauQuery) => nouveau<T>(db, name, query),
    {
      info: (name: string) => searchInfo(db, name, '_nouveau_info'),
      cleanup: () => searchCleanup(db, 'nouveau'),
      analyze: (analyzer: string, text: string) =>
        analyze(db.connection, 'nouveau', analyzer, text),
    },
  );
  return Object.assign((name: string, query: SearchQuery) => search<T>(db, name, query), {
    info: (name: string) => searchInfo(db, name, '_search_info'),
    diskSize: (name: string) => searchInfo(db, name, '_search_disk_size'),
    cleanup: () => searchCleanup(db, 'search'),
    analyze: (analyzer: string, text: string) => analyze(db.connection, 'search', analyzer, text),
    nouveau: nouveauSearch,
  });
}
