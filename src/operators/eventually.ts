import { defer, from, isObservable, of } from 'rxjs';
import type { Observable } from 'rxjs';

/** Something that is there at once, or comes later. */
export type Eventually<T> = T | Promise<T> | Observable<T>;

/** Waits for what a function answers. Cold: it is asked at each subscription. */
export function eventually<T>(ask: () => Eventually<T>): Observable<T> {
  return defer(() => {
    const answer = ask();
    if (isObservable(answer)) return answer;
    return isPromise(answer) ? from(answer) : of(answer);
  });
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}
