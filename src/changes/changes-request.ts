/**
 * The changes layer reads the history of a database, once or continuously. It imports only http and
 * the layers below.
 */
import {
  count,
  flag,
  functionQuery,
  oneOf,
  requireRestrictions,
  text,
  toQuery,
} from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { assertQuery } from '../model/json.ts';
import type { JsonCodec } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { arrayField, asObject, numberOrNull, sequence, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint } from '../http/url.ts';
import type { Change, ChangesResult, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';

/**
 * Selects the changes that the server sends, and their content.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/changes.html
 */
export interface ChangesParameters {
  /** Only changes after this sequence; `0` is the beginning, `'now'` the end. */
  readonly since?: Sequence | 0;
  /** The maximum number of changes. */
  readonly limit?: number;
  /** Adds the document to each change. @defaultValue false */
  readonly includeDocs?: boolean;
  /** Adds `_conflicts`, with `includeDocs`. @defaultValue false */
  readonly conflicts?: boolean;
  /** Adds the content of attachments as base64, with `includeDocs`. @defaultValue false */
  readonly attachments?: boolean;
  /** Adds `encoding` and `encoded_length` to attachment stubs. @defaultValue false */
  readonly attEncodingInfo?: boolean;
  /**
   * Lists only the winning revision of a document (`'main_only'`), or all leaf revisions
   * (`'all_docs'`).
   * @defaultValue 'main_only'
   */
  readonly style?: 'main_only' | 'all_docs';
  /** Only these documents. */
  readonly docIds?: readonly string[];
  /** Only documents that match this Mango selector. */
  readonly selector?: Readonly<Record<string, unknown>>;
  /** Only documents that this view emits: `'design-document/view'`. */
  readonly view?: string;
  /** Only documents that this filter function passes: `'design-document/filter'`, or `'_design'`. */
  readonly filter?: string;
  /** Parameters for the filter function. */
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  /** Sends a sequence only with every n-th change; the others have `seq: null`. */
  readonly seqInterval?: number;
}

export const sinceParameter: Parameter = (value, name) => {
  if (value === 0 || (typeof value === 'string' && value !== '')) return String(value);
  throw invalidArgument(name, "a sequence that CouchDB gave, 'now' or 0", value);
};

const PARAMETERS: Parameters = {
  since: sinceParameter,
  limit: count,
  includeDocs: flag,
  conflicts: flag,
  attachments: flag,
  attEncodingInfo: flag,
  style: oneOf('main_only', 'all_docs'),
  view: text,
  filter: text,
  seqInterval: count,
  descending: flag,
  feed: text,
  heartbeat: count,
  timeout: count,
};

/** A request for changes, as it goes over the wire. */
export interface ChangesRequest {
  readonly method: 'GET' | 'POST';
  readonly reads: true;
  /** The query string, with its `?`. */
  readonly query: string;
  readonly json?: unknown;
}

/**
 * Builds the request for some parameters.
 *
 * @param added - Parameters that Corduroy adds, such as `feed` and `heartbeat`.
 * @param what - The method's name, for error messages.
 * @param codec - The codec that will write the body.
 * @throws TypeError for unknown options, for more than one way to filter, and for `undefined` in a filter.
 */
export function changesRequest(
  parameters: ChangesParameters,
  added: Readonly<Record<string, unknown>>,
  what: string,
  codec: JsonCodec,
): ChangesRequest {
  requireRestrictions(parameters, what);
  if ('query' in parameters && parameters.query === undefined)
    throw invalidArgument(`${what}: query`, 'an object', parameters.query);
  const { docIds, selector, query = {}, ...rest } = parameters;
  const { view, filter } = rest;
  const filters = Object.entries({ docIds, selector, view, filter })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (filters.length > 1) {
    throw new TypeError(`${what}: ${filters.join(' and ')} exclude each other: pass only one`);
  }
  const builtInFilter =
    docIds !== undefined ? '_doc_ids' : selector !== undefined ? '_selector' : view && '_view';
  const known = toQuery(
    PARAMETERS,
    { ...rest, ...added, ...(builtInFilter && { filter: builtInFilter }) },
    what,
  );
  const filterQuery = functionQuery(query, `${what}: query`);
  const full = filterQuery === '' ? known : `${known}${known === '' ? '?' : '&'}${filterQuery}`;
  const body =
    docIds !== undefined ? { doc_ids: docIds } : selector !== undefined ? { selector } : undefined;
  if (body === undefined) return { method: 'GET', reads: true, query: full };
  assertQuery(body, what, codec);
  return { method: 'POST', reads: true, query: full, json: body };
}

export const CHANGES = '/_changes';

/** Decodes a change: the row as the server sent it, with its sequence as a string. */
export function decodeChange<T extends object>(row: unknown): Change<T> {
  const change = asObject(row) as { seq?: unknown };
  stringField(change, 'id');
  const { seq } = change;
  if (seq !== null && typeof seq !== 'string') change.seq = sequence(seq);
  return change as unknown as Change<T>;
}

/** Returns a change with its document as the database decodes it. */
export function readChange<T extends object>(
  { rules }: DatabaseScope,
  change: Change<T>,
): Change<T> {
  if (rules === null || !change.doc) return change;
  const doc = rules.readOrWarn<object>(change.doc);
  return doc === change.doc ? change : ({ ...change, doc } as Change<T>);
}

/** Returns the last sequence among changes, or null if none of them has one. */
export function lastSequence(
  changes: readonly { readonly seq: Sequence | null }[],
): Sequence | null {
  for (let i = changes.length - 1; i >= 0; i--) {
    const seq = changes[i]?.seq;
    if (seq !== null && seq !== undefined) return seq;
  }
  return null;
}

/** The options of a one-shot request for changes. */
export interface ChangesOptions extends ChangesParameters {
  /** Lists the latest change first. @defaultValue false */
  readonly descending?: boolean;
}

export function readChanges<T extends object = AnyFields>(
  db: DatabaseScope,
  options: ChangesOptions,
): Operation<ChangesResult<T>> {
  const { query, ...request } = changesRequest(options, {}, 'changes', db.connection.codec);
  return operation(
    db.connection,
    () => ({ ...request, ...endpoint(db, CHANGES, query) }),
    (body) => ({
      lastSeq: sequence(asObject(body)['last_seq']),
      pending: numberOrNull(asObject(body)['pending']),
      results: arrayField(body, 'results').map((row) => readChange(db, decodeChange<T>(row))),
    }),
  );
}

/** Reads the sequence of the latest change, which `'now'` stands for at this moment. */
export function readLastSequence(db: DatabaseScope, timeout: number): Operation<Sequence> {
  return operation(
    db.connection,
    () => ({ ...endpoint(db, CHANGES, '?since=now&limit=0'), timeout }),
    (body) => sequence(asObject(body)['last_seq']),
  );
}

/** The end of a list of changes: its last sequence, and how many changes follow. */
export type ChangesSummary = Omit<ChangesResult, 'results'>;

/** Streams the changes up to the present, and completes. */
export function streamChanges<T extends object = AnyFields>(
  db: DatabaseScope,
  options: ChangesOptions,
): RowStream<Change<T>, ChangesSummary> {
  const { query, ...request } = changesRequest(options, {}, 'changeRows', db.connection.codec);
  const spec = { ...request, ...endpoint(db, CHANGES, query) };
  return new RowStream(db.connection, () => spec, {
    field: 'results',
    row: (raw) => readChange(db, decodeChange<T>(raw)),
    info: ({ last_seq: last, pending }) => ({
      lastSeq: sequence(last),
      pending: numberOrNull(pending),
    }),
  });
}
