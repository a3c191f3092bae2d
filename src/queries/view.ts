import { arrayField, asObject, numberOrNull, sequence } from '../http/decode.ts';
import type { RequestSpec } from '../http/link.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import {
  count,
  flag,
  oneOf,
  requireRestrictions,
  restriction,
  text,
  toBody,
  toQuery,
} from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope, DocumentRules } from '../http/scope.ts';
import { designAt, endpoint, isLongPath, readByPost, splitName } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { assertQuery } from '../model/json.ts';
import type { JsonCodec } from '../model/json.ts';
import { Row, View } from '../model/view.ts';
import type { ViewHead } from '../model/view.ts';

/** Options for querying a view. */
export interface ViewOptions {
  /** Reads only the rows with this key: any JSON value, including `null`, `false`, `0` and `''`. */
  readonly key?: unknown;
  /** Reads only the rows with these keys, in this order. */
  readonly keys?: readonly unknown[];
  /** The first key. */
  readonly startKey?: unknown;
  /** The last key. */
  readonly endKey?: unknown;
  /** Among the rows with `startKey`: the first document id. */
  readonly startKeyDocId?: string;
  /** Among the rows with `endKey`: the last document id. */
  readonly endKeyDocId?: string;
  /** Whether the rows with `endKey` are included. @defaultValue true */
  readonly inclusiveEnd?: boolean;
  /** Reverses the order; exchange `startKey` and `endKey` too. @defaultValue false */
  readonly descending?: boolean;
  /** The maximum number of rows. Default: no limit. */
  readonly limit?: number;
  /** How many rows to skip. @defaultValue 0 */
  readonly skip?: number;
  /** Adds to each row the document that emitted it. @defaultValue false */
  readonly includeDocs?: boolean;
  /** With `includeDocs`: adds `_conflicts` to each document. @defaultValue false */
  readonly conflicts?: boolean;
  /** With `includeDocs`: reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  /** With `includeDocs`: adds the encoding of compressed attachments. @defaultValue false */
  readonly attEncodingInfo?: boolean;
  /** Whether to reduce the rows. Default: true if the view has a reduce function. */
  readonly reduce?: boolean;
  /** Reduces to one row for each key. @defaultValue false */
  readonly group?: boolean;
  /**
   * Reduces to one row for each group of array keys that have the same first elements: as many as this
   * number. `'exact'` is the same as `group: true`.
   */
  readonly groupLevel?: number | 'exact';
  /** Whether CouchDB updates the index first (`true`), afterwards (`'lazy'`), or not. @defaultValue true */
  readonly update?: boolean | 'lazy';
  /** Whether each query reads the same copies of the index, on a cluster. @defaultValue false */
  readonly stable?: boolean;
  /**
   * `'ok'` sets `stable: true` and `update: false`; `'update_after'` sets `update: 'lazy'` instead.
   * @deprecated use `stable` and `update`
   */
  readonly stale?: 'ok' | 'update_after';
  /** Adds `updateSeq`, the sequence up to which the index is built. @defaultValue false */
  readonly updateSeq?: boolean;
  /** Whether the rows are sorted. Unsorted rows come faster from many shards. @defaultValue true */
  readonly sorted?: boolean;
}

const VIEW: Parameters = {
  key: restriction,
  startKey: restriction,
  endKey: restriction,
  startKeyDocId: text,
  endKeyDocId: text,
  inclusiveEnd: flag,
  descending: flag,
  limit: count,
  skip: count,
  includeDocs: flag,
  conflicts: flag,
  attachments: flag,
  attEncodingInfo: flag,
  reduce: flag,
  group: flag,
  groupLevel: count,
  update: (value, name) => (value === 'lazy' ? 'lazy' : flag(value, name)),
  stable: flag,
  updateSeq: flag,
  sorted: flag,
};
const STALE = oneOf('ok', 'update_after');

/** Queries a view, or `_all_docs`. */
export function queryView<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
): Operation<View<Row<Key, Value, Doc>, ViewOptions>> {
  const request = viewRequest(db, name, options, 'view');
  return operation(
    db.connection,
    () => request,
    (body) => decodeView<Key, Value, Doc>(db, body, options),
  );
}

/** Describes the request for a view. Options that would make the URL too long are sent in a body. */
function viewRequest(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
  what: string,
): RequestSpec {
  const { codec } = db.connection;
  const address = viewOrListing(db, name);
  const { keys, query } = viewQuery(what, options, codec);
  const full = endpoint(address, '', query);
  if (isLongPath(full.path)) return readByPost(address, viewBody(what, options, codec));
  return keys === undefined ? full : readByPost(full, { keys });
}

/** Writes the options of a view as a query string, and returns the keys, which are sent in a body. */
export function viewQuery(
  what: string,
  options: ViewOptions,
  codec: JsonCodec,
): { readonly keys: readonly unknown[] | undefined; readonly query: string } {
  requireRestrictions(options, what);
  const { keys, ...rest } = options;
  if (keys !== undefined) {
    if (!Array.isArray(keys)) throw invalidArgument(`${what}: keys`, 'an array', keys);
    assertQuery(keys, `${what}: keys`, codec);
  }
  return { keys, query: toQuery(VIEW, normalizeOptions(rest), what, codec) };
}

/** Writes the options of a view as the fields of a body. */
function viewBody(what: string, options: ViewOptions, codec: JsonCodec): Record<string, unknown> {
  const { keys, ...rest } = options;
  // Validates the keys.
  viewQuery(what, options, codec);
  const body = toBody(VIEW, normalizeOptions(rest), what, codec);
  return { ...(keys !== undefined && { keys }), ...body };
}

/**
 * Returns the address of a view, or of a listing such as `'_all_docs'`.
 *
 * @throws TypeError for another name than `'design-document/view'` or that of a listing.
 */
function viewOrListing(db: DatabaseScope, name: unknown): Endpoint {
  if (isListing(name)) return endpoint(db, `/${name}`);
  const parts = splitName(name, 'view');
  if (parts === null || parts[0].startsWith('_')) {
    throw new TypeError(
      `The name of a view must be 'design-document/view' or '_all_docs' (received ${describeValue(name)})`,
    );
  }
  return viewAt(designAt(db, parts[0]), parts[1]);
}

/** Returns the address of a view, whose name is encoded. */
export function viewAt(design: Endpoint, name: string, query?: string): Endpoint {
  return endpoint(design, '/_view/{view}', query, name);
}

/** Tells whether a name stands for a listing, which has no `startKeyDocId`, rather than for a view. */
export function isListing(name: unknown): name is '_all_docs' | '_design_docs' | '_local_docs' {
  return name === '_all_docs' || name === '_design_docs' || name === '_local_docs';
}

/** Replaces options that CouchDB spells in another way: `stale`, and `groupLevel: 'exact'`. */
function normalizeOptions(options: ViewOptions): ViewOptions {
  const { stale, groupLevel, ...rest } = options;
  const normalized: { -readonly [Name in keyof ViewOptions]: ViewOptions[Name] } = rest;
  if (stale !== undefined) {
    normalized.stable = true;
    normalized.update = STALE(stale, 'view: stale') === 'ok' ? false : 'lazy';
  }
  if (groupLevel === 'exact') normalized.group = true;
  else if (groupLevel !== undefined) normalized.groupLevel = groupLevel;
  return normalized;
}

/** Decodes the answer of a view. */
export function decodeView<Key, Value, Doc>(
  { rules }: DatabaseScope,
  body: unknown,
  options: ViewOptions,
): View<Row<Key, Value, Doc>, ViewOptions> {
  const rows = arrayField(body, 'rows').map((row) => decodeRow<Key, Value, Doc>(rules, row));
  return new View(rows, decodeHead(body), options);
}

/** Decodes the answer of a view, without its rows. */
function decodeHead(body: unknown): ViewHead {
  const { total_rows: total, offset, update_seq: seq } = asObject(body);
  return {
    totalRows: numberOrNull(total),
    offset: numberOrNull(offset),
    updateSeq: seq === undefined || seq === null ? null : sequence(seq),
  };
}

/** Decodes a row of a view. */
function decodeRow<Key, Value, Doc>(
  rules: DocumentRules | null,
  raw: unknown,
): Row<Key, Value, Doc> {
  const row = raw as { id?: string; key: Key; value?: Value; doc?: Doc; error?: string };
  return new Row(
    row.id ?? null,
    row.key,
    (row.value ?? null) as Value,
    (rules === null ? (row.doc ?? null) : rules.read(row.doc ?? null)) as Doc,
    row.error ?? null,
  );
}

/** Streams the rows of a view, or of `_all_docs`. */
export function streamView<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
): RowStream<Row<Key, Value, Doc>, ViewHead> {
  const request = viewRequest(db, name, options, 'viewRows');
  return new RowStream(db.connection, () => request, {
    field: 'rows',
    row: (raw) => decodeRow<Key, Value, Doc>(db.rules, raw),
    info: decodeHead,
  });
}

/** Sends several queries of a view in one request. Emits the results in their order. */
export function queryViews<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  queries: readonly ViewOptions[],
): Operation<View<Row<Key, Value, Doc>, ViewOptions>[]> {
  const address = endpoint(viewOrListing(db, name), '/queries');
  if (!Array.isArray(queries))
    throw invalidArgument('viewQueries: queries', 'an array of options', queries);
  const encode = (): unknown[] =>
    queries.map((query, i) => viewBody(`viewQueries: queries[${i}]`, query, db.connection.codec));
  // Validate now: throws at the call.
  encode();
  return operation(
    db.connection,
    () => readByPost(address, { queries: encode() }),
    (body) => {
      const results = arrayField(body, 'results');
      if (results.length !== queries.length)
        throw new TypeError('expected a result for each query');
      return results.map((result, i) =>
        decodeView<Key, Value, Doc>(db, result, queries[i] as ViewOptions),
      );
    },
  );
}
