import { EmptyError, Observable, from } from 'rxjs';
import type { ObservableInput, Subscription } from 'rxjs';

/** A generator that `relax` runs: it yields operations, and receives their values. */
export type RelaxGenerator<R> = Generator<unknown, R>;

/**
 * The return type of a method under `@relax`. A decorator cannot change a method's type, so declare
 * the signature for callers on the line above:
 *
 * ```ts
 * show(id: string): Observable<string>;
 * @relax
 * *show(id: string): RelaxedMethod<string> { … }
 * ```
 */
export type RelaxedMethod<R> = RelaxGenerator<R> | Observable<R>;

/**
 * Returns an Observable that runs a generator. Each `yield* operation` waits for the operation's
 * value.
 *
 * - **Temperature:** cold. Each subscription runs the generator from its beginning.
 * - **Emits** the generator's return value, and **completes**.
 * - **Errors** with what the generator throws. A failed operation throws at its `yield*`, so
 *   `try`/`catch` works.
 * - **On unsubscribe** it aborts the request in flight, and runs the generator's `finally` blocks.
 *
 * As a decorator (`@relax *show(id) {…}`) it turns a generator method into one that returns such an
 * Observable.
 *
 * @example
 * const page = relax(function* () {
 *   const user = yield* users.get('ada');
 *   return yield* orders.get(user.lastOrder);
 * });
 * @throws TypeError for anything but a function.
 */
export function relax<R>(body: () => RelaxGenerator<R>): Observable<R>;
export function relax<This, R>(
  // oxlint-disable-next-line typescript/no-explicit-any -- the method's arguments can have any type
  method: (this: This, ...args: any[]) => RelaxedMethod<R>,
  context: ClassMethodDecoratorContext<This>,
  // oxlint-disable-next-line typescript/no-explicit-any -- this must be the method's own type
): any;
export function relax<R>(
  body: (...args: unknown[]) => RelaxedMethod<R>,
  context?: ClassMethodDecoratorContext,
): Observable<R> | ((...args: unknown[]) => Observable<R>) {
  if (typeof body !== 'function')
    throw new TypeError(`relax: body must be a generator function (received ${typeof body})`);
  const generate = body as (...args: unknown[]) => RelaxGenerator<R>;
  if (context === undefined) return new Observable((subscriber) => run(generate, subscriber));
  return function relaxed(this: unknown, ...args: unknown[]) {
    return new Observable((subscriber) => run(() => generate.apply(this, args), subscriber));
  };
}

/**
 * Waits for an Observable or a Promise inside `relax`: `yield* lastOf(clicks$.pipe(take(3)))`.
 *
 * Returns the last value, as `lastValueFrom` does. Throws `EmptyError` if the source completes
 * without a value, and the source's error if it errors.
 */
export function* lastOf<T>(source: ObservableInput<T>): Generator<T, T> {
  return yield from(source) as unknown as T;
}

interface Outcome<R> {
  next(value: R): void;
  error(error: unknown): void;
  complete(): void;
}

function run<R>(generate: () => RelaxGenerator<R>, outcome: Outcome<R>): () => void {
  type Step = () => IteratorResult<unknown, R>;
  const generator = generate();
  if (typeof generator?.next !== 'function')
    throw new TypeError(
      'relax: body must be a generator function: write function* instead of a function',
    );
  let subscription: Subscription | undefined;
  let running = false;
  let finished = false;
  let unsubscribed = false;

  /**
   * Runs the generator until it waits. A loop, because synchronous sources must not deepen the
   * stack.
   */
  const drive = (first: Step): void => {
    let step: Step | undefined = first;
    while (step !== undefined) {
      const resume: Step = step;
      running = true;
      try {
        const result = resume();
        if (result.done) {
          finished = true;
          outcome.next(result.value);
          outcome.complete();
          return;
        }
        step = subscribeTo(result.value);
      } catch (error) {
        finished = true;
        outcome.error(error);
        return;
      } finally {
        running = false;
      }
    }
  };

  /**
   * Subscribes to a yielded source. Returns the next step if the source has completed
   * synchronously.
   */
  const subscribeTo = (source: unknown): Step | undefined => {
    if (!isSubscribable(source)) {
      const help =
        'relax: yield* must be given an operation; wrap an Observable or a Promise in lastOf(…)';
      return () => generator.throw(new TypeError(help));
    }
    let last: { readonly value: unknown } | undefined;
    let next: Step | undefined;
    let subscribing = true;
    const resume = (step: Step): void => {
      if (subscribing) next = step;
      else drive(step);
    };
    subscription = source.subscribe({
      next: (value) => {
        last = { value };
      },
      error: (error: unknown) => resume(() => generator.throw(error)),
      complete: () => {
        const result = last;
        resume(() =>
          result === undefined ? generator.throw(new EmptyError()) : generator.next(result.value),
        );
      },
    });
    subscribing = false;
    // The generator or the source has unsubscribed while the generator was running.
    if (unsubscribed && !cleaningUp) return cleanUp();
    return next;
  };

  let cleaningUp = false;
  /** Returns the step that runs the `finally` blocks. These may still yield and wait. */
  const cleanUp = (): Step => {
    cleaningUp = true;
    subscription?.unsubscribe();
    return () => generator.return(undefined as R);
  };

  drive(() => generator.next());

  return () => {
    unsubscribed = true;
    // A running generator cannot be returned from; the next yield does it.
    if (!finished && !running && !cleaningUp) drive(cleanUp());
  };
}

function isSubscribable(value: unknown): value is Observable<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'subscribe' in value &&
    typeof value.subscribe === 'function'
  );
}
