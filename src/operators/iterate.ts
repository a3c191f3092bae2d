import { Subject, takeUntil } from 'rxjs';
import type { Observable } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';

/**
 * Lets `for await` read an Observable: subscribes at the first `next()`, unsubscribes when the loop
 * is left. `return()` also works from outside, while a `next()` waits for a silent source, where
 * that of the library would wait with it.
 */
export function iterate<T>(source: Observable<T>): AsyncIterableIterator<T> {
  const stop$ = new Subject<void>();
  const values = eachValueFrom(source.pipe(takeUntil(stop$))) as AsyncGenerator<T>;
  return {
    next: () => values.next(),
    throw: (error) => {
      stop$.next();
      return values.throw(error);
    },
    return: (value) => {
      stop$.next();
      return values.return(value);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
