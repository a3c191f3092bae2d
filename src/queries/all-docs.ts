import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, requireRestrictions, toBody, toQuery } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import type { RequestSpec } from '../http/link.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { endpoint, isLongPath, readByPost } from '../http/url.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { Row, View } from '../model/view.ts';
import { decodeView } from './view.ts';

/** Options for listing documents. The keys are the ids of the documents. */
export interface AllDocsOptions {
  /** Lists only this id. No id equals a number; CouchDB sorts numbers before all ids. */
  readonly key?: string | number;
  /** Lists only these ids, in this order. A missing document has a row with an `error`. */
  readonly keys?: readonly (string | number)[];
  /** The first id. */
  readonly startKey?: string | number;
  /** The last id. For all ids with a prefix, use `startKey: prefix` and `endKey: prefix + '\ufff0'`. */
  readonly endKey?: string | number;
  /** Whether the document with the id `endKey` is included. @defaultValue true */
  readonly inclusiveEnd?: boolean;
  /** Reverses the order; exchange `startKey` and `endKey` too. @defaultValue false */
  readonly descending?: boolean;
  /** The maximum number of rows. Default: no limit. */
  readonly limit?: number;
  /** How many rows to skip. @defaultValue 0 */
  readonly skip?: number;
  /** Adds the document to each row. @defaultValue false */
  readonly includeDocs?: boolean;
  /** With `includeDocs`: adds `_conflicts` to each document. @defaultValue false */
  readonly conflicts?: boolean;
  /** With `includeDocs`: reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  /** With `includeDocs`: adds the encoding of compressed attachments. @defaultValue false */
  readonly attEncodingInfo?: boolean;
  /** Adds `updateSeq`, the sequence of the database. @defaultValue false */
  readonly updateSeq?: boolean;
}

/** The value of a row of `allDocs`: the winning revision, and whether the document is deleted. */
export interface RevisionValue {
  readonly rev: string;
  /** True for a deleted document, which only `keys` lists. */
  readonly deleted?: true;
}

/** A row of `allDocs`. With `keys`, its value is null if the document is missing. */
export type AllDocsRow<Doc = null, Value = RevisionValue> = Row<string, Value, Doc>;

const id: Parameter = (value, name) => {
  if (typeof value !== 'string' && !Number.isFinite(value))
    throw invalidArgument(name, 'an id or a number', value);
  assertJson(value, name);
  return JSON.stringify(value);
};

const ALL_DOCS: Parameters = {
  key: id,
  startKey: id,
  endKey: id,
  inclusiveEnd: flag,
  descending: flag,
  limit: count,
  skip: count,
  includeDocs: flag,
  conflicts: flag,
  attachments: flag,
  attEncodingInfo: flag,
  updateSeq: flag,
};

/** The endpoint that lists all documents, the design documents, or the local documents. */
export type Listing = '_all_docs' | '_design_docs' | '_local_docs';

/** Lists documents. */
export function listDocuments<Value, Doc>(
  db: DatabaseScope,
  listing: Listing,
  options: AllDocsOptions,
  what: string,
): Operation<View<Row<string, Value, Doc>, AllDocsOptions>> {
  requireRestrictions(options, what);
  const { keys, ...rest } = options;
  if (keys !== undefined) {
    if (!Array.isArray(keys)) throw invalidArgument(`${what}: keys`, 'an array of ids', keys);
    keys.forEach((key, i) => id(key, `${what}: keys[${i}]`));
    assertJson(keys, `${what}: keys`);
  }
  const address = endpoint(db, `/${listing}`);
  const query = toQuery(ALL_DOCS, rest, what);
  const withKeys = keys !== undefined && { keys };
  const full = endpoint(address, '', query);
  const request: RequestSpec = isLongPath(full.path)
    ? readByPost(address, { ...withKeys, ...toBody(ALL_DOCS, rest, what) })
    : withKeys
      ? readByPost(full, withKeys)
      : full;
  return operation(
    db.connection,
    () => request,
    (body) => decodeView<string, Value, Doc>(db, body, options) as View<Row<string, Value, Doc>>,
  );
}
