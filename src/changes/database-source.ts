import { catchError, map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isForbidden } from '../errors/status-errors.ts';
import { asObject } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change } from '../model/change.ts';
import { decodeChange } from './decode.ts';
import type { FeedSource } from './feed-source.ts';
import { readChanges, readLastSequence } from './one-shot.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';

/** The changes of a database, as something to be followed. */
export function databaseSource<T extends object>(
  db: DatabaseScope,
  parameters: ChangesParameters,
): FeedSource<Change<T>> {
  const { docIds, selector, view, filter } = parameters;
  const filtered = [docIds, selector, view, filter].some((way) => way !== undefined);
  return {
    connection: db.connection,
    path: `${db.path}/_changes`,
    decode: decodeChange<T>,
    request: (added) => changesRequest(parameters, added, 'changes$'),
    identity: (silence) => creation(db, silence),
    now: (silence) => readLastSequence(db, silence),
    // Of a filter only the server knows whether what there is passes it.
    hasMore: filtered
      ? null
      : (place) =>
          readChanges(db, { since: place, limit: 1 }).pipe(
            map(({ results }) => results.length > 0),
          ),
  };
}

/** Emits when the database was created, as its server tells since 3.3; null where it does not. */
function creation(db: DatabaseScope, silence: number): Observable<string | null> {
  return db.connection
    .json(
      () => ({ path: db.path, timeout: silence }),
      (body) => {
        const { instance_start_time: time } = asObject(body);
        return typeof time === 'string' && time !== '0' ? time : null;
      },
    )
    .pipe(
      map(({ value }) => value),
      catchError((error: unknown) => (isForbidden(error) ? of(null) : throwError(() => error))),
    );
}
