import { catchError, map, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { AnyFields, Attachments, Document, Draft } from '../model/document.ts';
import { canonical, equal } from '../model/json.ts';
import { toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';

/** A merged document, or null where merging gives up. */
export type MergeResult<T extends object = AnyFields> = Draft<T> | null;

/**
 * Makes one document of two: of the one that could not be saved, and the server's, which is null
 * where it was deleted. Null leaves the document pending.
 *
 * A function that takes three arguments is given `base` as well: what the local copy was made of,
 * where the server still has that revision, and else null. It costs no further request.
 */
export type Merge<T extends object = AnyFields> = (
  local: Draft<T>,
  server: Document<T> | null,
  base: Document<T> | null,
) => ValueOrAsync<MergeResult<T>>;

/** What the server has of a document in conflict. */
export interface ServerCopy<T extends object> {
  readonly server: Document<T> | null;
  readonly base: Document<T> | null;
}

/** What became of merging: a document to be written, or why there is none. */
export type MergeOutcome<T extends object> =
  | { readonly type: 'merged'; readonly doc: Draft<T> }
  | { readonly type: 'given up' }
  | { readonly type: 'failed'; readonly reason: string };

/** Merges one document. A merge that throws fails this document, and no other. */
export function mergeOne<T extends object>(
  merge: Merge<T>,
  id: string,
  local: Draft<T>,
  { server, base }: ServerCopy<T>,
): Observable<MergeOutcome<T>> {
  return toObservable(() => merge(local, server, base)).pipe(
    map((merged): MergeOutcome<T> => {
      if (merged === null || merged === undefined) return { type: 'given up' };
      return { type: 'merged', doc: onto(id, merged, server) };
    }),
    catchError((error: unknown) =>
      of<MergeOutcome<T>>({
        type: 'failed',
        reason: `merging ${JSON.stringify(id)}: ${String(error)}`,
      }),
    ),
  );
}

/** Makes the next revision of the server's copy, whatever the merge made of `_id` and `_rev`. */
function onto<T extends object>(
  id: string,
  merged: Draft<T>,
  server: Document<T> | null,
): Draft<T> {
  const { _rev: _theirs, _attachments: wanted, ...rest } = merged;
  const kept = keepAttachments(wanted, server?._attachments);
  const doc = {
    ...rest,
    _id: id,
    ...(server !== null && { _rev: server._rev }),
    ...(kept !== undefined && { _attachments: kept }),
  } as unknown;
  return doc as Draft<T>;
}

/**
 * Attachments that a merge says nothing of stay, for a document that is saved without their stubs
 * loses them. Stubs of what the server has not are left out: it would refuse the whole request.
 */
function keepAttachments(
  wanted: Attachments | undefined,
  there: Attachments | undefined,
): Attachments | undefined {
  if (wanted === undefined) return there;
  return Object.fromEntries(
    Object.entries(wanted).filter(
      ([name, one]) => 'data' in one || (there !== undefined && name in there),
    ),
  );
}

/**
 * Ready merges, each a pure function, for `save(…, { merge })`, `resolve` and `resolveConflicts`.
 * They keep the server's attachments.
 */

/**
 * Keeps the local copy. Not for documents that several people edit: what they wrote is lost.
 */
export function ours<T extends object = AnyFields>(local: Draft<T>): Draft<T> {
  return local;
}

/**
 * Keeps the server's copy; where that was deleted, it gives up. Not for what a user has typed: it is
 * thrown away.
 */
export function theirs<T extends object = AnyFields>(
  _local: Draft<T>,
  server: Document<T> | null,
): MergeResult<T> {
  return server;
}

/**
 * Keeps the copy whose field is the greater, as a date or a number; the local one where they are
 * equal. Not where clocks differ by more than the edits do, nor where both copies hold something
 * that should stay.
 */
export function newest<T extends object = AnyFields>(field: keyof T & string): Merge<T> {
  return (local, server) => {
    if (server === null) return local;
    const [mine, other] = [local[field], server[field]];
    return other > mine ? server : local;
  };
}

/** Decides over a field that was changed on both sides. */
export type FieldResolver = (
  field: string,
  local: unknown,
  server: unknown,
  base: unknown,
) => unknown;

/**
 * Merges field by field, by what both copies were made of: a field that was changed on one side is
 * taken from there, one that was changed on both is for the resolver (by default the local one
 * wins). Where there is no base any more, fields that differ count as changed on both sides; a
 * field that only one side has is kept. Not for fields that only make sense together.
 */
export function fields<T extends object = AnyFields>(
  resolver: FieldResolver = (_field, local) => local,
): Merge<T> {
  // Three arguments, so that the base is fetched.
  return (local, server, base) => {
    if (server === null) return local;
    const [mine, other, old] = [local, server, base ?? {}] as readonly AnyFields[] as [
      AnyFields,
      AnyFields,
      AnyFields,
    ];
    const merged: AnyFields = {};
    for (const field of new Set([...Object.keys(other), ...Object.keys(mine)])) {
      if (field.startsWith('_')) continue;
      const value = mergeField(field, mine, other, base === null ? null : old, resolver);
      if (value !== undefined) merged[field] = value;
    }
    return merged as Draft<T>;
  };
}

function mergeField(
  field: string,
  mine: AnyFields,
  other: AnyFields,
  base: AnyFields | null,
  resolver: FieldResolver,
): unknown {
  const [local, server] = [mine[field], other[field]];
  if (equal(local, server)) return server;
  if (base === null) {
    if (local === undefined) return server;
    if (server === undefined) return local;
    return resolver(field, local, server, undefined);
  }
  if (equal(local, base[field])) return server;
  if (equal(server, base[field])) return local;
  return resolver(field, local, server, base[field]);
}

/**
 * Decides over a field that holds a list of ids, or other things without an order: what either side
 * added is there, what either side removed is not. For the resolver of `fields`.
 */
export function union(_field: string, local: unknown, server: unknown, base: unknown): unknown {
  if (!Array.isArray(local) || !Array.isArray(server)) return local;
  const old = new Set((Array.isArray(base) ? base : []).map(canonical));
  const [mine, other] = [new Set(local.map(canonical)), new Set(server.map(canonical))];
  const kept = server.filter((one) => mine.has(canonical(one)) || !old.has(canonical(one)));
  const added = local.filter((one) => !other.has(canonical(one)) && !old.has(canonical(one)));
  return [...kept, ...added];
}

/**
 * Decides over a field that counts: what both sides added to it is added. For the resolver of
 * `fields`. Not for a number that is set rather than counted.
 */
export function counter(_field: string, local: unknown, server: unknown, base: unknown): unknown {
  if (typeof local !== 'number' || typeof server !== 'number') return local;
  return server + local - (typeof base === 'number' ? base : 0);
}
