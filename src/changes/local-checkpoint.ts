import { catchError, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isConflict, isNotFound } from '../errors/status-errors.ts';
import { asObject, stringField } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { segment } from '../http/url.ts';
import type { Sequence } from '../model/change.ts';
import { mustBe } from '../model/must-be.ts';
import type { CheckpointStore } from './checkpoint.ts';

interface Note {
  readonly rev: string | undefined;
  readonly seq: Sequence | null;
}

/**
 * Returns a checkpoint in a `_local/` document of the database itself, which is not replicated.
 * What goes on from it need not be on the same machine.
 */
export function localCheckpoint(db: DatabaseScope, name: string): CheckpointStore {
  if (typeof name !== 'string' || name === '')
    throw mustBe('checkpoint: name', 'a string that is not empty', name);
  const path = `${db.path}/_local/${segment(`corduroy-${name}`)}`;
  let rev: string | undefined;

  const read = (): Observable<Note> =>
    db.connection
      .json(
        () => ({ path }),
        (body) => ({ rev: stringField(body, '_rev'), seq: stringField(body, 'seq') }),
      )
      .pipe(
        map(({ value }) => value),
        catchError((error: unknown) =>
          isNotFound(error) ? of({ rev: undefined, seq: null }) : throwError(() => error),
        ),
      );

  const write = (seq: Sequence): Observable<unknown> =>
    db.connection
      .json(
        () => ({ method: 'PUT', path, json: { seq, ...(rev !== undefined && { _rev: rev }) } }),
        (body) => String(asObject(body)['rev']),
      )
      .pipe(map(({ value }) => (rev = value)));

  return {
    read: () =>
      read().pipe(
        map((note) => {
          ({ rev } = note);
          return note.seq;
        }),
      ),
    write: (seq) =>
      write(seq).pipe(
        retry({
          count: 1,
          // Somebody else noted it, or an answer was lost: the newer one is written over.
          delay: (error: unknown) =>
            isConflict(error)
              ? read().pipe(mergeMap((note) => of((rev = note.rev))))
              : throwError(() => error),
        }),
      ),
  };
}
