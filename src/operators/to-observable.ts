import {
  EMPTY,
  Observable,
  Subject,
  Subscriber,
  defer,
  filter,
  from,
  fromEvent,
  isObservable,
  map,
  merge,
  of,
  takeUntil,
} from 'rxjs';
import type { Observer } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';

/** A value, or a Promise or an Observable of it. */
export type ValueOrAsync<T> = T | Promise<T> | Observable<T>;

/**
 * Converts the result of a function to an Observable.
 *
 * - **Temperature:** cold. Each subscription calls the function.
 * - **Emits, completes, errors** as the result does; a plain value is emitted once.
 */
export function toObservable<T>(produce: () => ValueOrAsync<T>): Observable<T> {
  return defer(() => {
    const result = produce();
    if (isObservable(result)) return result;
    return isPromise(result) ? from(result) : of(result);
  });
}

/** Tells whether a value is a Promise, or another object with `then`. */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}

/**
 * Makes an observer of a source. If one of its callbacks throws, the error reaches `subscriber`: RxJS
 * would throw it as uncaught, which ends the process, and `subscriber` would wait for ever. Without a
 * callback for them, errors reach `subscriber` too. Unsubscribing from `subscriber` unsubscribes it.
 */
export function guarded<T>(subscriber: ErrorTarget, observer: Partial<Observer<T>>): Subscriber<T> {
  return new Guarded(subscriber, observer);
}

/** A subscriber, or another receiver of errors. */
type ErrorTarget = Pick<Subscriber<never>, 'error'>;

/**
 * A subscriber, as RxJS's operators have: every response passes several, and RxJS would wrap other
 * observers in two more objects.
 */
class Guarded<T> extends Subscriber<T> {
  readonly #subscriber: ErrorTarget;
  readonly #observer: Partial<Observer<T>>;

  constructor(subscriber: ErrorTarget, observer: Partial<Observer<T>>) {
    super(subscriber instanceof Subscriber ? subscriber : undefined);
    this.#subscriber = subscriber;
    this.#observer = observer;
  }

  protected override _next(value: T): void {
    try {
      this.#observer.next?.(value);
    } catch (thrown) {
      this.#subscriber.error(thrown);
    }
  }

  protected override _error(failure: unknown): void {
    try {
      if (this.#observer.error === undefined) this.#subscriber.error(failure);
      else this.#observer.error(failure);
    } catch (thrown) {
      this.#subscriber.error(thrown);
    } finally {
      this.unsubscribe();
    }
  }

  protected override _complete(): void {
    try {
      this.#observer.complete?.();
    } catch (thrown) {
      this.#subscriber.error(thrown);
    } finally {
      this.unsubscribe();
    }
  }
}

/**
 * Adapts an Observable to `for await`. Subscribes at the first `next()`, and unsubscribes when the
 * loop ends. Values that arrive while the loop is busy wait in memory.
 *
 * `return()` also ends a `next()` that waits for a silent source; rxjs-for-await would wait as well.
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

/** The methods of `document` and `window` that are used here. */
type Listenable = Pick<EventTarget, 'addEventListener' | 'removeEventListener'>;

/**
 * Emits whether the page is hidden, at once and at each change. Pass it as `pauseWhile` to close the
 * connection of a hidden page.
 *
 * - **Temperature:** hot. Each subscription adds its own listener.
 * - **Emits** a boolean at subscription, then one for each `visibilitychange` event.
 * - **Completes** after `false` if there is no document, as in a worker or in Node; else never.
 * - **Errors** never.
 * - **On unsubscribe** the listener is removed.
 *
 * @param page - The document, or a replacement for tests. @defaultValue `globalThis.document`
 */
export function pageHidden(
  page: (Listenable & { readonly hidden: boolean }) | undefined = globalThis.document,
): Observable<boolean> {
  return fromEvents(page, ['visibilitychange'], () => page?.hidden ?? false);
}

/**
 * Emits whether the browser is offline, at once and at each change. Pass it as `pauseWhile`, so that
 * a feed reconnects as soon as the network is back.
 *
 * - **Temperature:** hot. Each subscription adds its own listeners.
 * - **Emits** a boolean at subscription, then one for each `online` or `offline` event.
 * - **Completes** after its first value if there is no window, as in Node; else never.
 * - **Errors** never.
 * - **On unsubscribe** the listeners are removed.
 *
 * @param target - The source of the events. @defaultValue `globalThis.window`
 * @param network - The source of the state. @defaultValue `globalThis.navigator`
 */
export function offline(
  target: Listenable | undefined = globalThis.window,
  network: { readonly onLine?: boolean } | undefined = globalThis.navigator,
): Observable<boolean> {
  return fromEvents(target, ['online', 'offline'], () => network?.onLine === false);
}

function fromEvents(
  target: Listenable | undefined,
  events: readonly string[],
  read: () => boolean,
): Observable<boolean> {
  return new Observable((subscriber) => {
    const emit = (): void => subscriber.next(read());
    emit();
    if (target === undefined) {
      subscriber.complete();
      return undefined;
    }
    for (const event of events) target.addEventListener(event, emit);
    return () => {
      for (const event of events) target.removeEventListener(event, emit);
    };
  });
}

const listen = <T>(target: EventTarget | undefined, name: string, value: () => T): Observable<T> =>
  // Not every platform has these targets, contrary to the types.
  typeof target?.addEventListener === 'function' ? fromEvent(target, name).pipe(map(value)) : EMPTY;

/**
 * Emits when a connection may have died unnoticed: `true` if the network is new, and `false` if the page
 * was shown or resumed. Hot.
 */
export function pageAwake(): Observable<boolean> {
  const { document: page, window: view } = globalThis;
  return merge(
    listen(view, 'online', () => true),
    listen(page, 'visibilitychange', () => page.hidden).pipe(filter((isHidden) => !isHidden)),
    listen(page, 'resume', () => false),
  );
}

/**
 * Emits whether the page is about to enter the back/forward cache, or has left it. A page with an open
 * connection would not be kept there, or would hold its locks while it sleeps. Hot.
 */
export function pageCached(): Observable<boolean> {
  const view = globalThis.window;
  return merge(
    listen(view, 'pagehide', () => true),
    listen(view, 'pageshow', () => false),
  );
}
