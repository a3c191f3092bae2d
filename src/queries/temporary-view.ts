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
import { takeIds } from '../http/uuids.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { Row, View } from '../model/view.ts';
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
    throw invalidArgument('query: map', 'the text of a function', map_);
  if (reduce !== undefined && typeof reduce !== 'string')
    throw invalidArgument('query: reduce', 'text', reduce);
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

/**
 * Makes something, uses it, and removes it before the answer is emitted or the error passed on; and
 * on unsubscribe too, even where the making was under way, for the server may have done it already.
 */
export function removedAfter<T>(
  make: Observable<string>,
  unmake: (made: string) => Observable<unknown>,
  use: () => Observable<T>,
): Observable<T> {
  return new Observable((subscriber) => {
    const made$ = new AsyncSubject<string>();
    make.subscribe(made$);
    let removal$: AsyncSubject<never> | undefined;
    // Done once, and to its end, whoever leaves meanwhile.
    const removed = defer(() => {
      if (removal$ === undefined) {
        removal$ = new AsyncSubject<never>();
        made$.pipe(mergeMap(unmake), ignoreElements()).subscribe(removal$);
      }
      return removal$;
    });
    const used = made$.pipe(
      mergeMap(() =>
        use().pipe(
          catchError((error: unknown) =>
            concat(
              removed,
              throwError(() => error),
            ),
          ),
          mergeMap((answer) => concat(removed, of(answer))),
        ),
      ),
    );
    const subscription = used.subscribe(subscriber);
    return () => {
      subscription.unsubscribe();
      // Nobody is left to be told of a failure of this.
      removed.pipe(catchError(() => EMPTY)).subscribe();
    };
  });
}
