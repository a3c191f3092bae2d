import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, text, toQuery } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { Row, View } from '../model/view.ts';
import { decodeView } from './view.ts';

/** Which documents are listed, and how: their ids are the keys. */
export interface AllDocsOptions {
  /** Only this id. */
  readonly key?: string;
  /** Only these ids, in this order, with a row that says why for each that is not there. */
  readonly keys?: readonly string[];
  /** The id to begin with. */
  readonly startKey?: string;
  /** The id to end with; all that begin with a text are between it and itself with `'\ufff0'`. */
  readonly endKey?: string;
  /** Whether the document with `endKey` is listed. @defaultValue true */
  readonly inclusiveEnd?: boolean;
  /** Lists backwards; exchange `startKey` and `endKey` as well. @defaultValue false */
  readonly descending?: boolean;
  readonly limit?: number;
  readonly skip?: number;
  /** Adds the document to each row. @defaultValue false */
  readonly includeDocs?: boolean;
  /** With `includeDocs`: adds `_conflicts` to each document. @defaultValue false */
  readonly conflicts?: boolean;
  /** With `includeDocs`: reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  readonly attEncodingInfo?: boolean;
  /** Says in `updateSeq` how far the database had come. @defaultValue false */
  readonly updateSeq?: boolean;
}

/** The value of a row of `allDocs`: the document's winning revision, and whether it is a deletion. */
export interface RevisionValue {
  readonly rev: string;
  /** Only for ids that were asked for with `keys`. */
  readonly deleted?: true;
}

/** A row of `allDocs`. With `keys` its value is null where there is no such document. */
export type AllDocsRow<Doc = null, Value = RevisionValue> = Row<string, Value, Doc>;

const id: Parameter = (value, name) => {
  if (typeof value !== 'string') throw invalidArgument(name, 'an id', value);
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

/** Which listing: that of all documents, of design documents, or of local ones. */
export type Listing = '_all_docs' | '_design_docs' | '_local_docs';

export function listDocuments<Value, Doc>(
  db: DatabaseScope,
  listing: Listing,
  options: AllDocsOptions,
  what: string,
): Operation<View<Row<string, Value, Doc>, AllDocsOptions>> {
  const { keys, ...rest } = options;
  if (keys !== undefined) {
    if (!Array.isArray(keys)) throw invalidArgument(`${what}: keys`, 'an array of ids', keys);
    keys.forEach((key, i) => text(key, `${what}: keys[${i}]`));
    assertJson(keys, `${what}: keys`);
  }
  const path = `${db.path}/${listing}${toQuery(ALL_DOCS, rest, what)}`;
  return operation(
    db.connection,
    () => (keys === undefined ? { path } : { method: 'POST', path, json: { keys } }),
    (body) => decodeView<string, Value, Doc>(body, options) as View<Row<string, Value, Doc>>,
  );
}
