import { catchError, defer, map, mergeMap, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { mayBeWritten } from '../errors/connection-error.ts';
import { UNKNOWN, writeMany } from '../documents/write-many.ts';
import {
  requireDraft,
  requireRevision,
  requireShape,
  writeOne,
  writeQuery,
} from '../documents/write.ts';
import type { Write, WriteOptions, WriteOutcome } from '../documents/write.ts';
import { withResolution } from '../errors/corduroy-error.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { Conflict, isConflict } from '../errors/http-error.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { isDotSegment } from '../http/url.ts';
import { recordRevision } from '../model/document.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { invalidArgument, describeValue, requireOptions } from '../model/invalid-argument.ts';
import { takeIds } from '../http/uuids.ts';
import { ConflictResolution } from './resolution.ts';
import type { Merge } from './merge.ts';
import type { ResolveOptions } from './resolution.ts';

/** Options for saving documents, and for resolving conflicts. */
export interface SaveOptions<
  T extends object = AnyFields,
  Out extends object = T,
> extends WriteOptions {
  /** Merges the local copy with the server's copy, for each document in conflict. */
  readonly merge?: Merge<T, Out>;
  /** With `merge` or `force`: the maximum number of rounds. @defaultValue 5 */
  readonly attempts?: number;
  /** Overwrites the server's copy. Prefer `merge`: `force` loses the changes of other clients. */
  readonly force?: boolean;
}

/** Saves one document. A conflict that stays unresolved is an error. */
export function saveOne<T extends object = AnyFields, Out extends object = T>(
  db: DatabaseScope,
  doc: Draft<T>,
  options: SaveOptions<T, Out>,
): Operation<ConflictResolution<T, Out>> {
  requireDraft(doc, db.connection.codec);
  const { write, resolve } = parseOptions(options, 'one');
  if (write.newEdits === false) {
    requireRevision(doc, 'the document');
    if (isDotSegment(doc._id ?? ''))
      throw new TypeError(
        `save: no URL can hold the id ${describeValue(doc._id)}; save a list of it`,
      );
  }
  const assignIds = idAssigner(db, [doc]);
  return new Operation(
    defer(() => {
      // The document may have changed since the call. Its fields are checked when it is written.
      requireShape(doc, 'The document');
      return assignIds().pipe(
        mergeMap(([{ id } = { id: '' }]) =>
          writeOne<T>(db, { id, doc }, write).pipe(
            map((answer) => toResolution<T, Out>(db, [answer.value], answer)),
            catchError((failure: unknown) => {
              if (!isConflict(failure)) throw unknownOutcome(db, failure, { id, doc });
              const { error, reason } = failure;
              const pending = new ConflictResolution<T, Out>(db, [
                { ok: false, id, error, reason, doc },
              ]);
              const conflict = (resolution: ConflictResolution<T, Out>): Observable<never> =>
                throwError(() => new Conflict(failure, resolution));
              if (resolve === undefined) return conflict(pending);
              const { headers } = failure;
              return resolve(pending).pipe(
                mergeMap((value) =>
                  value.pending.size > 0 ? conflict(value) : of({ value, code: 201, headers }),
                ),
              );
            }),
          ),
        ),
      );
    }),
  );
}

/**
 * Saves several documents in one request. Conflicts that stay unresolved are in `pending`.
 *
 * @param isImport - Whether the documents are checked already, and an earlier import may have written some:
 * they count as written then.
 */
export function saveMany<T extends object = AnyFields, Out extends object = T>(
  db: DatabaseScope,
  docs: readonly Draft<T>[],
  options: SaveOptions<T, Out>,
  isImport = false,
): Operation<ConflictResolution<T, Out>> {
  if (!isImport)
    docs.forEach((doc, i) => requireDraft(doc, db.connection.codec, () => `docs[${i}]`));
  const { write, resolve } = parseOptions(options, 'many');
  if (write.newEdits === false) docs.forEach((doc, i) => requireRevision(doc, `docs[${i}]`));
  const assignIds = idAssigner(db, docs);
  return new Operation(
    defer(() => {
      if (!isImport) docs.forEach((doc, i) => requireShape(doc, () => `docs[${i}]`));
      return assignIds().pipe(
        mergeMap((writes) => writeMany<T>(db, writes, write, isImport)),
        map((answer) => {
          const resolution = toResolution<T, Out>(db, answer.value, answer);
          if (answer.failure !== undefined) throw withResolution(answer.failure, resolution.value);
          return resolution;
        }),
        mergeMap((answer) =>
          resolve === undefined
            ? of(answer)
            : resolve(answer.value).pipe(map((value) => ({ ...answer, value }))),
        ),
      );
    }),
  );
}

/** Attaches the document to an error after which it is not known whether it was written. */
function unknownOutcome<T extends object>(
  db: DatabaseScope,
  failure: unknown,
  { id, doc }: Write<T>,
): unknown {
  if (!mayBeWritten(failure)) return failure;
  const outcome = { ok: false, id, doc, error: 'unknown', reason: UNKNOWN } as const;
  return withResolution(failure as CorduroyError, new ConflictResolution(db, [outcome]));
}

type Resolve<T extends object, Out extends object> = (
  pending: ConflictResolution<T, Out>,
) => Observable<ConflictResolution<T, Out>>;

function parseOptions<T extends object, Out extends object>(
  options: SaveOptions<T, Out>,
  which: 'one' | 'many',
): { readonly write: WriteOptions; readonly resolve: Resolve<T, Out> | undefined } {
  requireOptions(options, 'save');
  const { merge, force = false, attempts = 5, ...write } = options;
  // Validate now: throws at the call.
  writeQuery(write, which);
  if (merge !== undefined && typeof merge !== 'function')
    throw invalidArgument('save: merge', 'a function', merge);
  if (merge !== undefined && force)
    throw new TypeError('save: use either merge or force, not both');
  if (write.newEdits === false && (merge !== undefined || force))
    throw new TypeError('save: newEdits: false causes no conflicts; remove merge and force');
  const resolveOptions: ResolveOptions = { attempts };
  const resolve: Resolve<T, Out> | undefined =
    merge !== undefined
      ? (resolution) => resolution.resolve(merge, resolveOptions)
      : force
        ? (resolution) => resolution.overwrite(resolveOptions)
        : undefined;
  return { write, resolve };
}

/**
 * Returns a function that assigns ids to documents without one. A document keeps its id when the save
 * is subscribed to again: a retry after a lost answer conflicts, instead of writing a second document.
 */
function idAssigner<T extends object>(
  db: DatabaseScope,
  docs: readonly Draft<T>[],
): () => Observable<readonly Write<T>[]> {
  const assigned = new Map<Draft<T>, string>();
  return () => {
    const withoutId = docs.filter((doc) => doc._id === undefined && !assigned.has(doc));
    // Invalid documents must fail before the request for ids.
    for (const doc of withoutId) requireDraft(doc, db.connection.codec);
    const ids = withoutId.length === 0 ? of([]) : takeIds(db.connection, withoutId.length);
    return ids.pipe(
      map((newIds) => {
        withoutId.forEach((doc, i) => assigned.set(doc, newIds[i] as string));
        return docs.map((doc) => ({ id: doc._id ?? (assigned.get(doc) as string), doc }));
      }),
    );
  };
}

/** Records the new revisions on the documents, and makes the resolution. */
function toResolution<T extends object, Out extends object>(
  db: DatabaseScope,
  outcomes: readonly WriteOutcome<T>[],
  answer: Answer<unknown>,
): Answer<ConflictResolution<T, Out>> {
  for (const outcome of outcomes) {
    if (outcome.ok) recordRevision(outcome.doc, outcome.id, outcome.rev);
  }
  const { code, headers } = answer;
  return { value: new ConflictResolution(db, outcomes), code, headers };
}
