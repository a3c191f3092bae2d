import type { AnyFields, Document, Draft } from '../model/document.ts';
import { canonical, equal } from '../model/equal.ts';
import type { Merge, Merged } from './merge.ts';

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
): Merged<T> {
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
