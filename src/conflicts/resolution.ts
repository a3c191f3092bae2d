/**
 * The conflicts room: what became of writes, and what to do about those that met a newer revision.
 * It sees documents, http and below.
 */
import type { WriteOutcome } from '../documents/write.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';

/** A document that was not written, and why. */
export interface PendingWrite<T extends object = AnyFields> {
  readonly doc: Draft<T>;
  /** `'conflict'`, or another word of CouchDB's: `'forbidden'`, `'unauthorized'`… */
  readonly error: string;
  readonly reason: string;
}

/**
 * What became of a save. The maps are keyed by `_id`, in the order in which the documents were
 * given.
 */
export class ConflictResolution<T extends object = AnyFields> {
  /** The documents that were not written. */
  readonly pending: ReadonlyMap<string, PendingWrite<T>>;
  /** The documents that were written, with their new `_rev`. */
  readonly resolved: ReadonlyMap<string, Document<T>>;

  /** @internal */
  constructor(outcomes: readonly WriteOutcome<T>[]) {
    const pending = new Map<string, PendingWrite<T>>();
    const resolved = new Map<string, Document<T>>();
    for (const outcome of outcomes) {
      const { id, doc } = outcome;
      if (outcome.ok) resolved.set(id, written(doc, id, outcome.rev));
      else pending.set(id, { doc, error: outcome.error, reason: outcome.reason });
    }
    this.pending = pending;
    this.resolved = resolved;
  }

  toString(): string {
    if (this.pending.size > 0) return `<Conflict: ${[...this.pending.keys()].join(', ')}>`;
    const { size } = this.resolved;
    return `<Success: ${size} ${size === 1 ? 'doc' : 'docs'} updated>`;
  }
}

/** The object that was saved, which carries its new revision; a copy of one that cannot. */
function written<T extends object>(
  doc: Draft<T>,
  id: string,
  rev: string | undefined,
): Document<T> {
  if (doc._id === id && (rev === undefined || doc._rev === rev)) return doc as Document<T>;
  return { ...doc, _id: id, ...(rev !== undefined && { _rev: rev }) } as Document<T>;
}
