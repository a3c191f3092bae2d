import { isObservable, lastValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { describeValue } from '../model/invalid-argument.ts';

/**
 * Returns the error of an operation, for a test that expects one:
 * `expect(await errorOf(orders.get('none'))).toBeInstanceOf(NotFound)`.
 *
 * It subscribes to an Observable, and waits until it errors or completes. In virtual time use `catchError`.
 *
 * @throws TypeError if there is no error. The message contains the last value.
 */
export async function errorOf<E = CorduroyError>(
  source: Observable<unknown> | PromiseLike<unknown>,
): Promise<E> {
  let value: unknown;
  try {
    value = await (isObservable(source)
      ? lastValueFrom(source, { defaultValue: undefined })
      : source);
  } catch (error) {
    return error as E;
  }
  throw new TypeError(`errorOf: there was no error, but the value ${describeValue(value)}`);
}
