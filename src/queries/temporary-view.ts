import {
  AsyncSubject,
  EMPTY,
  Observable,
  catchError,
  concat,
  defer,
  ignoreElements,
  map,
  mergeMap,
  of,
  throwError,
} from 'rxjs';
import { isNotFound } from '../errors/http-error.ts';
import { stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { designAt, revQuery } from '../http/url.ts';
import { takeIds } from '../http/uuids.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { Row, View } from '../model/view.ts';
import { queryView } from './view.ts';
import type { ViewOptions } from './view.ts';

/**
 * Queries a view that exists only for this query. Writes a design document with a unique name, and removes
 * it when the query has succeeded or failed, and on unsubscribe.
 */
export function temporaryView<Key, Value, Doc>(
  db: DatabaseScope,
  mapSource: string,
  reduce: string | undefined,
  options: ViewOptions,
): Operation<View<Row<Key, Value, Doc>, ViewOptions>> {
  if (typeof mapSource !== 'string' || mapSource.trim() === '')
    throw invalidArgument('query: map', 'the source text of a function', mapSource);
  if (reduce !== undefined && typeof reduce !== 'string')
    throw invalidArgument('query: reduce', 'the source text of a function', reduce);
  // Validate now: throws at the call.
  queryView(db, 'temporary/view', options);
  const view = { map: mapSource, ...(reduce !== undefined && { reduce }) };
  return new Operation(
    defer(() =>
      takeIds(db.connection, 1).pipe(
        mergeMap(([id]) => {
          const name = `corduroy-temporary-${id}`;
          return withTemporary(
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
  const address = designAt(db, name);
  // Only such a view can be queried without a partition in a partitioned database.
  const options = { partitioned: false };
  return db.connection
    .json(
      () => ({
        ...address,
        method: 'PUT',
        json: { language: 'javascript', views: { view }, options },
      }),
      (body) => stringField(body, 'rev'),
    )
    .pipe(map(({ value }) => value));
}

function remove(db: DatabaseScope, name: string, rev: string): Observable<Answer<true>> {
  const address = designAt(db, name, revQuery(rev));
  return db.connection
    .json(
      () => ({ ...address, method: 'DELETE' }),
      (): true => true,
    )
    .pipe(catchError((error: unknown) => (isNotFound(error) ? EMPTY : throwError(() => error))));
}

/**
 * Creates something, uses it, and removes it before it emits the answer or the error.
 *
 * On unsubscribe it removes it too. If the creation is still in flight then, it waits for that first: the
 * server may have executed the request already.
 */
export function withTemporary<T>(
  create: Observable<string>,
  cleanUp: (rev: string) => Observable<unknown>,
  use: () => Observable<T>,
): Observable<T> {
  return new Observable((subscriber) => {
    const created$ = new AsyncSubject<string>();
    create.subscribe(created$);
    let removed$: AsyncSubject<never> | undefined;
    // Removes it once. An unsubscribe does not cancel the removal.
    const removeOnce = defer(() => {
      if (removed$ === undefined) {
        removed$ = new AsyncSubject<never>();
        created$.pipe(mergeMap(cleanUp), ignoreElements()).subscribe(removed$);
      }
      return removed$;
    });
    const answer = created$.pipe(
      mergeMap(() =>
        use().pipe(
          catchError((error: unknown) =>
            concat(
              removeOnce,
              throwError(() => error),
            ),
          ),
          mergeMap((value) => concat(removeOnce, of(value))),
        ),
      ),
    );
    const subscription = answer.subscribe(subscriber);
    return () => {
      subscription.unsubscribe();
      // There is no subscriber left for an error of the removal.
      removeOnce.pipe(catchError(() => EMPTY)).subscribe();
    };
  });
}
