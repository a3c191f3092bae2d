import { arrayField, asArray, asObject, numberOrNull, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, restriction, text, toBody } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope, DocumentRules } from '../http/scope.ts';
import { endpoint, readByPost } from '../http/url.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { FieldPath, Projected, Queried } from './field-path.ts';
import { decodeIndex } from './indexes.ts';
import type { MangoIndex } from './indexes.ts';
import type { Selector, TagValue, Tagged } from './selector.ts';

/** A Mango query: which documents to find, which of their fields to read, and in which order. */
export interface FindQuery<
  T extends object = AnyFields,
  Field extends FieldPath<T> = FieldPath<T>,
  Tag = TagValue<T>,
> {
  /** The condition that the documents must match; `{}` matches all documents. */
  readonly selector: Selector<T> & Tagged<T, Tag>;
  /** The fields to read. Name `_id` and `_rev` too if you need them. Default: all fields. */
  readonly fields?: readonly Field[];
  /** The order, which needs an index. All fields have the same direction. */
  readonly sort?: readonly SortField<T>[];
  /** **The maximum number of documents. CouchDB stops after 25 by default.** @defaultValue 25 */
  readonly limit?: number;
  /** How many documents to skip. A bookmark costs the server less. @defaultValue 0 */
  readonly skip?: number;
  /** Continues after the page that had this bookmark. Leave the rest of the query unchanged. */
  readonly bookmark?: string;
  /** The index to use, if it fits: the name of its design document, or that name and its own. */
  readonly useIndex?: string | readonly [ddoc: string, name: string];
  /** Whether CouchDB may use another index, or none, if `useIndex` does not fit. @defaultValue true */
  readonly allowFallback?: boolean;
  /** Adds `_conflicts` to each document. @defaultValue false */
  readonly conflicts?: boolean;
  /** Whether CouchDB updates the index first. @defaultValue true */
  readonly update?: boolean;
  /** Whether each query reads the same copies of the index, on a cluster. @defaultValue false */
  readonly stable?: boolean;
  /** The read quorum: how many copies of each document are read, on a cluster. @defaultValue 1 */
  readonly r?: number;
  /** Adds `executionStats` to the result. @defaultValue false */
  readonly executionStats?: boolean;
}

/** A field to sort by, ascending by default. For a text index, with its type. */
export type SortField<T extends object = AnyFields> =
  | FieldPath<T>
  | { readonly [Path in FieldPath<T>]?: 'asc' | 'desc' }
  | TypedName
  | { readonly [name: TypedName]: 'asc' | 'desc' };

type TypedName = `${string}:${'string' | 'number'}`;

/** The result of a query: the documents, and the bookmark of the next page. */
export interface FindResult<Doc extends object = Document> {
  readonly docs: readonly Doc[];
  /** Continues with the next page; null if the server sent none. Pages after the last one are empty. */
  readonly bookmark: string | null;
  /** A warning of the server, such as that no index fits and it read every document; or null. */
  readonly warning: string | null;
  /** Null unless the query has `executionStats: true`. */
  readonly executionStats: ExecutionStats | null;
}

/** The type of a found document: the fields that the query reads. */
export type FoundDocument<T extends object, Field extends string> = [Field] extends [never]
  ? Document<T>
  : [FieldPath<T>] extends [Field]
    ? Document<T>
    : string extends keyof T
      ? AnyFields
      : Projected<Queried<T>, Field>;

/** The costs of a query, as CouchDB counts them. Null if the server does not send a count. */
export interface ExecutionStats {
  readonly totalKeysExamined: number | null;
  readonly totalDocsExamined: number | null;
  readonly totalQuorumDocsExamined: number | null;
  readonly resultsReturned: number | null;
  /** In milliseconds. */
  readonly executionTimeMs: number | null;
}

/** The plan of the server for a query. */
export interface Explanation {
  /**
   * The index that CouchDB would use; `_all_docs` if none fits. Null if the query would fail, as with a
   * `sort` that no index can serve: the reasons are in `indexCandidates`.
   */
  readonly index: MangoIndex | null;
  /** Whether the index contains the whole answer, so that no document is read. Null on older servers. */
  readonly covering: boolean | null;
  /** The selector, rewritten by the server. */
  readonly selector: Readonly<Record<string, unknown>>;
  /** The fields that the query reads; empty for all fields. */
  readonly fields: readonly string[];
  readonly limit: number | null;
  readonly skip: number | null;
  /** The options as the server understood them, with the names of CouchDB. */
  readonly opts: Readonly<Record<string, unknown>>;
  /** How CouchDB would query the index; null if the index is not a view. */
  readonly mrargs: Readonly<Record<string, unknown>> | null;
  /** The other indexes, with the reasons against them. */
  readonly indexCandidates: readonly IndexCandidate[];
  /** The fields of the selector that an index could contain, by the type of the index. */
  readonly selectorHints: readonly Readonly<Record<string, unknown>>[];
}

/** An index that CouchDB would not use for the query. */
export interface IndexCandidate {
  readonly index: MangoIndex;
  readonly usable: boolean;
  /** The reasons against the index, such as `'field_mismatch'` or `'unfavored_type'`. */
  readonly reasons: readonly string[];
  readonly covering: boolean | null;
}

const jsonObject: Parameter = (value, name, codec) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidArgument(name, 'an object', value);
  return restriction(value, name, codec);
};

const nonEmptyArray: Parameter = (value, name) => {
  if (!Array.isArray(value) || value.length === 0)
    throw invalidArgument(name, 'an array that is not empty', value);
  return json(value, name);
};

const OPTIONS: Parameters = {
  selector: jsonObject,
  fields: nonEmptyArray,
  sort: nonEmptyArray,
  limit: count,
  skip: count,
  bookmark: text,
  useIndex: (value, name) =>
    Array.isArray(value) ? nonEmptyArray(value, name) : text(value, name),
  allowFallback: flag,
  conflicts: flag,
  update: flag,
  stable: flag,
  r: count,
  executionStats: flag,
};

const FIND = '/_find';

/** Finds documents. */
export function find<T extends object, Field extends FieldPath<T>>(
  db: DatabaseScope,
  query: FindQuery<T, Field>,
): Operation<FindResult<FoundDocument<T, Field>>> {
  const body = findBody(db, query, 'find');
  return operation(
    db.connection,
    () => readByPost(endpoint(db, FIND), body()),
    (answer) => decodeFindResult<FoundDocument<T, Field>>(answer, foundRules(db, query)),
  );
}

/** Explains how the server would answer a query. */
export function explain<T extends object>(
  db: DatabaseScope,
  query: FindQuery<T>,
): Operation<Explanation> {
  const body = findBody(db, query, 'explain');
  return operation(
    db.connection,
    () => readByPost(endpoint(db, '/_explain'), body()),
    decodeExplanation,
  );
}

/**
 * Returns a function that writes a query as a body: each subscription reads the query again.
 *
 * @throws TypeError or RangeError for an invalid query.
 */
function findBody(db: DatabaseScope, query: object, what: string): () => Record<string, unknown> {
  const encode = (): Record<string, unknown> => {
    if (typeof query !== 'object' || query === null)
      throw invalidArgument(`${what}: query`, 'an object with a selector', query);
    if (!('selector' in query) || query.selector === undefined)
      throw new TypeError(
        `${what}: the query has no selector; { selector: {} } finds all documents`,
      );
    return toBody(OPTIONS, query, what, db.connection.codec);
  };
  encode();
  return encode;
}

/** The rules for what a query finds: none for the parts of documents that `fields` chooses. */
function foundRules({ rules }: DatabaseScope, { fields }: FindQuery): DocumentRules | null {
  return fields === undefined ? rules : null;
}

function decodeFindResult<Doc extends object>(
  body: unknown,
  rules: DocumentRules | null,
): FindResult<Doc> {
  const docs = arrayField(body, 'docs').map((doc) => asObject(doc) as Doc);
  return {
    docs: rules === null ? docs : docs.map(rules.read).filter((doc) => doc !== null),
    ...decodeFindSummary(body),
  };
}

/** Decodes the answer to a query, without the documents. */
function decodeFindSummary(body: unknown): Omit<FindResult, 'docs'> {
  const { bookmark, warning, execution_stats: stats } = asObject(body);
  return {
    bookmark: typeof bookmark === 'string' && bookmark !== 'nil' ? bookmark : null,
    warning: warning === undefined || warning === null ? null : warningText(warning),
    executionStats: stats === undefined ? null : decodeStats(asObject(stats)),
  };
}

/** Joins warnings: CouchDB sends one, and other servers send several. */
function warningText(warning: unknown): string {
  return Array.isArray(warning) ? warning.join('\n') : String(warning);
}

function decodeStats(stats: Readonly<Record<string, unknown>>): ExecutionStats {
  return {
    totalKeysExamined: numberOrNull(stats['total_keys_examined']),
    totalDocsExamined: numberOrNull(stats['total_docs_examined']),
    totalQuorumDocsExamined: numberOrNull(stats['total_quorum_docs_examined']),
    resultsReturned: numberOrNull(stats['results_returned']),
    executionTimeMs: numberOrNull(stats['execution_time_ms']),
  };
}

function decodeExplanation(body: unknown): Explanation {
  const answer = asObject(body);
  const { index, covering, selector, fields, opts, mrargs } = answer;
  return {
    index: index === undefined || index === null ? null : decodeIndex(index),
    covering: typeof covering === 'boolean' ? covering : null,
    selector: asObject(selector),
    // Older servers send 'all_fields'.
    fields: Array.isArray(fields) ? fields.map(String) : [],
    limit: numberOrNull(answer['limit']),
    skip: numberOrNull(answer['skip']),
    opts: asObject(opts),
    mrargs: mrargs === undefined ? null : asObject(mrargs),
    indexCandidates: asArray(answer['index_candidates'] ?? []).map(decodeCandidate),
    selectorHints: asArray(answer['selector_hints'] ?? []).map(asObject),
  };
}

function decodeCandidate(raw: unknown): IndexCandidate {
  const { index, analysis } = asObject(raw);
  const { usable, reasons, covering } = asObject(analysis);
  return {
    index: decodeIndex(index),
    usable: usable === true,
    reasons: asArray(reasons ?? []).map((reason) => stringField(reason, 'name')),
    covering: typeof covering === 'boolean' ? covering : null,
  };
}

function readFound(rules: DocumentRules | null, raw: unknown): object | undefined {
  const doc = asObject(raw);
  return rules === null ? doc : (rules.read(doc) ?? undefined);
}

/** The result of a query without its documents: the end of a stream of documents. */
export type FindSummary = Omit<FindResult, 'docs'>;

/** Streams the documents that a query finds. */
export function streamFound<T extends object, Field extends FieldPath<T>>(
  db: DatabaseScope,
  query: FindQuery<T, Field>,
): RowStream<FoundDocument<T, Field>, FindSummary> {
  const body = findBody(db, query, 'findRows');
  return new RowStream(db.connection, () => readByPost(endpoint(db, FIND), body()), {
    field: 'docs',
    row: (raw) => readFound(foundRules(db, query), raw) as FoundDocument<T, Field> | undefined,
    // Documents without `_id` are parts that the query chose.
    mayHoldErrors: query.fields?.some((field) => field === 'error') ?? false,
    info: decodeFindSummary,
  });
}
