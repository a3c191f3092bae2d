import { catchError, map, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { AnyFields, Attachments, Document, Draft } from '../model/document.ts';
import { canonical, equal } from '../model/json.ts';
import { toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';

/** A merged document, or null if the merge gives up. */
export type MergeResult<T extends object = AnyFields> = Draft<T> | null;

/**
 * Merges the local copy of a document, which could not be saved, with the server's copy.
 *
 * `server` is null if the document is deleted. `base` is the revision that the local copy was read
 * from, or null if the server has compacted it away. Corduroy reads `base` only for a function that
 * declares three parameters. Resolving a save sends no further request for it.
 *
 * Returns the merged document, or null to leave the document pending; or a Promise or Observable of
 * either.
 */
export type Merge<T extends object = AnyFields> = (
  local: Draft<T>,
  server: Document<T> | null,
  base: Document<T> | null,
) => ValueOrAsync<MergeResult<T>>;

/** The server's copy of a document in conflict, and the revision that the local copy was read from. */
export interface ServerCopy<T extends object> {
  readonly server: Document<T> | null;
  readonly base: Document<T> | null;
}

/** The outcome of a merge: the document to write, or the reason why there is none. */
export type MergeOutcome<T extends object> =
  | { readonly type: 'merged'; readonly doc: Draft<T> }
  | { readonly type: 'given up' }
  | { readonly type: 'failed'; readonly reason: string };

/** Merges one document. A merge that throws fails this document only. */
export function mergeOne<T extends object>(
  merge: Merge<T>,
  id: string,
  local: Draft<T>,
  { server, base }: ServerCopy<T>,
): Observable<MergeOutcome<T>> {
  return toObservable(() => merge(local, server, base)).pipe(
    map((merged): MergeOutcome<T> => {
      if (merged === null || merged === undefined) return { type: 'given up' };
      return { type: 'merged', doc: asNextRevision(id, merged, server) };
    }),
    catchError((error: unknown) =>
      of<MergeOutcome<T>>({
        type: 'failed',
        reason: `merging ${JSON.stringify(id)}: ${String(error)}`,
      }),
    ),
  );
}

/** Makes the next revision of the server's copy. Ignores the `_id` and `_rev` that the merge returned. */
function asNextRevision<T extends object>(
  id: string,
  merged: Draft<T>,
  server: Document<T> | null,
): Draft<T> {
  const { _rev: _ignored, _attachments: mergedAttachments, ...rest } = merged;
  const attachments = keepAttachments(mergedAttachments, server?._attachments);
  const doc = {
    ...rest,
    _id: id,
    ...(server !== null && { _rev: server._rev }),
    ...(attachments !== undefined && { _attachments: attachments }),
  } as unknown;
  return doc as Draft<T>;
}

/**
 * Keeps the server's attachments if the merge returned none: CouchDB removes attachments whose stubs
 * are missing. Drops stubs that the server does not have: CouchDB would refuse the whole request.
 */
function keepAttachments(
  merged: Attachments | undefined,
  onServer: Attachments | undefined,
): Attachments | undefined {
  if (merged === undefined) return onServer;
  return Object.fromEntries(
    Object.entries(merged).filter(
      ([name, attachment]) => 'data' in attachment || (onServer !== undefined && name in onServer),
    ),
  );
}

/**
 * Keeps the local copy: a {@link Merge} for `save(…, { merge })`, `resolve` and `resolveConflicts`.
 *
 * Do not use it for documents that several people edit: their changes are lost. The server's
 * attachments stay.
 */
export function ours<T extends object = AnyFields>(local: Draft<T>): Draft<T> {
  return local;
}

/**
 * Keeps the server's copy: a {@link Merge}. Gives up if the document is deleted on the server.
 *
 * Do not use it for user input: the local changes are lost.
 */
export function theirs<T extends object = AnyFields>(
  _local: Draft<T>,
  server: Document<T> | null,
): MergeResult<T> {
  return server;
}

/**
 * Returns a {@link Merge} that keeps the copy with the greater value in a field, such as a date or a
 * number. Keeps the local copy if both are equal, or if the document is deleted on the server.
 *
 * Do not use it if the clocks of the clients differ, or if both copies hold changes that must stay.
 */
export function newest<T extends object = AnyFields>(field: keyof T & string): Merge<T> {
  return (local, server) => {
    if (server === null) return local;
    return server[field] > local[field] ? server : local;
  };
}

/** Merges a field that was changed in both copies. Returns its value; `undefined` removes the field. */
export type FieldResolver = (
  field: string,
  local: unknown,
  server: unknown,
  base: unknown,
) => unknown;

/**
 * Returns a {@link Merge} that merges field by field: a three-way merge with `base`.
 *
 * - A field that changed in one copy has the value of that copy.
 * - A field that changed in both copies has the value that the resolver returns. By default the local
 *   value wins.
 * - If there is no `base`, fields that differ count as changed in both copies, and a field that only
 *   one copy has is kept.
 *
 * Do not use it for fields that make sense only together.
 */
export function fields<T extends object = AnyFields>(
  resolver: FieldResolver = (_field, local) => local,
): Merge<T> {
  // Corduroy reads the base only for a function with three parameters.
  return (local, server, base) => {
    if (server === null) return local;
    const merged: AnyFields = {};
    for (const field of new Set([...Object.keys(server), ...Object.keys(local)])) {
      if (field.startsWith('_')) continue;
      const value = mergeField(
        field,
        local,
        server as AnyFields,
        base as AnyFields | null,
        resolver,
      );
      if (value !== undefined) merged[field] = value;
    }
    return merged as Draft<T>;
  };
}

function mergeField(
  field: string,
  localDoc: AnyFields,
  serverDoc: AnyFields,
  baseDoc: AnyFields | null,
  resolver: FieldResolver,
): unknown {
  const [local, server] = [localDoc[field], serverDoc[field]];
  if (equal(local, server)) return server;
  if (baseDoc === null) {
    if (local === undefined) return server;
    if (server === undefined) return local;
    return resolver(field, local, server, undefined);
  }
  const base = baseDoc[field];
  if (equal(local, base)) return server;
  if (equal(server, base)) return local;
  return resolver(field, local, server, base);
}

/**
 * Merges a field that holds a set, such as a list of ids: a {@link FieldResolver} for {@link fields}.
 *
 * The result has the elements that either copy added, and lacks those that either copy removed.
 * Returns the local value if a copy holds no array.
 */
export function union(_field: string, local: unknown, server: unknown, base: unknown): unknown {
  if (!Array.isArray(local) || !Array.isArray(server)) return local;
  const inBase = new Set((Array.isArray(base) ? base : []).map(canonical));
  const [inLocal, inServer] = [new Set(local.map(canonical)), new Set(server.map(canonical))];
  const kept = server.filter(
    (element) => inLocal.has(canonical(element)) || !inBase.has(canonical(element)),
  );
  const added = local.filter(
    (element) => !inServer.has(canonical(element)) && !inBase.has(canonical(element)),
  );
  return [...kept, ...added];
}

/**
 * Merges a field that counts: a {@link FieldResolver} for {@link fields}. Adds the increments of both
 * copies. Returns the local value if a copy holds no number.
 *
 * Do not use it for a number that is set instead of incremented.
 */
export function counter(_field: string, local: unknown, server: unknown, base: unknown): unknown {
  if (typeof local !== 'number' || typeof server !== 'number') return local;
  return server + local - (typeof base === 'number' ? base : 0);
}
