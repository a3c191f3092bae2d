import {
  AsyncSubject,
  EMPTY,
  Observable,
  catchError,
  concat,
  defer,
  ignoreElements,
  mergeMap,
  of,
  throwError,
} from 'rxjs';

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
