import { catchError, defer, map, mergeMap, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { requireDraft, requireShape, writeMany, writeOne } from '../documents/write.ts';
import type { Write, WriteOptions, WriteOutcome } from '../documents/write.ts';
import { Conflict, isConflict } from '../errors/status-errors.ts';
import type { Answer } from '../http/connection.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { noteRevision } from '../model/document.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { takeIds } from '../server/uuids.ts';
import { ConflictResolution } from './resolution.ts';

export function saveOne<T extends object = AnyFields>(
  db: DatabaseScope,
  doc: Draft<T>,
  options: WriteOptions,
): Operation<ConflictResolution<T>> {
  requireDraft(doc);
  const identify = identifier(db, [doc]);
  return new Operation(
    defer(() => {
      // It may have changed since the call; what is in it is looked at when it is written.
      requireShape(doc, 'The document');
      return identify().pipe(
        mergeMap(([write]) => {
          const { id } = write as Write<T>;
          return writeOne<T>(db, { id, doc }, options).pipe(
            map((answer) => resolve([answer.value], answer)),
            catchError((failure: unknown) => {
              if (!isConflict(failure)) throw failure;
              const { error, reason } = failure;
              const resolution = new ConflictResolution([{ ok: false, id, error, reason, doc }]);
              throw new Conflict(failure, resolution);
            }),
          );
        }),
      );
    }),
  );
}

export function saveMany<T extends object = AnyFields>(
  db: DatabaseScope,
  docs: readonly Draft<T>[],
  options: WriteOptions,
): Operation<ConflictResolution<T>> {
  docs.forEach((doc, i) => requireDraft(doc, `docs[${i}]`));
  const identify = identifier(db, docs);
  return new Operation(
    defer(() => {
      docs.forEach((doc, i) => requireShape(doc, `docs[${i}]`));
      return identify().pipe(
        mergeMap((writes) => writeMany<T>(db, writes, options)),
        map((answer) => resolve(answer.value, answer)),
      );
    }),
  );
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

function resolve<T extends object>(
  outcomes: readonly WriteOutcome<T>[],
  answer: Answer<unknown>,
): Answer<ConflictResolution<T>> {
  for (const outcome of outcomes) {
    if (outcome.ok) noteRevision(outcome.doc, outcome.id, outcome.rev);
  }
  return { value: new ConflictResolution(outcomes), code: answer.code, headers: answer.headers };
}
