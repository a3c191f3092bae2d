import { arrayField, asObject, numberOrNull, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, text } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { searchBody, searchPath } from './search.ts';
import type { Facets } from './search.ts';

/** A search with Nouveau. */
export interface NouveauQuery {
  /** What is looked for, in the syntax of Lucene. */
  readonly q: string;
  /** How many hits at most. @defaultValue 25 */
  readonly limit?: number;
  /** Goes on where the page that came with this bookmark ended. */
  readonly bookmark?: string;
  /** `'field'`, or `'-field'` to go backwards. Default: by relevance. */
  readonly sort?: string | readonly string[];
  /** Adds the document to each hit. @defaultValue false */
  readonly includeDocs?: boolean;
  /** Fields of which the values are counted. */
  readonly counts?: readonly string[];
  /** Ranges of fields of which the hits are counted. */
  readonly ranges?: Readonly<Record<string, readonly NouveauRange[]>>;
  /** How many values of each field are counted at most. @defaultValue 10 */
  readonly topN?: number;
  /** How numbers in `q` are written, as Java names it: `'de'`. */
  readonly locale?: string;
  /** Whether the index is brought up to date first. @defaultValue true */
  readonly update?: boolean;
}

/** A range of a field. */
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

/** A document that a search found. */
export interface NouveauHit<T extends object = AnyFields> {
  readonly id: string;
  /** By what the hits are sorted, with the type of each value. */
  readonly order: readonly unknown[];
  /** The fields that are kept in the index. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Null unless asked for. */
  readonly doc: Document<T> | null;
}

/** What a search found. */
export interface NouveauResult<T extends object = AnyFields> {
  readonly totalHits: number;
  /** Whether there are just as many, or at least. */
  readonly totalHitsRelation: 'EQUAL_TO' | 'GREATER_THAN_OR_EQUAL_TO';
  readonly hits: readonly NouveauHit<T>[];
  /** Where the next page begins. Past the end, pages are empty. */
  readonly bookmark: string | null;
  /** How many hits have each value, by field; null unless asked for. */
  readonly counts: Facets | null;
  /** How many hits are in each range, by field; null unless asked for. */
  readonly ranges: Facets | null;
}

export function nouveau<T extends object>(
  db: DatabaseScope,
  name: string,
  query: NouveauQuery,
): Operation<NouveauResult<T>> {
  const path = `${db.path}${searchPath(name, '_nouveau')}`;
  const write = (): Record<string, unknown> => searchBody(NOUVEAU, query, 'nouveau');
  write();
  return operation(
    db.connection,
    () => ({ method: 'POST', path, json: write() }),
    (body): NouveauResult<T> => {
      const { total_hits: total, total_hits_relation: relation, bookmark } = asObject(body);
      const { counts = null, ranges = null } = asObject(body);
      return {
        totalHits: numberOrNull(total) ?? 0,
        totalHitsRelation: relation === 'EQUAL_TO' ? relation : 'GREATER_THAN_OR_EQUAL_TO',
        hits: arrayField(body, 'hits').map((hit) => decodeHit<T>(hit)),
        bookmark: typeof bookmark === 'string' ? bookmark : null,
        counts: counts as Facets | null,
        ranges: ranges as Facets | null,
      };
    },
  );
}

function decodeHit<T extends object>(raw: unknown): NouveauHit<T> {
  const { order = [], fields = {}, doc = null } = asObject(raw);
  return {
    id: stringField(raw, 'id'),
    order: order as readonly unknown[],
    fields: asObject(fields),
    doc: doc as Document<T> | null,
  };
}
