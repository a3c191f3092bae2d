import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { flag, json, text, toQuery } from '../http/query.ts';
import type { Parameters } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, isDotSegment, requireId } from '../http/url.ts';
import type { AnyFields, Document, Tombstone } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';

/** What became of reading one revision: there is no error among many, but a value. */
export type RevisionOutcome<T extends object = AnyFields> =
  | {
      readonly ok: true;
      readonly id: string;
      readonly rev: string;
      /** The revision, or what is left of a deleted one: see `isTombstone`. */
      readonly doc: Document<T> | Tombstone;
    }
  | {
      readonly ok: false;
      readonly id: string;
      /** The revision that was asked for; null where none was. */
      readonly rev: string | null;
      /** `'not_found'`, or another word of CouchDB's. */
      readonly error: string;
      readonly reason: string;
    };

/** What is read of each revision. */
export interface OpenRevsOptions {
  /** Adds `_revisions`, the ancestry. @defaultValue false */
  readonly revs?: boolean;
  /** Reads the leaves that came of the revisions that were asked for. @defaultValue false */
  readonly latest?: boolean;
  /** Reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  readonly attEncodingInfo?: boolean;
}

const OPEN_REVS: Parameters = {
  revs: flag,
  latest: flag,
  attachments: flag,
  attEncodingInfo: flag,
};

export function openRevs<T extends object>(
  db: DatabaseScope,
  id: string,
  revs: readonly string[] | 'all',
  options: OpenRevsOptions,
): Operation<RevisionOutcome<T>[]> {
  requireId(id);
  if (isDotSegment(id))
    throw new TypeError(`revs.open: no URL can hold the id ${describeValue(id)}; use bulkGet`);
  if (revs !== 'all') {
    if (!Array.isArray(revs))
      throw invalidArgument('revs.open: revs', "a list of revisions or 'all'", revs);
    revs.forEach((rev, i) => text(rev, `revs.open: revs[${i}]`));
  }
  const which = toQuery(
    { openRevs: (value) => (value === 'all' ? 'all' : json(value, '')) },
    { openRevs: revs },
    'revs.open',
  );
  const query = which + toQuery(OPEN_REVS, options, 'revs.open').replace('?', '&');
  return operation(
    db.connection,
    () => ({ path: `${db.path}${documentPath(id)}${query}` }),
    (body) =>
      asArray(body).map((raw): RevisionOutcome<T> => {
        const { ok, missing } = asObject(raw);
        if (ok !== undefined) return found<T>(id, ok);
        return { ok: false, id, rev: String(missing), error: 'not_found', reason: 'missing' };
      }),
  );
}

/** A document to be read, or one of its revisions. */
export interface BulkGetRef {
  readonly id: string;
  /** Default: all leaf revisions. */
  readonly rev?: string;
  /** With `attachments`: only those that came after these revisions. */
  readonly attsSince?: readonly string[];
}

/** What became of one document that was asked for: a revision, or all of its leaves. */
export interface BulkGetResult<T extends object = AnyFields> {
  readonly id: string;
  readonly revisions: readonly RevisionOutcome<T>[];
}

export function bulkGet<T extends object>(
  db: DatabaseScope,
  refs: readonly (string | BulkGetRef)[],
  options: OpenRevsOptions,
): Operation<BulkGetResult<T>[]> {
  if (!Array.isArray(refs))
    throw invalidArgument('revs.bulkGet: refs', 'a list of ids or of { id, rev }', refs);
  const write = (): object[] => refs.map((ref, i) => writeRef(ref, `revs.bulkGet: refs[${i}]`));
  // Misuse is told now.
  write();
  const query = toQuery(OPEN_REVS, options, 'revs.bulkGet');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_bulk_get${query}`, json: { docs: write() } }),
    (body) =>
      arrayField(body, 'results').map((result) => {
        const id = stringField(result, 'id');
        return { id, revisions: arrayField(result, 'docs').map((one) => outcome<T>(id, one)) };
      }),
  );
}

function writeRef(ref: unknown, name: string): object {
  if (typeof ref !== 'string' && (typeof ref !== 'object' || ref === null))
    throw invalidArgument(name, 'an id or { id, rev }', ref);
  const { id, rev, attsSince } = (typeof ref === 'string' ? { id: ref } : ref) as BulkGetRef;
  requireId(id, `${name}: the id`);
  if (rev !== undefined) text(rev, `${name}: rev`);
  if (attsSince !== undefined) json(attsSince, `${name}: attsSince`);
  return {
    id,
    ...(rev !== undefined && { rev }),
    ...(attsSince !== undefined && { atts_since: attsSince }),
  };
}

function outcome<T extends object>(id: string, raw: unknown): RevisionOutcome<T> {
  const { ok, error } = asObject(raw);
  if (ok !== undefined) return found<T>(id, ok);
  const { rev, error: word, reason } = asObject(error);
  return {
    ok: false,
    id,
    // CouchDB says "undefined" where none was asked for.
    rev: typeof rev === 'string' && rev !== 'undefined' ? rev : null,
    error: String(word),
    reason: String(reason),
  };
}

function found<T extends object>(id: string, ok: unknown): RevisionOutcome<T> {
  const rev = stringField(ok, '_rev');
  return { ok: true, id, rev, doc: ok as Document<T> | Tombstone };
}

/** Revisions by the id of their document. */
export type RevisionsById =
  Readonly<Record<string, readonly string[]>> | ReadonlyMap<string, readonly string[]>;

/** What a database lacks of a document. */
export interface RevsDifference {
  readonly missing: readonly string[];
  /** Revisions that it has, of which the missing ones may have come. */
  readonly possibleAncestors: readonly string[];
}

export function revsDiff(
  db: DatabaseScope,
  revs: RevisionsById,
): Operation<ReadonlyMap<string, RevsDifference>> {
  const write = writer(revs, 'revs.diff');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_revs_diff`, json: write() }),
    (body) =>
      new Map(
        Object.entries(asObject(body)).map(([id, raw]) => {
          const { missing, possible_ancestors: ancestors = [] } = asObject(raw);
          return [id, { missing: strings(missing), possibleAncestors: strings(ancestors) }];
        }),
      ),
  );
}

export function missingRevs(
  db: DatabaseScope,
  revs: RevisionsById,
): Operation<ReadonlyMap<string, readonly string[]>> {
  const write = writer(revs, 'revs.missing');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_missing_revs`, json: write() }),
    (body) => {
      const missing = asObject(asObject(body)['missing_revs']);
      return new Map(Object.entries(missing).map(([id, raw]) => [id, strings(raw)]));
    },
  );
}

function writer(revs: unknown, what: string): () => Readonly<Record<string, readonly string[]>> {
  const write = (): Readonly<Record<string, readonly string[]>> => {
    if (typeof revs !== 'object' || revs === null || Array.isArray(revs))
      throw invalidArgument(`${what}: revs`, 'an object or a Map of revisions by id', revs);
    const entries: [unknown, unknown][] =
      revs instanceof Map ? [...revs.entries()] : Object.entries(revs);
    return Object.fromEntries(
      entries.map(([id, list]) => {
        requireId(id, `${what}: the id`);
        if (!Array.isArray(list))
          throw invalidArgument(`${what}: ${id}`, 'a list of revisions', list);
        return [id, list.map((rev, i) => text(rev, `${what}: ${id}[${i}]`))];
      }),
    );
  };
  write();
  return write;
}

const strings = (list: unknown): string[] => asArray(list).map(String);
