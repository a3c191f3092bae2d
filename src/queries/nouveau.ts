import { arrayField, asObject, numberOrNull, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, text } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import type { DatabaseScope, DocumentRules } from '../http/scope.ts';
import { readByPost } from '../http/url.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { searchAt, searchBody } from './search.ts';
import type { Facets } from './search.ts';

/** A query of a Nouveau index. */
export interface NouveauQuery {
  /** The search expression, in the syntax of Lucene. */
  readonly q: string;
  /** The maximum number of hits. @defaultValue 25 */
  readonly limit?: number;
  /** Continues after the page that had this bookmark. */
  readonly bookmark?: string;
  /** The order: `'field'`, or `'-field'` for descending. Default: by relevance. */
  readonly sort?: string | readonly string[];
  /** Adds the document to each hit. @defaultValue false */
  readonly includeDocs?: boolean;
  /** The fields whose values are counted. */
  readonly counts?: readonly string[];
  /** The ranges, by field, whose hits are counted. */
  readonly ranges?: Readonly<Record<string, readonly NouveauRange[]>>;
  /** The maximum number of counted values for each field. @defaultValue 10 */
  readonly topN?: number;
  /** The locale of the numbers in `q`, as Java names it: `'de'`. */
  readonly locale?: string;
  /** Whether CouchDB updates the index first. @defaultValue true */
  readonly update?: boolean;
}

/** A range of the values of a field. */
export interface NouveauRange {
  readonly label: string;
  readonly min: number;
  readonly max: number;
  /** @defaultValue true */
  readonly min_inclusive?: boolean;
  /** @defaultValue true */
  readonly max_inclusive?: boolean;
}

const NOUVEAU: Parameters = {
  q: text,
  limit: count,
  bookmark: text,
  sort: json,
  includeDocs: flag,
  counts: json,
  ranges: json,
  topN: count,
  locale: text,
  update: flag,
};

/** A hit: a document that a search found. */
export interface NouveauHit<T extends object = AnyFields> {
  readonly id: string;
  /** The values by which the hits are sorted, with their types. */
  readonly order: readonly unknown[];
  /** The fields that the index stores. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The document; null unless the query has `includeDocs: true`. */
  readonly doc: Document<T> | null;
}

/** The result of a search: a page of hits. */
export interface NouveauResult<T extends object = AnyFields> {
  readonly totalHits: number;
  /** Whether `totalHits` is exact, or a lower bound. */
  readonly totalHitsRelation: 'EQUAL_TO' | 'GREATER_THAN_OR_EQUAL_TO';
  readonly hits: readonly NouveauHit<T>[];
  /** Continues with the next page; null if the server sent none. Pages after the last one are empty. */
  readonly bookmark: string | null;
  /** The number of hits for each value, by field; null unless the query has `counts`. */
  readonly counts: Facets | null;
  /** The number of hits in each range, by field; null unless the query has `ranges`. */
  readonly ranges: Facets | null;
}

/** Searches an index of Nouveau. */
export function nouveau<T extends object>(
  db: DatabaseScope,
  name: string,
  query: NouveauQuery,
): Operation<NouveauResult<T>> {
  const address = searchAt(db, name, '_nouveau');
  const encode = (): Record<string, unknown> => searchBody(NOUVEAU, query, 'search.nouveau');
  // Validate now: throws at the call.
  encode();
  return operation(
    db.connection,
    () => readByPost(address, encode()),
    (body): NouveauResult<T> => {
      const { total_hits: total, total_hits_relation: relation, bookmark } = asObject(body);
      const { counts = null, ranges = null } = asObject(body);
      return {
        totalHits: numberOrNull(total) ?? 0,
        totalHitsRelation: relation === 'EQUAL_TO' ? relation : 'GREATER_THAN_OR_EQUAL_TO',
        hits: arrayField(body, 'hits').map((hit) => decodeHit<T>(db.rules, hit)),
        bookmark: typeof bookmark === 'string' ? bookmark : null,
        counts: counts as Facets | null,
        ranges: ranges as Facets | null,
      };
    },
  );
}

function decodeHit<T extends object>(rules: DocumentRules | null, raw: unknown): NouveauHit<T> {
  const { order = [], fields = {}, doc = null } = asObject(raw);
  return {
    id: stringField(raw, 'id'),
    order: order as readonly unknown[],
    fields: asObject(fields),
    doc: (rules === null || doc === null ? doc : rules.read(doc)) as Document<T> | null,
  };
}
