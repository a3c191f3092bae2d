import {
  catchError,
  defaultIfEmpty,
  defer,
  map,
  mergeMap,
  of,
  retry,
  take,
  throwError,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { getDocument } from '../documents/read.ts';
import { plainDraft, requireDraft, writeOne } from '../documents/write.ts';
import type { WriteOutcome } from '../documents/write.ts';
import { isConflict, isNotFound } from '../errors/http-error.ts';
import { requireBackoff } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireId } from '../http/url.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import { toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';
import { exactAttachments } from './merge.ts';
import type { Merge, MergeResult } from './merge.ts';
import { ConflictResolution } from './resolution.ts';
import type { ResolveOptions } from './resolution.ts';

/**
 * Changes a document for `upsert`. Receives the document, or null if there is none. Returns the document
 * to save, or null to leave it unchanged; or a Promise or Observable of either. Corduroy takes the first
 * value of an Observable; an Observable without a value means null.
 *
 * The attachments stay if the returned document has no `_attachments`. If it has, those are the
 * attachments to keep: leave a stub out to remove an attachment.
 */
export type DocumentChange<T extends object = AnyFields, Out extends object = T> = (
  doc: Document<Out> | null,
) => ValueOrAsync<MergeResult<string extends keyof T ? object : T | Out>>;

const BACKOFF = { initialDelay: 10, maxDelay: 1000 };

/** Reads a document, applies `change`, and saves it. Retries on conflict. */
export function upsertOne<T extends object, Out extends object>(
  db: DatabaseScope,
  id: string,
  change: DocumentChange<T, Out>,
  options: ResolveOptions,
): Observable<Document<T | Out> | null> {
  requireId(id);
  if (typeof change !== 'function') throw invalidArgument('upsert: change', 'a function', change);
  requireOptions(options, 'upsert', ['attempts', 'backoff']);
  const { attempts = 100, backoff: backoffOptions = BACKOFF } = options;
  requireBackoff(backoffOptions, 'upsert: backoff');
  const read = getDocument<Out>(db, id, {}).pipe(
    catchError((error: unknown) => (isNotFound(error) ? of(null) : throwError(() => error))),
  );
  const attempt = defer(() => read).pipe(
    mergeMap((server) =>
      toObservable(() => change(server)).pipe(
        take(1),
        defaultIfEmpty(null),
        mergeMap((changed): Observable<Document<T | Out> | null> => {
          if (changed === null) return of(server);
          const plain = plainDraft(changed as NonNullable<MergeResult<T | Out>>);
          requireDraft(plain, db.connection.codec);
          const doc = asNextRevision(plain, id, server);
          return writeOne<T | Out>(db, { id, doc }, {}).pipe(
            map(
              ({ value }) =>
                ({ ...doc, _rev: value.ok ? value.rev : undefined }) as Document<T | Out>,
            ),
          );
        }),
      ),
    ),
  );
  return attempt.pipe(
    retry({
      count: attempts - 1,
      delay: (error: unknown, failures) =>
        isConflict(error)
          ? db.connection.after(backoff(failures, backoffOptions))
          : throwError(() => error),
    }),
  );
}

/** Reads documents, applies `change` to each, and saves them: two requests in each round. */
export function upsertMany<T extends object, Out extends object>(
  db: DatabaseScope,
  ids: readonly string[],
  change: DocumentChange<T, Out>,
  options: ResolveOptions,
): Observable<ConflictResolution<T, Out>> {
  if (!Array.isArray(ids)) throw invalidArgument('upsert: ids', 'an array of ids', ids);
  ids.forEach((id, i) => requireId(id, `upsert: ids[${i}]`));
  if (typeof change !== 'function') throw invalidArgument('upsert: change', 'a function', change);
  requireOptions(options, 'upsert', ['attempts', 'backoff']);
  const uniqueIds = [...new Set(ids)];
  return defer(() => {
    if (uniqueIds.length === 0) return of(new ConflictResolution<T, Out>(db, []));
    // All start as conflicts: resolving refetches the documents, and `change` takes the place of a merge.
    const outcomes = uniqueIds.map((id): WriteOutcome<T> => ({
      ok: false,
      id,
      doc: { _id: id } as Draft<T>,
      error: 'conflict',
      reason: 'not read yet',
    }));
    return new ConflictResolution<T, Out>(db, outcomes).apply(
      change as (server: Document<Out> | null) => ReturnType<Merge<T, Out>>,
      options,
    );
  });
}

function asNextRevision<T extends object>(
  changed: NonNullable<MergeResult<T>>,
  id: string,
  server: Document<object> | null,
): Draft<T> {
  const { _rev: _ignored, _attachments: mentioned, ...fields } = changed;
  const attachments =
    changed._deleted === true ? {} : exactAttachments(mentioned, server?._attachments);
  const doc = {
    ...fields,
    _id: id,
    ...(server !== null && { _rev: server._rev }),
    ...(Object.keys(attachments).length > 0 && { _attachments: attachments }),
  } as unknown;
  return doc as Draft<T>;
}
