import { defer, map, mergeMap, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { requireDraft, writeMany, writeOne } from '../documents/write.ts';
import type { Write, WriteOptions, WriteOutcome } from '../documents/write.ts';
import { Conflict } from '../errors/status-errors.ts';
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
      requireDraft(doc);
      return identify().pipe(
        mergeMap(([write]) => writeOne<T>(db, write as Write<T>, options)),
        map((answer) => resolve([answer.value], answer)),
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
      docs.forEach((doc, i) => requireDraft(doc, `docs[${i}]`));
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
  const value = new ConflictResolution(outcomes);
  const [first] = outcomes;
  // A document that was saved alone fails alone.
  if (outcomes.length === 1 && first?.ok === false && first.exception !== undefined) {
    const { status, error, reason, headers, request } = first.exception;
    throw new Conflict({ status, error, reason, headers, request }, value);
  }
  return { value, code: answer.code, headers: answer.headers };
}
