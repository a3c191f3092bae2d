import { catchError, defer, map, mergeMap, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import {
  requireDraft,
  requireRevision,
  requireShape,
  writeMany,
  writeOne,
  writeQuery,
} from '../documents/write.ts';
import type { Write, WriteOptions, WriteOutcome } from '../documents/write.ts';
import { Conflict, isConflict } from '../errors/http-error.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { isDotSegment } from '../http/url.ts';
import { recordRevision } from '../model/document.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { takeIds } from '../http/uuids.ts';
import { ConflictResolution } from './resolution.ts';
import type { Merge } from './merge.ts';
import type { ResolveOptions } from './resolution.ts';

/** How documents are saved, and what is done about conflicts. */
export interface SaveOptions<T extends object = AnyFields> extends WriteOptions {
  /** Called for each conflict with the local and the server's copy, to make one of them. */
  readonly merge?: Merge<T>;
  /** With `merge` or `force`: how many rounds there are at most. @defaultValue 5 */
  readonly attempts?: number;
  /** Writes over the server's copy. Prefer `merge`: this throws away what others wrote. */
  readonly force?: boolean;
}

export function saveOne<T extends object = AnyFields>(
  db: DatabaseScope,
  doc: Draft<T>,
  options: SaveOptions<T>,
): Operation<ConflictResolution<T>> {
  requireDraft(doc);
  const { write, resolve } = split(options, 'one');
  if (write.newEdits === false) {
    requireRevision(doc, 'the document');
    if (isDotSegment(doc._id ?? ''))
      throw new TypeError(
        `save: no URL can hold the id ${describeValue(doc._id)}; save a list of it`,
      );
  }
  const identify = identifier(db, [doc]);
  return new Operation(
    defer(() => {
      // It may have changed since the call; what is in it is looked at when it is written.
      requireShape(doc, 'The document');
      return identify().pipe(
        mergeMap(([{ id } = { id: '' }]) =>
          writeOne<T>(db, { id, doc }, write).pipe(
            map((answer) => settle(db, [answer.value], answer)),
            catchError((failure: unknown) => {
              if (!isConflict(failure)) throw failure;
              const { error, reason } = failure;
              const pending = new ConflictResolution(db, [{ ok: false, id, error, reason, doc }]);
              const conflict = (left: ConflictResolution<T>): Observable<never> =>
                throwError(() => new Conflict(failure, left));
              if (resolve === undefined) return conflict(pending);
              const answered = { code: failure.status, headers: failure.headers };
              return resolve(pending).pipe(
                mergeMap((value) =>
                  // A document that was saved alone fails alone.
                  value.pending.size > 0 ? conflict(value) : of({ ...answered, code: 201, value }),
                ),
              );
            }),
          ),
        ),
      );
    }),
  );
}

export function saveMany<T extends object = AnyFields>(
  db: DatabaseScope,
  docs: readonly Draft<T>[],
  options: SaveOptions<T>,
): Operation<ConflictResolution<T>> {
  docs.forEach((doc, i) => requireDraft(doc, () => `docs[${i}]`));
  const { write, resolve } = split(options, 'many');
  if (write.newEdits === false) docs.forEach((doc, i) => requireRevision(doc, `docs[${i}]`));
  const identify = identifier(db, docs);
  return new Operation(
    defer(() => {
      docs.forEach((doc, i) => requireShape(doc, () => `docs[${i}]`));
      return identify().pipe(
        mergeMap((writes) => writeMany<T>(db, writes, write)),
        map((answer) => settle(db, answer.value, answer)),
        mergeMap((answer) =>
          resolve === undefined
            ? of(answer)
            : resolve(answer.value).pipe(map((value) => ({ ...answer, value }))),
        ),
      );
    }),
  );
}

type Resolve<T extends object> = (of: ConflictResolution<T>) => Observable<ConflictResolution<T>>;

function split<T extends object>(
  options: SaveOptions<T>,
  which: 'one' | 'many',
): { readonly write: WriteOptions; readonly resolve: Resolve<T> | undefined } {
  const { merge, force = false, attempts = 5, ...write } = options;
  // Misuse is told now.
  writeQuery(write, which);
  if (merge !== undefined && typeof merge !== 'function')
    throw invalidArgument('save: merge', 'a function', merge);
  if (merge !== undefined && force) throw new TypeError('save: merge and force exclude each other');
  if (write.newEdits === false && (merge !== undefined || force))
    throw new TypeError('save: with newEdits: false there are no conflicts for merge or force');
  const rounds: ResolveOptions = { attempts };
  const resolve: Resolve<T> | undefined =
    merge !== undefined
      ? (resolution) => resolution.resolve(merge, rounds)
      : force
        ? (resolution) => resolution.overwrite(rounds)
        : undefined;
  return { write, resolve };
}

/**
 * Gives ids to documents without one. A document keeps the id it was given when the save is
 * subscribed to again: a write whose answer was lost meets itself instead of being done twice.
 */
function identifier<T extends object>(
  db: DatabaseScope,
  docs: readonly Draft<T>[],
): () => Observable<readonly Write<T>[]> {
  const given = new Map<Draft<T>, string>();
  return () => {
    const nameless = docs.filter((doc) => doc._id === undefined && !given.has(doc));
    // Ids are asked for last: what cannot be written sends nothing.
    for (const doc of nameless) requireDraft(doc);
    const ids = nameless.length === 0 ? of([]) : takeIds(db.connection, nameless.length);
    return ids.pipe(
      map((fresh) => {
        nameless.forEach((doc, i) => given.set(doc, fresh[i] as string));
        return docs.map((doc) => ({ id: doc._id ?? (given.get(doc) as string), doc }));
      }),
    );
  };
}

function settle<T extends object>(
  db: DatabaseScope,
  outcomes: readonly WriteOutcome<T>[],
  answer: Answer<unknown>,
): Answer<ConflictResolution<T>> {
  for (const outcome of outcomes) {
    if (outcome.ok) recordRevision(outcome.doc, outcome.id, outcome.rev);
  }
  const { code, headers } = answer;
  return { value: new ConflictResolution(db, outcomes), code, headers };
}
