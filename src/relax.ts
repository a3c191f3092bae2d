import { EmptyError, Observable, from } from 'rxjs';
import type { ObservableInput, Subscription } from 'rxjs';

/** A generator that yields operations and is given their values: what `relax` runs. */
export type RelaxGenerator<R> = Generator<unknown, R>;

/**
 * The return type of a method under `@relax`, where it is to be written down. Declare the signature
 * that callers see on the line above it, for a decorator cannot change a method's type:
 *
 * ```ts
 * show(id: string): Observable<string>;
 * @relax
 * *show(id: string): Relaxed<string> { … }
 * ```
 */
export type RelaxedMethod<R> = RelaxGenerator<R> | Observable<R>;

/**
 * Returns an Observable that runs a generator in which each `yield* operation` waits for the value.
 *
 * - **Temperature:** cold. The generator runs anew at each subscription.
 * - **Emits** what the generator returns, and **completes**.
 * - **Errors** with what the generator throws. A failed operation throws at its `yield*`, where
 *   `try`/`catch` works.
 * - **On unsubscribe** the request in flight is aborted and the generator's `finally` blocks run.
 *
 * As a decorator (`@relax *show(id) {…}`) it makes a method that returns such an Observable.
 *
 * @example
 * const page = relax(function* () {
 *   const user = yield* users.get('ada');
 *   return yield* orders.get(user.lastOrder);
 * });
 */
export function relax<R>(body: () => RelaxGenerator<R>): Observable<R>;
export function relax<This, R>(
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever arguments the method takes
  method: (this: This, ...args: any[]) => RelaxedMethod<R>,
  context: ClassMethodDecoratorContext<This>,
  // oxlint-disable-next-line typescript/no-explicit-any -- TypeScript wants the method's own type here
): any;
export function relax<R>(
  body: (...args: unknown[]) => RelaxedMethod<R>,
  context?: ClassMethodDecoratorContext,
): Observable<R> | ((...args: unknown[]) => Observable<R>) {
  if (typeof body !== 'function') throw new TypeError('relax takes a generator function');
  const generate = body as (...args: unknown[]) => RelaxGenerator<R>;
  if (context === undefined) return new Observable((subscriber) => run(generate, subscriber));
  return function relaxed(this: unknown, ...args: unknown[]) {
    return new Observable((subscriber) => run(() => generate.apply(this, args), subscriber));
  };
}

/**
 * Lets a relaxed generator wait for any Observable or Promise: `yield* lastOf(clicks$.pipe(take(3)))`
 * gives its last value, as `lastValueFrom` does, and throws `EmptyError` where there was none.
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
  let waiting: Subscription | undefined;
  let running = false;
  let finished = false;
  let abandoned = false;

  /** Runs the generator until it has to wait: a loop, so that what is there at once adds no depth. */
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
        step = wait(result.value);
      } catch (error) {
        finished = true;
        outcome.error(error);
        return;
      } finally {
        running = false;
      }
    }
  };

  /** Returns the next step where the source settled while it was being subscribed to. */
  const wait = (source: unknown): Step | undefined => {
    if (!isSubscribable(source)) {
      const help = 'relax: yield* takes an operation, or lastOf(…) of an Observable or a Promise';
      return () => generator.throw(new TypeError(help));
    }
    let last: { readonly value: unknown } | undefined;
    let next: Step | undefined;
    let subscribing = true;
    const settle = (step: Step): void => {
      if (subscribing) next = step;
      else drive(step);
    };
    waiting = source.subscribe({
      next: (value) => {
        last = { value };
      },
      error: (error: unknown) => settle(() => generator.throw(error)),
      complete: () => {
        const settled = last;
        settle(() =>
          settled === undefined ? generator.throw(new EmptyError()) : generator.next(settled.value),
        );
      },
    });
    subscribing = false;
    // It was left by what it did, or by what the source emitted: now is the time to go.
    if (abandoned && !leaving) return leave();
    return next;
  };

  let leaving = false;
  /** Makes the step that runs the `finally` blocks; what they yield is still waited for. */
  const leave = (): Step => {
    leaving = true;
    waiting?.unsubscribe();
    return () => generator.return(undefined as R);
  };

  drive(() => generator.next());

  return () => {
    abandoned = true;
    // A running generator cannot be left: it is, at its next yield.
    if (!finished && !running && !leaving) drive(leave());
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
