import { EMPTY, catchError, defer, map, mergeMap, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isNotFound } from '../errors/status-errors.ts';
import type { Answer } from '../http/exchange.ts';
import { stringField } from '../http/decode.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { mustBe } from '../model/must-be.ts';
import type { Row, View } from '../model/view.ts';
import { takeIds } from '../server/uuids.ts';
import { removedAfter } from './removed-after.ts';
import { queryView } from './view.ts';
import type { ViewOptions } from './view.ts';

/**
 * Queries a view that is there only for this query: in a design document of a name of its own,
 * which is removed afterwards, whether the query succeeds, fails or is unsubscribed from.
 */
export function temporaryView<Key, Value, Doc>(
  db: DatabaseScope,
  map_: string,
  reduce: string | undefined,
  options: ViewOptions,
): Operation<View<Row<Key, Value, Doc>, ViewOptions>> {
  if (typeof map_ !== 'string' || map_.trim() === '')
    throw mustBe('query: map', 'the text of a function', map_);
  if (reduce !== undefined && typeof reduce !== 'string')
    throw mustBe('query: reduce', 'text', reduce);
  // Misuse is told now.
  queryView(db, 'checked/now', options);
  const view = { map: map_, ...(reduce !== undefined && { reduce }) };
  return new Operation(
    defer(() =>
      takeIds(db.connection, 1).pipe(
        mergeMap(([id]) => {
          const name = `corduroy-temporary-${id}`;
          return removedAfter(
            write(db, name, view),
            (rev) => remove(db, name, rev),
            () => queryView<Key, Value, Doc>(db, `${name}/view`, options).answers(),
          );
        }),
      ),
    ),
  );
}

function write(db: DatabaseScope, name: string, view: object): Observable<string> {
  const path = `${db.path}/_design/${name}`;
  return db.connection
    .json(
      () => ({ method: 'PUT', path, json: { language: 'javascript', views: { view } } }),
      (body) => stringField(body, 'rev'),
    )
    .pipe(map(({ value }) => value));
}

function remove(db: DatabaseScope, name: string, rev: string): Observable<Answer<true>> {
  const path = `${db.path}/_design/${name}?rev=${rev}`;
  return db.connection
    .json(
      () => ({ method: 'DELETE', path }),
      (): true => true,
    )
    .pipe(catchError((error: unknown) => (isNotFound(error) ? EMPTY : throwError(() => error))));
}
