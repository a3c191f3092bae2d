import { arrayField, asObject, numberOrNull, sequence } from '../http/decode.ts';
import type { RequestSpec } from '../http/exchange.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, json, oneOf, text, toBody, toQuery } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { segment } from '../http/url.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { assertJson } from '../model/json.ts';
import { Row, View } from '../model/view.ts';
import type { ViewHead } from '../model/view.ts';

/**
 * The queries room: views and what else finds documents. It sees http and below.
 */

/** Which rows of a view are read, and how. */
export interface ViewOptions {
  /** Only the rows with this key: any JSON value, `null`, `false`, `0` and `''` as well. */
  readonly key?: unknown;
  /** Only the rows with one of these keys, in this order. */
  readonly keys?: readonly unknown[];
  /** The key to begin with. */
  readonly startKey?: unknown;
  /** The key to end with. */
  readonly endKey?: unknown;
  /** Among the rows with `startKey`: the document id to begin with. */
  readonly startKeyDocId?: string;
  /** Among the rows with `endKey`: the document id to end with. */
  readonly endKeyDocId?: string;
  /** Whether the rows with `endKey` are among those read. @defaultValue true */
  readonly inclusiveEnd?: boolean;
  /** Reads backwards; exchange `startKey` and `endKey` as well. @defaultValue false */
  readonly descending?: boolean;
  readonly limit?: number;
  readonly skip?: number;
  /** Adds to each row the document that emitted it. @defaultValue false */
  readonly includeDocs?: boolean;
  /** With `includeDocs`: adds `_conflicts` to each document. @defaultValue false */
  readonly conflicts?: boolean;
  /** With `includeDocs`: reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  readonly attEncodingInfo?: boolean;
  /** Whether the view's reduce function is used. @defaultValue true where there is one */
  readonly reduce?: boolean;
  /** One reduced row a key. @defaultValue false */
  readonly group?: boolean;
  /** One reduced row for each distinct beginning of this many elements of array keys. */
  readonly groupLevel?: number | 'exact';
  /** Whether the index is brought up to date first, afterwards, or not. @defaultValue true */
  readonly update?: boolean | 'lazy';
  /** Whether the same copies of the index are read each time. @defaultValue false */
  readonly stable?: boolean;
  /**
   * The old way to say `stable: true` with `update: false` (`'ok'`) or `'lazy'` (`'update_after'`).
   * @deprecated use `stable` and `update`
   */
  readonly stale?: 'ok' | 'update_after';
  /** Says in `updateSeq` how far the index had come. @defaultValue false */
  readonly updateSeq?: boolean;
  /** Whether the rows are sorted; unsorted ones come faster from many shards. @defaultValue true */
  readonly sorted?: boolean;
}

const VIEW: Parameters = {
  key: json,
  startKey: json,
  endKey: json,
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

export function queryView<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
): Operation<View<Row<Key, Value, Doc>, ViewOptions>> {
  const path = `${db.path}${viewPath(name)}`;
  const { keys, query } = viewQuery('view', options);
  return operation(
    db.connection,
    () =>
      keys === undefined
        ? { path: `${path}${query}` }
        : { method: 'POST', path: `${path}${query}`, json: { keys } },
    (body) => decodeView<Key, Value, Doc>(body, options),
  );
}

/** Writes the options of a view: the query string, and the keys, which go in a body. */
export function viewQuery(
  what: string,
  options: ViewOptions,
): { readonly keys: readonly unknown[] | undefined; readonly query: string } {
  const { keys, ...rest } = options;
  if (keys !== undefined) {
    if (!Array.isArray(keys)) throw invalidArgument(`${what}: keys`, 'an array', keys);
    assertJson(keys, `${what}: keys`);
  }
  return { keys, query: toQuery(VIEW, translate(rest), what) };
}

/** Writes the options of a view as the fields of a body, for several queries in one request. */
export function viewBody(what: string, options: ViewOptions): Record<string, unknown> {
  const { keys } = options;
  // Checks them, too.
  viewQuery(what, options);
  const { keys: _keys, ...rest } = options;
  return { ...(keys !== undefined && { keys }), ...toBody(VIEW, translate(rest), what) };
}

/** Makes the path of a view: of `'ddoc/name'`, or of `'_all_docs'`. */
export function viewPath(name: unknown): string {
  if (name === '_all_docs' || name === '_design_docs' || name === '_local_docs') return `/${name}`;
  const slash = typeof name === 'string' ? name.indexOf('/') : -1;
  if (typeof name !== 'string' || slash < 1 || slash === name.length - 1 || name.startsWith('_')) {
    throw new TypeError(
      `Not a view: ${describeValue(name)}; it is named 'design-document/view', or '_all_docs'`,
    );
  }
  return `/_design/${segment(name.slice(0, slash))}/_view/${segment(name.slice(slash + 1))}`;
}

function translate(options: ViewOptions): ViewOptions {
  const { stale, groupLevel, ...rest } = options;
  const translated: { -readonly [Name in keyof ViewOptions]: ViewOptions[Name] } = rest;
  if (stale !== undefined) {
    translated.stable = true;
    translated.update = STALE(stale, 'view: stale') === 'ok' ? false : 'lazy';
  }
  if (groupLevel === 'exact') translated.group = true;
  else if (groupLevel !== undefined) translated.groupLevel = groupLevel;
  return translated;
}

/** Reads the rows that a view answered. */
export function decodeView<Key, Value, Doc>(
  body: unknown,
  options: ViewOptions,
): View<Row<Key, Value, Doc>, ViewOptions> {
  const rows = arrayField(body, 'rows').map((row) => decodeRow<Key, Value, Doc>(row));
  return new View(rows, decodeHead(body), options);
}

/** Reads what a view says beside its rows. */
export function decodeHead(body: unknown): ViewHead {
  const { total_rows: total, offset, update_seq: seq } = asObject(body);
  return {
    totalRows: numberOrNull(total),
    offset: numberOrNull(offset),
    updateSeq: seq === undefined || seq === null ? null : sequence(seq),
  };
}

/** Reads a row of a view. */
export function decodeRow<Key, Value, Doc>(raw: unknown): Row<Key, Value, Doc> {
  const row = raw as { id?: string; key: Key; value?: Value; doc?: Doc; error?: string };
  return new Row(
    row.id ?? null,
    row.key,
    (row.value ?? null) as Value,
    (row.doc ?? null) as Doc,
    row.error ?? null,
  );
}

/** Streams the rows of a view, or of `_all_docs`. */
export function streamView<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
): RowStream<Row<Key, Value, Doc>, ViewHead> {
  const { keys, query } = viewQuery('rows', options);
  const path = `${db.path}${viewPath(name)}${query}`;
  const describe = (): RequestSpec =>
    keys === undefined ? { path } : { method: 'POST', path, json: { keys } };
  return new RowStream(db.connection, describe, {
    field: 'rows',
    row: (raw) => decodeRow<Key, Value, Doc>(raw),
    info: decodeHead,
  });
}

/** Asks a view several questions in one request; emits the answers in their order. */
export function queryViews<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  queries: readonly ViewOptions[],
): Operation<View<Row<Key, Value, Doc>, ViewOptions>[]> {
  const path = `${db.path}${viewPath(name)}/queries`;
  if (!Array.isArray(queries))
    throw invalidArgument('views: queries', 'an array of options', queries);
  const write = (): unknown[] => queries.map((query, i) => viewBody(`views: queries[${i}]`, query));
  // Misuse is told now.
  write();
  return operation(
    db.connection,
    () => ({ method: 'POST', path, json: { queries: write() } }),
    (body) => {
      const results = arrayField(body, 'results');
      if (results.length !== queries.length)
        throw new TypeError('expected a result for each query');
      return results.map((result, i) =>
        decodeView<Key, Value, Doc>(result, queries[i] as ViewOptions),
      );
    },
  );
}
