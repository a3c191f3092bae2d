import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import { coalesceRead } from './coalesce.ts';
import { httpError, redactHeaders } from '../errors/from-response.ts';
import { arrayField, asObject, requireSameId, stringField } from '../http/decode.ts';
import { assertHeader } from '../http/auth.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { count, flag, restriction, text, toQuery } from '../http/query.ts';
import type { DatabaseScope, DocumentRules } from '../http/scope.ts';
import {
  ALL_DOCS,
  BULK_GET,
  documentAt,
  endpoint,
  isDotSegment,
  isLongPath,
  readByPost,
  requireId,
} from '../http/url.ts';
import { byWinner, isTombstone } from '../model/document.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { describeValue, requireOptions } from '../model/invalid-argument.ts';

/** Options for reading a document. */
export interface GetOptions {
  /** The revision to read. Default: the winner. */
  readonly rev?: string;
  /** Adds `_revisions`, the ancestry. @defaultValue false */
  readonly revs?: boolean;
  /** Adds `_revs_info`: the known revisions, and whether each can still be read. @defaultValue false */
  readonly revsInfo?: boolean;
  /** Adds `_conflicts`: the other live leaf revisions. @defaultValue false */
  readonly conflicts?: boolean;
  /** Adds `_deleted_conflicts`: the deleted leaf revisions. @defaultValue false */
  readonly deletedConflicts?: boolean;
  /** Adds `_local_seq`: the sequence of the document in this database. @defaultValue false */
  readonly localSeq?: boolean;
  /** Sets `conflicts`, `deletedConflicts` and `revsInfo`. @defaultValue false */
  readonly meta?: boolean;
  /** With `rev`: reads the leaf that descends from it. @defaultValue false */
  readonly latest?: boolean;
  /** Reads attachments too, as base64 in `_attachments`. @defaultValue false */
  readonly attachments?: boolean;
  /** Adds the encoding of compressed attachments. @defaultValue false */
  readonly attEncodingInfo?: boolean;
  /** Reads only the attachments that are newer than these revisions. */
  readonly attsSince?: readonly string[];
  /** The read quorum: how many copies must agree, on a cluster. */
  readonly r?: number;
  /**
   * A revision that you have. If it is still the current one, the operation emits null. Not with options
   * that add fields to the document: CouchDB then sends it always.
   */
  readonly ifNoneMatch?: string;
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
  attsSince: restriction,
  r: count,
};

/** Reads a document. */
export function getDocument<T extends object = AnyFields>(
  db: DatabaseScope,
  id: string,
  getOptions: GetOptions,
): Operation<Document<T>> {
  requireId(id);
  requireOptions(getOptions, 'get');
  const { ifNoneMatch, ...options } = getOptions;
  const query = toQuery(GET, options, 'get');
  if (ifNoneMatch !== undefined)
    // The caller asks for it, and its overload says that it may be null.
    return getIfChanged<T>(db, id, query, ifNoneMatch) as Operation<Document<T>>;
  if (isDotSegment(id)) {
    if (query === '') return getThroughAllDocs(db, id);
    throw new TypeError(
      `get: no URL can hold the id ${describeValue(id)}; read it without options`,
    );
  }
  if (options.attsSince !== undefined && isLongPath(query))
    return getThroughBulkGet(db, id, options);
  const readAlone = (docId: string): Observable<Answer<Document<T>>> =>
    db.connection.json(
      () => documentAt(db, docId, query),
      (body) => {
        const doc = asDocument<T>(body);
        requireSameId(docId, doc._id);
        return doc;
      },
    );
  const { coalescing } = db;
  // _bulk_get takes no options of a single read, and no design or local documents.
  const answers =
    coalescing?.reads === true && query === '' && !id.startsWith('_')
      ? coalesceRead<T>(db, coalescing, id, readAlone)
      : readAlone(id);
  const { rules } = db;
  if (rules === null) return new Operation(answers);
  return new Operation(
    answers.pipe(map((answer) => ({ ...answer, value: readOne(rules, answer.value) }))),
  );
}

/** Reads a document, or null if its revision is still the one that the caller has. */
function getIfChanged<T extends object>(
  db: DatabaseScope,
  id: string,
  query: string,
  rev: string,
): Operation<Document<T> | null> {
  text(rev, 'get: ifNoneMatch');
  if (isDotSegment(id))
    throw new TypeError(`get: no URL can hold the id ${describeValue(id)}; omit ifNoneMatch`);
  const headers = { 'if-none-match': `"${rev}"` };
  assertHeader('if-none-match', headers['if-none-match'], 'get: ifNoneMatch');
  return operation(
    db.connection,
    () => ({ ...documentAt(db, id, query), headers, isAnswer: (status) => status === 304 }),
    (body) => {
      // An answer without a body is decoded as null.
      if (body === null) return null;
      const doc = asDocument<T>(body);
      requireSameId(id, doc._id);
      return db.rules === null ? doc : readOne(db.rules, doc);
    },
  );
}

/** Decodes a document that was read alone. */
export function readOne<D>(rules: DocumentRules, doc: D): D {
  const read = rules.read(doc);
  if (read === null) throw new TypeError('use: onInvalid must return a document for a single read');
  return read;
}

/** Options for reading several documents. */
export interface GetManyOptions {
  /** Adds `_conflicts` to each document. @defaultValue false */
  readonly conflicts?: boolean;
  /** Reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  /** Adds the encoding of compressed attachments. @defaultValue false */
  readonly attEncodingInfo?: boolean;
  /** Reverses the order. @defaultValue false */
  readonly descending?: boolean;
  /** The maximum number of documents. */
  readonly limit?: number;
  /** How many documents to skip. @defaultValue 0 */
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

/** Reads several documents in one request, with null for each that is missing or deleted. */
export function getDocuments<T extends object = AnyFields>(
  db: DatabaseScope,
  ids: readonly string[],
  options: GetManyOptions,
): Operation<(Document<T> | null)[]> {
  ids.forEach((id, i) => requireId(id, `get: ids[${i}]`));
  const query = toQuery(GET_MANY, { ...options, includeDocs: true }, 'get');
  return operation(
    db.connection,
    () => readByPost(endpoint(db, ALL_DOCS, query), { keys: ids }),
    (body) => arrayField(body, 'rows').map((row) => readRow<T>(db, row)),
  );
}

/** The number of documents that `get()` without an id reads. */
export const FIRST_DOCUMENTS = 50;

/** Reads the first documents of the database, by id. */
export function getFirstDocuments<T extends object = AnyFields>(
  db: DatabaseScope,
): Operation<Document<T>[]> {
  const query = toQuery(GET_MANY, { limit: FIRST_DOCUMENTS, includeDocs: true }, 'get');
  return operation(
    db.connection,
    () => endpoint(db, ALL_DOCS, query),
    (body) =>
      arrayField(body, 'rows')
        .map((row) => readRow<T>(db, row))
        .filter((doc) => doc !== null),
  );
}

function asDocument<T extends object>(body: unknown): Document<T> {
  stringField(body, '_id');
  return body as Document<T>;
}

function rowDocument<T extends object>(row: unknown): Document<T> | null {
  return (asObject(row)['doc'] ?? null) as Document<T> | null;
}

function readRow<T extends object>({ rules }: DatabaseScope, row: unknown): Document<T> | null {
  const doc = rowDocument<T>(row);
  return rules === null || doc === null ? doc : rules.read(doc);
}

/** Reads a document with a list of revisions that is too long for a URL. */
function getThroughBulkGet<T extends object>(
  db: DatabaseScope,
  id: string,
  { rev, attsSince, ...options }: GetOptions,
): Operation<Document<T>> {
  const query = toQuery(ATTACHMENTS_SINCE, options, 'get with a long attsSince');
  const ref = { id, ...(rev !== undefined && { rev }), atts_since: attsSince };
  return operation(
    db.connection,
    () => readByPost(endpoint(db, BULK_GET, query), { docs: [ref] }),
    (body, { headers, request }) => {
      const [result] = arrayField(body, 'results');
      const answers = arrayField(result, 'docs').map(asObject);
      const leaves = answers.flatMap(({ ok }) => (ok === undefined ? [] : [ok as Document<T>]));
      const [winner] = leaves
        .filter((leaf) => rev !== undefined || !isTombstone(leaf))
        .sort((a, b) => byWinner(a._rev, b._rev));
      if (winner !== undefined) return winner;
      const reason = leaves.length > 0 ? 'deleted' : 'missing';
      throw httpError({ status: 404, error: 'not_found', reason, headers, request });
    },
  );
}

const ATTACHMENTS_SINCE = { revs: flag, latest: flag, attachments: flag, attEncodingInfo: flag };

/** Reads the winner of a document whose id no URL can hold. */
function getThroughAllDocs<T extends object>(
  db: DatabaseScope,
  id: string,
): Operation<Document<T>> {
  return operation(
    db.connection,
    () => readByPost(endpoint(db, ALL_DOCS, '?include_docs=true'), { keys: [id] }),
    (body, { headers: received, redact, request }) => {
      const [row] = arrayField(body, 'rows');
      const doc = rowDocument<T>(row);
      if (doc !== null) return doc;
      const reason = asObject(row)['id'] === undefined ? 'missing' : 'deleted';
      const headers = redactHeaders(received, redact);
      throw httpError({ status: 404, error: 'not_found', reason, headers, request });
    },
  );
}
