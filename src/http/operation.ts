import { Observable, catchError, map, of, throwError } from 'rxjs';
import { isHTTPError } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Connection } from './connection.ts';
import type { Answer, Exchange, RequestSpec } from './exchange.ts';
import type { ResponseHeaders } from './transport.ts';

/** What the server said to a request, as a value: `ok` tells whether it agreed. */
export type Status<T> =
  | {
      readonly ok: true;
      readonly code: number;
      readonly headers: ResponseHeaders;
      readonly value: T;
      readonly error: null;
      readonly exception: null;
    }
  | {
      readonly ok: false;
      readonly code: number;
      readonly headers: ResponseHeaders;
      readonly value: null;
      /** The class of the exception, for `status.error === NotFound`. */
      // oxlint-disable-next-line typescript/no-explicit-any -- any HTTPError class, whatever it takes
      readonly error: abstract new (...args: any[]) => HTTPError;
      readonly exception: HTTPError;
    };

/**
 * What every one-shot method returns: an Observable with its answer's status within reach.
 *
 * - **Temperature:** cold. Nothing is sent until it is subscribed to; each subscription sends its
 *   own request, with the arguments as they are then.
 * - **Emits** one value, and **completes**.
 * - **Errors** with a `CorduroyError`.
 * - **On unsubscribe** the exchange is aborted at once.
 */
export class Operation<T> extends Observable<T> {
  readonly #answers: Observable<Answer<T>>;

  /** @internal */
  constructor(answers: Observable<Answer<T>>) {
    super((subscriber) =>
      answers.subscribe({
        next: (answer) => subscriber.next(answer.value),
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      }),
    );
    this.#answers = answers;
  }

  /**
   * Returns the answer with its code and headers, whether the server agreed or not.
   *
   * Cold. Emits one `Status` and completes. Errors only where there was no HTTP answer. On
   * unsubscribe the exchange is aborted.
   *
   * @example
   * db.get('some-id').status().subscribe((status) => {
   *   if (status.error === NotFound) console.log('never heard of it');
   * });
   */
  status(): Observable<Status<T>> {
    return this.#answers.pipe(
      map(({ value, code, headers }): Status<T> => ({
        ok: true,
        code,
        headers,
        value,
        error: null,
        exception: null,
      })),
      catchError((error: unknown) => {
        if (!isHTTPError(error)) return throwError(() => error);
        return of<Status<T>>({
          ok: false,
          code: error.status,
          headers: error.headers,
          value: null,
          error: error.constructor as Status<T> extends { error: infer E } ? NonNullable<E> : never,
          exception: error,
        });
      }),
    );
  }

  /**
   * The answers with their heads, for operations that are made of others.
   * @internal
   */
  answers(): Observable<Answer<T>> {
    return this.#answers;
  }

  /**
   * Returns an operation that answers something else with the same status.
   * @internal
   */
  mapValue<R>(project: (value: T) => R): Operation<R> {
    return new Operation(
      this.#answers.pipe(
        map(({ value, code, headers }) => ({ value: project(value), code, headers })),
      ),
    );
  }

  /**
   * Gives the value at `yield* operation` inside `relax`, typed as `T`.
   *
   * It yields the operation itself, typed as `never`: a loop or a destructuring over an operation does
   * not compile, and RxJS infers `T` from `switchMap(() => operation)`.
   */
  *[Symbol.iterator](): Generator<never, T> {
    return yield this as never;
  }
}

/** Makes the operation that sends one request and decodes its answer. */
export function operation<T>(
  connection: Connection,
  describe: () => RequestSpec,
  decode: (body: unknown, exchange: Exchange) => T,
): Operation<T> {
  return new Operation(connection.json(describe, decode));
}
