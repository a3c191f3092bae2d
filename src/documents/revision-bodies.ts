import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { flag, json, restriction, text, toQuery } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import {
  BULK_GET,
  documentAt,
  endpoint,
  isDotSegment,
  isLongPath,
  readByPost,
  requireId,
} from '../http/url.ts';
import type { AnyFields, Document, Tombstone } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** The outcome of reading one revision. A missing revision is a value, not an error. */
export type RevisionOutcome<T extends object = AnyFields> =
  | {
      readonly ok: true;
      readonly id: string;
      readonly rev: string;
      /** The document, or the tombstone of a deleted revision: see `isTombstone`. */
      readonly doc: Document<T> | Tombstone;
    }
  | {
      readonly ok: false;
      readonly id: string;
      /** The requested revision, or null if none was named. */
      readonly rev: string | null;
      /** `'not_found'`, or another error name of CouchDB. */
      readonly error: string;
      readonly reason: string;
    };

/** Options for reading revisions. */
export interface OpenRevsOptions {
  /** Adds `_revisions`, the ancestry. @defaultValue false */
  readonly revs?: boolean;
  /** Reads the leaves that descend from the named revisions. @defaultValue false */
  readonly latest?: boolean;
  /** Reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  /** Adds the encoding of compressed attachments. @defaultValue false */
  readonly attEncodingInfo?: boolean;
}

/** Options for reading revisions of one document. */
export interface OpenRevsWithAttachmentsOptions extends OpenRevsOptions {
  /** With `attachments`: reads only the attachments that are newer than these revisions. */
  readonly attsSince?: readonly string[];
}

const OPEN_REVS: Parameters = {
  revs: flag,
  latest: flag,
  attachments: flag,
  attEncodingInfo: flag,
};

/** Reads revisions of one document: the named ones, or all leaves. */
export function openRevs<T extends object>(
  db: DatabaseScope,
  id: string,
  revs: readonly string[] | 'all',
  options: OpenRevsWithAttachmentsOptions,
): Operation<RevisionOutcome<T>[]> {
  requireId(id);
  if (isDotSegment(id))
    throw new TypeError(`revs.open: no URL can hold the id ${describeValue(id)}; use revs.bulkGet`);
  if (revs !== 'all') {
    if (!Array.isArray(revs))
      throw invalidArgument('revs.open: revs', "an array of revisions or 'all'", revs);
    revs.forEach((rev, i) => text(rev, `revs.open: revs[${i}]`));
  }
  const revsQuery = toQuery(
    { openRevs: (value) => (value === 'all' ? 'all' : json(value, '')) },
    { openRevs: revs },
    'revs.open',
  );
  const query =
    revsQuery +
    toQuery({ ...OPEN_REVS, attsSince: restriction }, options, 'revs.open').replace('?', '&');
  if (revs !== 'all' && isLongPath(query)) return openManyRevs(db, id, revs, options);
  return operation(
    db.connection,
    () => documentAt(db, id, query),
    (body) =>
      asArray(body).map((raw): RevisionOutcome<T> => {
        const { ok, missing } = asObject(raw);
        if (ok !== undefined) return foundOutcome<T>(id, ok);
        return { ok: false, id, rev: String(missing), error: 'not_found', reason: 'missing' };
      }),
  );
}

/** Reads revisions of one document that are too many for a URL. */
function openManyRevs<T extends object>(
  db: DatabaseScope,
  id: string,
  revs: readonly string[],
  { attsSince, ...options }: OpenRevsWithAttachmentsOptions,
): Operation<RevisionOutcome<T>[]> {
  const refs = revs.map((rev) => ({ id, rev, ...(attsSince && { attsSince }) }));
  return bulkGet<T>(db, refs, options).mapValue((results) => {
    // With `latest`, several of the revisions can lead to one leaf.
    const found = new Map<string, RevisionOutcome<T>>();
    for (const outcome of results.flatMap(({ revisions }) => revisions))
      found.set(`${outcome.ok} ${outcome.rev}`, outcome);
    return [...found.values()];
  });
}

/** A document to read: one of its revisions, or all its leaves. */
export interface BulkGetRef {
  readonly id: string;
  /** Default: all leaf revisions. */
  readonly rev?: string;
  /** With `attachments`: reads only the attachments that are newer than these revisions. */
  readonly attsSince?: readonly string[];
}

/** The outcome of one requested document: one outcome for each of its revisions. */
export interface BulkGetResult<T extends object = AnyFields> {
  readonly id: string;
  readonly revisions: readonly RevisionOutcome<T>[];
}

/** Reads revisions of many documents in one request. */
export function bulkGet<T extends object>(
  db: DatabaseScope,
  refs: readonly (string | BulkGetRef)[],
  options: OpenRevsOptions,
): Operation<BulkGetResult<T>[]> {
  if (!Array.isArray(refs))
    throw invalidArgument('revs.bulkGet: refs', 'an array of ids or of { id, rev }', refs);
  const encode = (): object[] => refs.map((ref, i) => encodeRef(ref, `revs.bulkGet: refs[${i}]`));
  // Validate now: throws at the call.
  encode();
  const query = toQuery(OPEN_REVS, options, 'revs.bulkGet');
  return operation(
    db.connection,
    () => readByPost(endpoint(db, BULK_GET, query), { docs: encode() }),
    (body) =>
      arrayField(body, 'results').map((result) => {
        const id = stringField(result, 'id');
        return {
          id,
          revisions: arrayField(result, 'docs').map((raw) => decodeOutcome<T>(id, raw)),
        };
      }),
  );
}

function encodeRef(ref: unknown, name: string): object {
  if (typeof ref !== 'string' && (typeof ref !== 'object' || ref === null))
    throw invalidArgument(name, 'an id or { id, rev }', ref);
  const { id, rev, attsSince } = (typeof ref === 'string' ? { id: ref } : ref) as BulkGetRef;
  requireId(id, `${name}: the id`);
  if (rev !== undefined) text(rev, `${name}: rev`);
  if (attsSince !== undefined) restriction(attsSince, `${name}: attsSince`);
  return {
    id,
    ...(rev !== undefined && { rev }),
    ...(attsSince !== undefined && { atts_since: attsSince }),
  };
}

function decodeOutcome<T extends object>(id: string, raw: unknown): RevisionOutcome<T> {
  const { ok, error } = asObject(raw);
  if (ok !== undefined) return foundOutcome<T>(id, ok);
  const { rev, error: errorName, reason } = asObject(error);
  return {
    ok: false,
    id,
    // CouchDB answers with the text "undefined" if the request named no revision.
    rev: typeof rev === 'string' && rev !== 'undefined' ? rev : null,
    error: String(errorName),
    reason: String(reason),
  };
}

function foundOutcome<T extends object>(id: string, ok: unknown): RevisionOutcome<T> {
  const rev = stringField(ok, '_rev');
  return { ok: true, id, rev, doc: ok as Document<T> | Tombstone };
}

/** Revisions, by the id of their document. */
export type RevisionsById =
  Readonly<Record<string, readonly string[]>> | ReadonlyMap<string, readonly string[]>;

/** The revisions of a document that a database lacks. */
export interface RevsDifference {
  readonly missing: readonly string[];
  /** Revisions that the database has, and from which the missing ones may descend. */
  readonly possibleAncestors: readonly string[];
}

/** Reads which revisions the database lacks, with their possible ancestors. */
export function revsDiff(
  db: DatabaseScope,
  revs: RevisionsById,
): Operation<ReadonlyMap<string, RevsDifference>> {
  const encode = revisionsEncoder(revs, 'revs.diff');
  return operation(
    db.connection,
    () => readByPost(endpoint(db, '/_revs_diff'), encode()),
    (body) =>
      new Map(
        Object.entries(asObject(body)).map(([id, raw]) => {
          const { missing, possible_ancestors: ancestors = [] } = asObject(raw);
          return [id, { missing: toStrings(missing), possibleAncestors: toStrings(ancestors) }];
        }),
      ),
  );
}

/** Reads which revisions the database lacks. */
export function missingRevs(
  db: DatabaseScope,
  revs: RevisionsById,
): Operation<ReadonlyMap<string, readonly string[]>> {
  const encode = revisionsEncoder(revs, 'revs.missing');
  return operation(
    db.connection,
    () => readByPost(endpoint(db, '/_missing_revs'), encode()),
    (body) => {
      const missing = asObject(asObject(body)['missing_revs']);
      return new Map(Object.entries(missing).map(([id, raw]) => [id, toStrings(raw)]));
    },
  );
}

/** Returns a function that writes revisions as a body. Throws at the call for invalid ones. */
function revisionsEncoder(
  revs: unknown,
  what: string,
): () => Readonly<Record<string, readonly string[]>> {
  const encode = (): Readonly<Record<string, readonly string[]>> => {
    if (typeof revs !== 'object' || revs === null || Array.isArray(revs))
      throw invalidArgument(`${what}: revs`, 'an object or a Map of revisions by id', revs);
    const entries: [unknown, unknown][] =
      revs instanceof Map ? [...revs.entries()] : Object.entries(revs);
    return Object.fromEntries(
      entries.map(([id, list]) => {
        requireId(id, `${what}: the id`);
        if (!Array.isArray(list))
          throw invalidArgument(`${what}: ${id}`, 'an array of revisions', list);
        return [id, list.map((rev, i) => text(rev, `${what}: ${id}[${i}]`))];
      }),
    );
  };
  encode();
  return encode;
}

const toStrings = (list: unknown): string[] => asArray(list).map(String);
