import { arrayField, asObject, numberOrNull, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, oneOf, text, toBody } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import type { Connection } from '../http/connection.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { segment } from '../http/url.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** A search with Clouseau. */
export interface SearchQuery {
  /** What is looked for, in the syntax of Lucene: `'title:solaris AND year:[1960 TO 1980]'`. */
  readonly q: string;
  /** How many hits at most; of a grouped search, in each group. @defaultValue 25 */
  readonly limit?: number;
  /** Goes on where the page that came with this bookmark ended. */
  readonly bookmark?: string;
  /** `'field'`, `'-field'` to go backwards, `'field<string>'` for text. Default: by relevance. */
  readonly sort?: string | readonly string[];
  /** Adds the document to each hit. @defaultValue false */
  readonly includeDocs?: boolean;
  /** Which of the fields that are kept in the index are read. */
  readonly includeFields?: readonly string[];
  /** Fields of which the values are counted. */
  readonly counts?: readonly string[];
  /** Ranges of fields of which the hits are counted: `{ price: { cheap: '[0 TO 100]' } }`. */
  readonly ranges?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Only hits with these values, which are compared as they are: `[['colour', 'red']]`. */
  readonly drilldown?: readonly (readonly string[])[];
  /** The field by which hits are grouped. */
  readonly groupField?: string;
  /** How many groups at most. */
  readonly groupLimit?: number;
  readonly groupSort?: string | readonly string[];
  /** Fields of which the passages that matched are read. */
  readonly highlightFields?: readonly string[];
  readonly highlightPreTag?: string;
  readonly highlightPostTag?: string;
  readonly highlightNumber?: number;
  /** In characters. */
  readonly highlightSize?: number;
  /** Takes the index as it is. Do not use it with a bookmark. */
  readonly stale?: 'ok';
  /** Whether the same copies of the index are read each time. @defaultValue false */
  readonly stable?: boolean;
}

const some: Parameter = (value, name) => {
  if (typeof value === 'string' ? value === '' : !Array.isArray(value))
    throw invalidArgument(name, 'a string or an array', value);
  return json(value, name);
};

const SEARCH: Parameters = {
  q: text,
  limit: count,
  bookmark: text,
  sort: some,
  includeDocs: flag,
  includeFields: some,
  counts: some,
  ranges: json,
  drilldown: some,
  groupField: text,
  groupLimit: count,
  groupSort: some,
  highlightFields: some,
  highlightPreTag: json,
  highlightPostTag: json,
  highlightNumber: count,
  highlightSize: count,
  stale: oneOf('ok'),
  stable: flag,
};

/** A document that a search found. */
export interface SearchHit<T extends object = AnyFields> {
  readonly id: string;
  /** By what the hits are sorted: the relevance, or the values of the fields. */
  readonly order: readonly unknown[];
  /** The fields that are kept in the index. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Null unless asked for, and where it is deleted by now. */
  readonly doc: Document<T> | null;
  /** The passages that matched, by field; null unless asked for. */
  readonly highlights: Readonly<Record<string, readonly string[]>> | null;
}

/** Hits that have the same value in the field that they are grouped by. */
export interface SearchGroup<T extends object = AnyFields> {
  readonly by: string | null;
  readonly totalRows: number;
  readonly rows: readonly SearchHit<T>[];
}

/** What a search found. */
export interface SearchResult<T extends object = AnyFields> {
  readonly totalRows: number;
  readonly rows: readonly SearchHit<T>[];
  /** Where the next page begins; null for grouped searches. Past the end, pages are empty. */
  readonly bookmark: string | null;
  /** The groups of a grouped search, which has no rows of its own; else null. */
  readonly groups: readonly SearchGroup<T>[] | null;
  /** How many hits have each value, by field; null unless asked for. */
  readonly counts: Facets | null;
  /** How many hits are in each range, by field; null unless asked for. */
  readonly ranges: Facets | null;
}

/** Counts by field and value, or by field and range. */
export type Facets = Readonly<Record<string, Readonly<Record<string, number>>>>;

export function search<T extends object>(
  db: DatabaseScope,
  name: string,
  query: SearchQuery,
): Operation<SearchResult<T>> {
  const path = `${db.path}${searchPath(name, '_search')}`;
  const write = (): Record<string, unknown> => searchBody(SEARCH, query, 'search');
  write();
  return operation(
    db.connection,
    () => ({ method: 'POST', path, json: write() }),
    (body): SearchResult<T> => {
      const { total_rows: total, bookmark, groups, rows, counts, ranges } = asObject(body);
      return {
        totalRows: numberOrNull(total) ?? 0,
        rows: rows === undefined ? [] : arrayField(body, 'rows').map((row) => decodeHit<T>(row)),
        bookmark: typeof bookmark === 'string' ? bookmark : null,
        groups:
          groups === undefined
            ? null
            : arrayField(body, 'groups').map((group) => decodeGroup<T>(group)),
        counts: (counts ?? null) as Facets | null,
        ranges: (ranges ?? null) as Facets | null,
      };
    },
  );
}

/** What the server knows of a search index. */
export interface SearchInfo {
  readonly name: string;
  /** As the server says it: `doc_count`, `disk_size`, `pending_seq`… */
  readonly searchIndex: Readonly<Record<string, unknown>>;
}

export function searchInfo(db: DatabaseScope, name: string, kind: string): Operation<SearchInfo> {
  const path = `${db.path}${searchPath(name, kind)}`;
  return operation(
    db.connection,
    () => ({ path }),
    (body) => ({
      name: stringField(body, 'name'),
      searchIndex: asObject(asObject(body)['search_index']),
    }),
  );
}

/** Writes a search as a body, after having looked at it. */
export function searchBody(
  parameters: Parameters,
  query: object,
  what: string,
): Record<string, unknown> {
  if (typeof query !== 'object' || query === null)
    throw invalidArgument(`${what}: query`, 'an object with q', query);
  if (!('q' in query)) throw new TypeError(`${what}: the query has no q, what to look for`);
  return toBody(parameters, query, what);
}

/** Makes the path of a search index: `'design-document/index'`. */
export function searchPath(name: unknown, kind: string): string {
  const slash = typeof name === 'string' ? name.indexOf('/') : -1;
  if (typeof name !== 'string' || slash < 1 || slash === name.length - 1 || name.startsWith('_')) {
    throw new TypeError(
      `Not a search index: ${describeValue(name)}; it is named 'design-document/index'`,
    );
  }
  return `/_design/${segment(name.slice(0, slash))}/${kind}/${segment(name.slice(slash + 1))}`;
}

function decodeHit<T extends object>(raw: unknown): SearchHit<T> {
  const { order = [], fields = {}, doc = null, highlights = null } = asObject(raw);
  return {
    id: stringField(raw, 'id'),
    order: order as readonly unknown[],
    fields: asObject(fields),
    doc: doc as Document<T> | null,
    highlights: highlights as SearchHit<T>['highlights'],
  };
}

function decodeGroup<T extends object>(raw: unknown): SearchGroup<T> {
  const { by = null, total_rows: total } = asObject(raw);
  return {
    by: by as string | null,
    totalRows: numberOrNull(total) ?? 0,
    rows: arrayField(raw, 'rows').map((row) => decodeHit<T>(row)),
  };
}

/** Reads which terms an analyzer of a search engine makes of a text. */
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
    () => ({ method: 'POST', path: `/_${engine}_analyze`, json: { analyzer, text: input } }),
    (body) => arrayField(body, 'tokens') as string[],
  );
}

/** Removes the index files that no design document defines any more. */
export function searchCleanup(
  db: DatabaseScope,
  engine: 'search' | 'nouveau',
): Operation<{ readonly ok: true }> {
  return operation(
    db.connection,
    () => ({
      method: 'POST',
      path: `${db.path}/_${engine}_cleanup`,
      headers: { 'content-type': 'application/json' },
      body: '',
    }),
    (body) => {
      asObject(body);
      return { ok: true };
    },
  );
}
