import { catchError, defer, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { getDocument } from '../documents/read.ts';
import { requireDraft, writeOne } from '../documents/write.ts';
import type { WriteOutcome } from '../documents/write.ts';
import { isConflict, isNotFound } from '../errors/http-error.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireId } from '../http/url.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import { toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';
import { ConflictResolution } from './resolution.ts';
import type { ResolveOptions } from './resolution.ts';

/** Changes a document: null where there is none, and null to leave it as it is. */
export type DocumentChange<T extends object = AnyFields> = (
  doc: Document<T> | null,
) => ValueOrAsync<Draft<T> | null>;

const BACKOFF = { initialDelay: 10, maxDelay: 1000 };

/** Reads a document, changes it, writes it; and again, where it was changed meanwhile. */
export function upsertOne<T extends object>(
  db: DatabaseScope,
  id: string,
  change: DocumentChange<T>,
  options: ResolveOptions,
): Observable<Document<T> | null> {
  requireId(id);
  if (typeof change !== 'function') throw invalidArgument('upsert: change', 'a function', change);
  const { attempts = 100, backoff: pace = BACKOFF } = options;
  const read = getDocument<T>(db, id, {}).pipe(
    catchError((error: unknown) => (isNotFound(error) ? of(null) : throwError(() => error))),
  );
  const once = defer(() => read).pipe(
    mergeMap((server) =>
      toObservable(() => change(server)).pipe(
        mergeMap((changed): Observable<Document<T> | null> => {
          if (changed === null) return of(server);
          requireDraft(changed);
          const doc = next(changed, id, server);
          return writeOne<T>(db, { id, doc }, {}).pipe(
            map(({ value }) => ({ ...doc, _rev: value.ok ? value.rev : undefined }) as Document<T>),
          );
        }),
      ),
    ),
  );
  return once.pipe(
    retry({
      count: attempts - 1,
      delay: (error: unknown, failures) =>
        isConflict(error) ? db.connection.after(backoff(failures, pace)) : throwError(() => error),
    }),
  );
}

/** The same for many documents, with one request to read and one to write each round. */
export function upsertMany<T extends object>(
  db: DatabaseScope,
  ids: readonly string[],
  change: DocumentChange<T>,
  options: ResolveOptions,
): Observable<ConflictResolution<T>> {
  if (!Array.isArray(ids)) throw invalidArgument('upsert: ids', 'a list of ids', ids);
  ids.forEach((id, i) => requireId(id, `upsert: ids[${i}]`));
  if (typeof change !== 'function') throw invalidArgument('upsert: change', 'a function', change);
  const wanted = [...new Set(ids)];
  return defer(() => {
    if (wanted.length === 0) return of(new ConflictResolution<T>(db, []));
    // Everything is in conflict at first: changing is merging with the server's copy.
    const all = wanted.map((id): WriteOutcome<T> => ({
      ok: false,
      id,
      doc: { _id: id } as Draft<T>,
      error: 'conflict',
      reason: 'not read yet',
    }));
    return new ConflictResolution<T>(db, all).resolve((_local, server) => change(server), options);
  });
}

function next<T extends object>(
  changed: Draft<T>,
  id: string,
  server: Document<T> | null,
): Draft<T> {
  const { _rev: _old, ...fields } = changed;
  const doc = { ...fields, _id: id, ...(server !== null && { _rev: server._rev }) } as unknown;
  return doc as Draft<T>;
}
