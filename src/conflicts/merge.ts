import { catchError, map, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { AnyFields, Attachments, Document, Draft } from '../model/document.ts';
import { eventually } from '../operators/eventually.ts';
import type { Eventually } from '../operators/eventually.ts';

/** A merged document, or null where merging gives up. */
export type Merged<T extends object = AnyFields> = Draft<T> | null;

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
) => Eventually<Merged<T>>;

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
  return eventually(() => merge(local, server, base)).pipe(
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
  const { _rev: _theirs, _attachments: wanted, ...fields } = merged;
  const kept = keepAttachments(wanted, server?._attachments);
  const doc = {
    ...fields,
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
