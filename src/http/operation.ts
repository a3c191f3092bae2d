import { Observable, catchError, map, of, throwError } from 'rxjs';
import { cleanHeaders, viewHeaders } from '../errors/from-response.ts';
import { isHTTPError } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Connection } from './connection.ts';
import type { Answer } from './exchange.ts';
import type { Exchange, RequestSpec } from './link.ts';
import type { ResponseHeaders } from './transport.ts';

/**
 * The outcome of a request as a value: `ok` is true for a 2xx status, and for the other statuses that
 * `show`, `list` and `update` emit.
 */
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
 * The result of every one-shot method: an Observable of its value, with access to its status.
 *
 * - **Temperature:** cold. Each subscription sends a request, with the arguments' current contents.
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
   * Returns the outcome with its status code and headers, for success and failure alike.
   *
   * - **Temperature:** cold. Each subscription sends a request.
   * - **Emits** one `Status`, and **completes**.
   * - **Errors** with a `CorduroyError` only if there is no HTTP response, or an unusable one.
   * - **On unsubscribe** the exchange is aborted at once.
   *
   * @example
   * db.get('some-id').status().subscribe((status) => {
   *   if (status.error === NotFound) console.log('no such document');
   * });
   */
  status(): Observable<Status<T>> {
    const statuses = this.#answers.pipe(
      map(({ value, code, headers }): Status<T> => ({
        ok: true,
        code,
        headers: cleanHeaders(headers),
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
    return new Observable((subscriber) => {
      subscriber.add(viewHeaders());
      return statuses.subscribe(subscriber);
    });
  }

  /**
   * Emits the responses with their status codes and headers, for operations that combine others.
   * @internal
   */
  answers(): Observable<Answer<T>> {
    return this.#answers;
  }

  /**
   * Returns an operation with a converted value and the same status.
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
   * Returns the value of `yield* operation` inside `relax`, typed as `T`.
   *
   * Yields the operation itself, typed as `never`. A loop or a destructuring over an operation
   * therefore does not compile, and RxJS infers `T` from `switchMap(() => operation)`.
   */
  *[Symbol.iterator](): Generator<never, T> {
    return yield this as never;
  }
}

/** Makes an operation that sends one request and decodes its response. */
export function operation<T>(
  connection: Connection,
  describe: () => RequestSpec,
  decode: (body: unknown, exchange: Exchange) => T,
): Operation<T> {
  return new Operation(connection.json(describe, decode));
}
