import { arrayField, asObject, numberOrNull, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, oneOf, restriction, text, toBody } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import type { Connection } from '../http/connection.ts';
import type { DatabaseScope, DocumentRules } from '../http/scope.ts';
import { SERVER, designAt, endpoint, readByPost, splitName } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** A query of a Clouseau index. */
export interface SearchQuery {
  /** The search expression, in the syntax of Lucene: `'title:solaris AND year:[1960 TO 1980]'`. */
  readonly q: string;
  /** The maximum number of hits; in a grouped search, of each group. @defaultValue 25 */
  readonly limit?: number;
  /** Continues after the page that had this bookmark. */
  readonly bookmark?: string;
  /** The order: `'field'`, `'-field'` for descending, `'field<string>'` for text. Default: by relevance. */
  readonly sort?: string | readonly string[];
  /** Adds the document to each hit. @defaultValue false */
  readonly includeDocs?: boolean;
  /** The stored fields to read. Default: all stored fields. */
  readonly includeFields?: readonly string[];
  /** The fields whose values are counted. */
  readonly counts?: readonly string[];
  /** The ranges, by field, whose hits are counted: `{ price: { cheap: '[0 TO 100]' } }`. */
  readonly ranges?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Finds only hits with these exact values: `[['colour', 'red']]`. */
  readonly drilldown?: readonly (readonly string[])[];
  /** The field by which hits are grouped. */
  readonly groupField?: string;
  /** The maximum number of groups. */
  readonly groupLimit?: number;
  /** The order of the groups, as for `sort`. */
  readonly groupSort?: string | readonly string[];
  /** The fields whose matching passages are read. */
  readonly highlightFields?: readonly string[];
  readonly highlightPreTag?: string;
  readonly highlightPostTag?: string;
  readonly highlightNumber?: number;
  /** The length of a passage, in characters. */
  readonly highlightSize?: number;
  /** `'ok'`: CouchDB does not update the index first. Do not use it with a bookmark. */
  readonly stale?: 'ok';
  /** Whether each query reads the same copies of the index, on a cluster. @defaultValue false */
  readonly stable?: boolean;
}

const textOrArray: Parameter = (value, name) => {
  if (typeof value === 'string' ? value === '' : !Array.isArray(value))
    throw invalidArgument(name, 'a string or an array', value);
  return json(value, name);
};

const SEARCH: Parameters = {
  q: text,
  limit: count,
  bookmark: text,
  sort: textOrArray,
  includeDocs: flag,
  includeFields: textOrArray,
  counts: textOrArray,
  ranges: restriction,
  drilldown: textOrArray,
  groupField: text,
  groupLimit: count,
  groupSort: textOrArray,
  highlightFields: textOrArray,
  highlightPreTag: json,
  highlightPostTag: json,
  highlightNumber: count,
  highlightSize: count,
  stale: oneOf('ok'),
  stable: flag,
};

/** A hit: a document that a search found. */
export interface SearchHit<T extends object = AnyFields> {
  readonly id: string;
  /** The values by which the hits are sorted: the relevance, or the fields of `sort`. */
  readonly order: readonly unknown[];
  /** The fields that the index stores. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The document; null without `includeDocs`, or if the document is deleted by now. */
  readonly doc: Document<T> | null;
  /** The matching passages, by field; null unless the query has `highlightFields`. */
  readonly highlights: Readonly<Record<string, readonly string[]>> | null;
}

/** The hits with the same value in the field `groupField`. */
export interface SearchGroup<T extends object = AnyFields> {
  /** The value of the group; null for hits without the field. */
  readonly by: string | null;
  readonly totalRows: number;
  readonly rows: readonly SearchHit<T>[];
}

/** The result of a search: a page of hits, or groups of hits. */
export interface SearchResult<T extends object = AnyFields> {
  readonly totalRows: number;
  readonly rows: readonly SearchHit<T>[];
  /** Continues with the next page; null in a grouped search. Pages after the last one are empty. */
  readonly bookmark: string | null;
  /** The groups of a grouped search, which has no `rows`; null in other searches. */
  readonly groups: readonly SearchGroup<T>[] | null;
  /** The number of hits for each value, by field; null unless the query has `counts`. */
  readonly counts: Facets | null;
  /** The number of hits in each range, by field; null unless the query has `ranges`. */
  readonly ranges: Facets | null;
}

/** Counts by field and value, or by field and range. */
export type Facets = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Searches an index of Clouseau. */
export function search<T extends object>(
  db: DatabaseScope,
  name: string,
  query: SearchQuery,
): Operation<SearchResult<T>> {
  const address = searchAt(db, name, '_search');
  const encode = (): Record<string, unknown> => searchBody(SEARCH, query, 'search');
  // Validate now: throws at the call.
  encode();
  return operation(
    db.connection,
    () => readByPost(address, encode()),
    (body): SearchResult<T> => {
      const { total_rows: total, bookmark, groups, rows, counts, ranges } = asObject(body);
      return {
        totalRows: numberOrNull(total) ?? 0,
        rows:
          rows === undefined
            ? []
            : arrayField(body, 'rows').map((row) => decodeHit<T>(db.rules, row)),
        bookmark: typeof bookmark === 'string' ? bookmark : null,
        groups:
          groups === undefined
            ? null
            : arrayField(body, 'groups').map((group) => decodeGroup<T>(db.rules, group)),
        counts: (counts ?? null) as Facets | null,
        ranges: (ranges ?? null) as Facets | null,
      };
    },
  );
}

/** The state of a search index. */
export interface SearchInfo {
  readonly name: string;
  /** The fields of CouchDB: `doc_count`, `disk_size`, `pending_seq` and others. */
  readonly searchIndex: Readonly<Record<string, unknown>>;
}

/** Reads the state of a search index. */
export function searchInfo(db: DatabaseScope, name: string, what: string): Operation<SearchInfo> {
  const address = searchAt(db, name, what);
  return operation(
    db.connection,
    () => address,
    (body) => ({
      name: stringField(body, 'name'),
      searchIndex: asObject(asObject(body)['search_index']),
    }),
  );
}

/**
 * Writes a search as a body.
 *
 * @throws TypeError or RangeError for an invalid query.
 */
export function searchBody(
  parameters: Parameters,
  query: object,
  what: string,
): Record<string, unknown> {
  if (typeof query !== 'object' || query === null)
    throw invalidArgument(`${what}: query`, 'an object with q', query);
  if (!('q' in query)) throw new TypeError(`${what}: the query has no q, the search expression`);
  return toBody(parameters, query, what);
}

/**
 * Returns the address of a search index.
 *
 * @param what - The segment before the name of the index: `_search`, `_search_info`…
 * @throws TypeError for a name other than `'design-document/index'`.
 */
export function searchAt(db: DatabaseScope, name: unknown, what: string): Endpoint {
  const parts = splitName(name, 'search index');
  if (parts === null || parts[0].startsWith('_')) {
    throw new TypeError(
      `The name of a search index must be 'design-document/index' (received ${describeValue(name)})`,
    );
  }
  return endpoint(designAt(db, parts[0]), `/${what}/{index}`, '', parts[1]);
}

function decodeHit<T extends object>(rules: DocumentRules | null, raw: unknown): SearchHit<T> {
  const { order = [], fields = {}, doc = null, highlights = null } = asObject(raw);
  return {
    id: stringField(raw, 'id'),
    order: order as readonly unknown[],
    fields: asObject(fields),
    doc: (rules === null || doc === null ? doc : rules.read(doc)) as Document<T> | null,
    highlights: highlights as SearchHit<T>['highlights'],
  };
}

function decodeGroup<T extends object>(rules: DocumentRules | null, raw: unknown): SearchGroup<T> {
  const { by = null, total_rows: total } = asObject(raw);
  return {
    by: by as string | null,
    totalRows: numberOrNull(total) ?? 0,
    rows: arrayField(raw, 'rows').map((row) => decodeHit<T>(rules, row)),
  };
}

/** Reads the terms that an analyzer of a search engine makes of a text. */
export function analyze(
  connection: Connection,
  engine: 'search' | 'nouveau',
  analyzer: string,
  input: string,
): Operation<string[]> {
  const what = engine === 'search' ? 'search.analyze' : 'search.nouveau.analyze';
  if (typeof analyzer !== 'string' || analyzer === '')
    throw invalidArgument(`${what}: analyzer`, 'the name of an analyzer', analyzer);
  if (typeof input !== 'string') throw invalidArgument(`${what}: text`, 'a string', input);
  return operation(
    connection,
    () => readByPost(endpoint(SERVER, `/_${engine}_analyze`), { analyzer, text: input }),
    (body) => arrayField(body, 'tokens') as string[],
  );
}

/** Removes the index files that no design document defines any longer. */
export function searchCleanup(
  db: DatabaseScope,
  engine: 'search' | 'nouveau',
): Operation<{ readonly ok: true }> {
  return operation(
    db.connection,
    () => ({
      ...endpoint(db, `/_${engine}_cleanup`),
      method: 'POST',
      repeatable: true,
      headers: { 'content-type': 'application/json' },
      body: '',
    }),
    (body) => {
      asObject(body);
      return { ok: true };
    },
  );
}
