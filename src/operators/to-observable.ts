import { Subject, defer, from, isObservable, of, takeUntil } from 'rxjs';
import type { Observable } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';

/** Something that is there at once, or comes later. */
export type ValueOrAsync<T> = T | Promise<T> | Observable<T>;

/** Waits for what a function answers. Cold: it is asked at each subscription. */
export function toObservable<T>(ask: () => ValueOrAsync<T>): Observable<T> {
  return defer(() => {
    const answer = ask();
    if (isObservable(answer)) return answer;
    return isPromise(answer) ? from(answer) : of(answer);
  });
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}

/**
 * Lets `for await` read an Observable: subscribes at the first `next()`, unsubscribes when the loop
 * is left. `return()` also works from outside, while a `next()` waits for a silent source, where
 * that of the library would wait with it.
 */
export function toAsyncIterator<T>(source: Observable<T>): AsyncIterableIterator<T> {
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
