/**
 * The documents room: reading and writing documents. It sees http and below.
 */
import type { Observable } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import { arrayField, asObject, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { count, flag, json, text, toQuery } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId } from '../http/url.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { describeValue } from '../model/invalid-argument.ts';
import { readTogether } from './coalesce.ts';

/** What is read of a document. */
export interface GetOptions {
  /** The revision to read. Default: the winner. */
  readonly rev?: string;
  /** Adds `_revisions`, the ancestry. */
  readonly revs?: boolean;
  /** Adds `_revs_info`: the known revisions, and which of them can still be read. */
  readonly revsInfo?: boolean;
  /** Adds `_conflicts`: the other live leaf revisions. */
  readonly conflicts?: boolean;
  /** Adds `_deleted_conflicts`: the deleted leaf revisions. */
  readonly deletedConflicts?: boolean;
  /** Adds `_local_seq`. */
  readonly localSeq?: boolean;
  /** The same as `conflicts`, `deletedConflicts` and `revsInfo` together. */
  readonly meta?: boolean;
  /** With `rev`: reads the leaf that came of it. */
  readonly latest?: boolean;
  /** Reads attachments too, as base64 in `_attachments`. */
  readonly attachments?: boolean;
  /** Adds the encoding of attachments that are kept compressed. */
  readonly attEncodingInfo?: boolean;
  /** Reads only the attachments that came after these revisions. */
  readonly attsSince?: readonly string[];
  /** How many copies must agree, on a cluster. */
  readonly r?: number;
}

const GET = {
  rev: text,
  revs: flag,
  revsInfo: flag,
  conflicts: flag,
  deletedConflicts: flag,
  localSeq: flag,
  meta: flag,
  latest: flag,
  attachments: flag,
  attEncodingInfo: flag,
  attsSince: json,
  r: count,
};

export function getDocument<T extends object = AnyFields>(
  db: DatabaseScope,
  id: string,
  options: GetOptions,
): Operation<Document<T>> {
  requireId(id);
  const query = toQuery(GET, options, 'get');
  if (isDotSegment(id)) {
    if (query === '') return getThroughBulk(db, id);
    throw new TypeError(
      `get: no URL can hold the id ${describeValue(id)}, so it is read without options`,
    );
  }
  const alone = (one: string): Observable<Answer<Document<T>>> =>
    db.connection.json(
      () => ({ path: `${db.path}${documentPath(one)}${query}` }),
      (body) => asDocument<T>(body),
    );
  const { coalescing } = db;
  // What has options, and what is no ordinary document, is read alone.
  return new Operation(
    coalescing?.reads === true && query === '' && !id.startsWith('_')
      ? readTogether<T>(db, coalescing, id, alone)
      : alone(id),
  );
}

/** What is read of each of several documents. */
export interface GetManyOptions {
  /** Adds `_conflicts` to each. */
  readonly conflicts?: boolean;
  /** Reads attachments too, as base64. */
  readonly attachments?: boolean;
  /** Adds the encoding of attachments that are kept compressed. */
  readonly attEncodingInfo?: boolean;
  readonly descending?: boolean;
  readonly limit?: number;
  readonly skip?: number;
}

const GET_MANY = {
  conflicts: flag,
  attachments: flag,
  attEncodingInfo: flag,
  descending: flag,
  limit: count,
  skip: count,
  includeDocs: flag,
};

export function getDocuments<T extends object = AnyFields>(
  db: DatabaseScope,
  ids: readonly string[],
  options: GetManyOptions,
): Operation<(Document<T> | null)[]> {
  ids.forEach((id, i) => requireId(id, `get: ids[${i}]`));
  const query = toQuery(GET_MANY, { ...options, includeDocs: true }, 'get');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_all_docs${query}`, json: { keys: ids } }),
    (body) => arrayField(body, 'rows').map((row) => docOf<T>(row)),
  );
}

/** How many documents `get()` without an id reads. */
export const FIRST_DOCUMENTS = 50;

export function getFirstDocuments<T extends object = AnyFields>(
  db: DatabaseScope,
): Operation<Document<T>[]> {
  const query = toQuery(GET_MANY, { limit: FIRST_DOCUMENTS, includeDocs: true }, 'get');
  return operation(
    db.connection,
    () => ({ path: `${db.path}/_all_docs${query}` }),
    (body) =>
      arrayField(body, 'rows')
        .map((row) => docOf<T>(row))
        .filter((doc) => doc !== null),
  );
}

function asDocument<T extends object>(body: unknown): Document<T> {
  stringField(body, '_id');
  return body as Document<T>;
}

function docOf<T extends object>(row: unknown): Document<T> | null {
  return (asObject(row)['doc'] ?? null) as Document<T> | null;
}

/** Reads a document whose id cannot stand in a URL, of which the winner alone is in reach. */
function getThroughBulk<T extends object>(db: DatabaseScope, id: string): Operation<Document<T>> {
  return operation(
    db.connection,
    () => ({
      method: 'POST',
      path: `${db.path}/_all_docs?include_docs=true`,
      json: { keys: [id] },
    }),
    (body, { headers, request }) => {
      const [row] = arrayField(body, 'rows');
      const doc = docOf<T>(row);
      if (doc !== null) return doc;
      const reason = asObject(row)['id'] === undefined ? 'missing' : 'deleted';
      throw httpError({ status: 404, error: 'not_found', reason, headers, request });
    },
  );
}
