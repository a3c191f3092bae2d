import { arrayField, asArray, asObject, numberOrNull, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, text, toBody } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { FieldPath, Projected, Queried } from './field-path.ts';
import { decodeIndex } from './indexes.ts';
import type { MangoIndex } from './indexes.ts';
import type { Selector } from './selector.ts';

/** A Mango query: which documents are found, what of them, and in which order. */
export interface FindQuery<
  T extends object = AnyFields,
  Field extends FieldPath<T> = FieldPath<T>,
> {
  /** What the documents must be like; `{}` is all of them. */
  readonly selector: Selector<T>;
  /** Which fields are read. `_id` and `_rev` are among them only when named. Default: all. */
  readonly fields?: readonly Field[];
  /** The order, for which there must be an index. All fields go the same way. */
  readonly sort?: readonly SortField<T>[];
  /** **How many documents at most. CouchDB stops after 25 unless told otherwise.** @defaultValue 25 */
  readonly limit?: number;
  /** How many documents are passed over. A bookmark takes the server less. */
  readonly skip?: number;
  /** Goes on where the page that came with this bookmark ended, if nothing else is changed. */
  readonly bookmark?: string;
  /** The index to use, if it fits: a design document's name, or that and the index's. */
  readonly useIndex?: string | readonly [ddoc: string, name: string];
  /** Whether another index, or none, may serve where `useIndex` does not. @defaultValue true */
  readonly allowFallback?: boolean;
  /** Adds `_conflicts` to each document. @defaultValue false */
  readonly conflicts?: boolean;
  /** Whether the index is brought up to date first. @defaultValue true */
  readonly update?: boolean;
  /** Whether the same copies of the index are read each time. @defaultValue false */
  readonly stable?: boolean;
  /** How many copies of each document are read, on a cluster. @defaultValue 1 */
  readonly r?: number;
  /** Tells in `executionStats` what it took. @defaultValue false */
  readonly executionStats?: boolean;
}

/** A field to sort by, ascending unless it says otherwise; for a text index, with its type. */
export type SortField<T extends object = AnyFields> =
  | FieldPath<T>
  | { readonly [Path in FieldPath<T>]?: 'asc' | 'desc' }
  | TypedName
  | { readonly [name: TypedName]: 'asc' | 'desc' };

type TypedName = `${string}:${'string' | 'number'}`;

/** The documents that a query found. */
export interface FindResult<Doc extends object = Document> {
  readonly docs: readonly Doc[];
  /** Where the next page begins; null where the server gave none. Past the end, pages are empty. */
  readonly bookmark: string | null;
  /** Such as that there is no index for this, so that every document was looked at; or null. */
  readonly warning: string | null;
  /** Null unless asked for. */
  readonly executionStats: ExecutionStats | null;
}

/** The documents of a query that reads these fields: those of the type that are read. */
export type FoundDocument<T extends object, Field extends string> = [Field] extends [never]
  ? Document<T>
  : [FieldPath<T>] extends [Field]
    ? Document<T>
    : string extends keyof T
      ? AnyFields
      : Projected<Queried<T>, Field>;

/** What a query took. */
export interface ExecutionStats {
  readonly totalKeysExamined: number | null;
  readonly totalDocsExamined: number | null;
  readonly totalQuorumDocsExamined: number | null;
  readonly resultsReturned: number | null;
  /** In milliseconds. */
  readonly executionTimeMs: number | null;
}

/** How the server would answer a query. */
export interface Explanation {
  /** The index that it would use; `_all_docs` when there is none that fits. */
  readonly index: MangoIndex;
  /** Whether the index alone has the answer, and no document is read. Null on older servers. */
  readonly covering: boolean | null;
  /** The selector as the server rewrote it. */
  readonly selector: Readonly<Record<string, unknown>>;
  /** The fields that are read; empty for all. */
  readonly fields: readonly string[];
  readonly limit: number | null;
  readonly skip: number | null;
  /** The options as the server understood them, by their names on the wire. */
  readonly opts: Readonly<Record<string, unknown>>;
  /** How the index would be read; null where it is not a view. */
  readonly mrargs: Readonly<Record<string, unknown>> | null;
  /** The other indexes, and why not they. */
  readonly indexCandidates: readonly IndexCandidate[];
  /** Which fields of the selector an index could help with, by the type of index. */
  readonly selectorHints: readonly Readonly<Record<string, unknown>>[];
}

/** An index that would not be used. */
export interface IndexCandidate {
  readonly index: MangoIndex;
  readonly usable: boolean;
  /** As in `'field_mismatch'` or `'unfavored_type'`. */
  readonly reasons: readonly string[];
  readonly covering: boolean | null;
}

const object: Parameter = (value, name) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidArgument(name, 'an object', value);
  return json(value, name);
};

const list: Parameter = (value, name) => {
  if (!Array.isArray(value) || value.length === 0)
    throw invalidArgument(name, 'an array that is not empty', value);
  return json(value, name);
};

const FIND: Parameters = {
  selector: object,
  fields: list,
  sort: list,
  limit: count,
  skip: count,
  bookmark: text,
  useIndex: (value, name) => (Array.isArray(value) ? list(value, name) : text(value, name)),
  allowFallback: flag,
  conflicts: flag,
  update: flag,
  stable: flag,
  r: count,
  executionStats: flag,
};

export function find<T extends object, Field extends FieldPath<T>>(
  db: DatabaseScope,
  query: FindQuery<T, Field>,
): Operation<FindResult<FoundDocument<T, Field>>> {
  const body = findBody(query, 'find');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_find`, json: body() }),
    (answer) => decodeFound<FoundDocument<T, Field>>(answer),
  );
}

export function explain<T extends object>(
  db: DatabaseScope,
  query: FindQuery<T>,
): Operation<Explanation> {
  const body = findBody(query, 'explain');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_explain`, json: body() }),
    decodeExplanation,
  );
}

/**
 * Writes a query as a body, each time that it is asked to: a query may be changed between two
 * subscriptions.
 *
 * @throws TypeError or RangeError for what is wrong with it already.
 */
export function findBody(query: object, what: string): () => Record<string, unknown> {
  const write = (): Record<string, unknown> => {
    if (typeof query !== 'object' || query === null)
      throw invalidArgument(`${what}: query`, 'an object with a selector', query);
    if (!('selector' in query) || query.selector === undefined)
      throw new TypeError(`${what}: the query has no selector; { selector: {} } finds everything`);
    return toBody(FIND, query, what);
  };
  write();
  return write;
}

export function decodeFound<Doc extends object>(body: unknown): FindResult<Doc> {
  return {
    docs: arrayField(body, 'docs').map((doc) => asObject(doc) as Doc),
    ...decodeFindSummary(body),
  };
}

/** Reads what the server says beside the documents that it found. */
export function decodeFindSummary(body: unknown): Omit<FindResult, 'docs'> {
  const { bookmark, warning, execution_stats: stats } = asObject(body);
  return {
    bookmark: typeof bookmark === 'string' && bookmark !== 'nil' ? bookmark : null,
    // Some servers have several.
    warning: warning === undefined || warning === null ? null : asText(warning),
    executionStats: stats === undefined ? null : decodeStats(asObject(stats)),
  };
}

function asText(warning: unknown): string {
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
    index: decodeIndex(index),
    covering: typeof covering === 'boolean' ? covering : null,
    selector: asObject(selector),
    // Older servers say 'all_fields'.
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

/** What the server says when it has found all there is. */
export type FindSummary = Omit<FindResult, 'docs'>;

/** Streams the documents that a query finds. */
export function streamFound<T extends object, Field extends FieldPath<T>>(
  db: DatabaseScope,
  query: FindQuery<T, Field>,
): RowStream<FoundDocument<T, Field>, FindSummary> {
  const body = findBody(query, 'findRows');
  const describe = () => ({ method: 'POST', path: `${db.path}/_find`, json: body() });
  return new RowStream(db.connection, describe, {
    field: 'docs',
    row: (raw) => asObject(raw) as FoundDocument<T, Field>,
    info: decodeFindSummary,
  });
}
