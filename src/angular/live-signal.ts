import {
  Injector,
  PLATFORM_ID,
  PendingTasks,
  NgZone,
  assertInInjectionContext,
  computed,
  effect,
  inject,
  signal,
  untracked,
} from '@angular/core';
import { isPlatformServer } from '@angular/common';
import { rxResource } from '@angular/core/rxjs-interop';
import type { RxResourceOptions } from '@angular/core/rxjs-interop';
import type { ResourceRef, Signal } from '@angular/core';
import { defer, distinctUntilChanged, filter, map, skip, tap } from 'rxjs';
import type { Observable } from 'rxjs';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { withState } from '../live/live-query.ts';
import type { WithState } from '../live/live-query.ts';
import { firstState, renderLimit } from './render-timeout.ts';
import { deliverInZone } from './zone.ts';

/** The options of {@link liveSignal}. */
export interface LiveSignalOptions<I = undefined> {
  /** The value before the first emission, and without a stream. @defaultValue undefined */
  readonly initialValue?: I;
  /**
   * Whether the previous value stays until a new stream emits. Use it for a list whose filter
   * changes, not if another document replaces the current one.
   * @defaultValue false
   */
  readonly keepPrevious?: boolean;
  /**
   * How long SSR waits for the first value, in milliseconds. Then `error` has the error that the stream waits
   * out, or a `RenderTimeout`, and the page is rendered. `Infinity` waits for ever.
   * @defaultValue 5000
   */
  readonly renderTimeout?: number;
  /** The injector whose destruction ends the subscription. Needed outside an injection context. */
  readonly injector?: Injector;
}

/** A signal that follows a stream, with its loading, error and stale state. */
export interface LiveSignal<T> extends Signal<T> {
  /** Whether a stream has not emitted yet. */
  readonly isLoading: Signal<boolean>;
  /**
   * The error that ended the stream, or the error that a live query waits out; undefined without one. The
   * value stays the last one. If the retry succeeds, the error is undefined again.
   */
  readonly error: Signal<Error | undefined>;
  /**
   * Whether the value may be out of date: the changes feed is down, a read waits for a retry, or the stream has
   * errored.
   */
  readonly stale: Signal<boolean>;
  /** Subscribes to the stream again, for example after an error. The value stays until it emits. */
  readonly reload: () => void;
}

/**
 * Returns a signal with the latest value of a stream, usually a live query.
 *
 * - **Follows** the signals that `source` reads: when they change, it unsubscribes from the
 *   previous stream and subscribes to the new one. Null and undefined mean no stream.
 * - **Temperature:** subscribes once, in an effect, even if nothing reads the signal.
 * - **Errors** of the stream, and of `source` itself, are values of `error`. Reading never throws. Errors
 *   that a live query waits out are values of `error` too, also while `isLoading` is true.
 * - **Ends** with the injection context: the component, the service, or the `injector`.
 * - **Zones:** the stream runs outside Angular's zone and delivers inside it. The application is
 *   not stable before the first value or error. SSR takes only the first value, and waits for it no longer
 *   than `renderTimeout`.
 *
 * @example
 * readonly id = input.required<string>();
 * readonly order = liveSignal(() => this.#orders.doc$(this.id()));
 * @throws Error outside an injection context without an `injector`.
 * @throws TypeError or RangeError if `renderTimeout` is not a duration.
 */
export function liveSignal<T>(
  source: () => Observable<T> | null | undefined,
  options?: LiveSignalOptions,
): LiveSignal<T | undefined>;
export function liveSignal<T, I>(
  source: () => Observable<T> | null | undefined,
  options: LiveSignalOptions<I> & { readonly initialValue: I },
): LiveSignal<T | I>;
export function liveSignal<T, I>(
  source: () => Observable<T> | null | undefined,
  options: LiveSignalOptions<I | undefined> = {},
): LiveSignal<T | I | undefined> {
  if (options.injector === undefined) assertInInjectionContext(liveSignal);
  const injector = options.injector ?? inject(Injector);
  const { initialValue, keepPrevious = false } = options;
  const limit = renderLimit(options.renderTimeout, 'liveSignal');
  const initial: State<T, I> = {
    value: initialValue,
    loading: false,
    error: null,
    stale: false,
    since: null,
  };
  // The effect has not run yet, so assume a stream: most signals have one.
  const state = signal<State<T, I>>({ ...initial, loading: true });
  const reloads = signal(0);
  let handledReloads = 0;
  const zone = injector.get(NgZone);
  const tasks = injector.get(PendingTasks);
  const isServer = isPlatformServer(injector.get(PLATFORM_ID));

  effect(
    (onCleanup) => {
      const isReload = handledReloads !== (handledReloads = reloads());
      const previous = untracked(state);
      const keepsValue = keepPrevious || isReload;
      const value = keepsValue ? previous.value : initialValue;
      let stream: Observable<T> | null | undefined;
      try {
        stream = source();
      } catch (error) {
        state.set({ ...initial, error: error as CorduroyError, stale: true, since: null });
        return;
      }
      if (stream === null || stream === undefined) {
        state.set(initial);
        return;
      }
      const stale = keepsValue && previous.stale;
      state.set({ value, loading: true, error: null, stale, since: stale ? previous.since : null });
      const states$ = stream.pipe(
        withState(),
        // The first state is `loading`, which is already set.
        isServer ? firstState(limit) : skip(1),
        deliverInZone(zone),
      );
      const markStable = tasks.add();
      const subscription = untracked(() =>
        states$.subscribe({
          next: (next) => {
            state.set(withValue(next, value, stale));
            markStable();
          },
          complete: () => {
            state.update((last) => ({ ...last, loading: false }));
            markStable();
          },
        }),
      );
      onCleanup(() => {
        subscription.unsubscribe();
        markStable();
      });
    },
    { injector },
  );

  return Object.assign(
    computed(() => state().value),
    {
      isLoading: computed(() => state().loading),
      error: computed(() => asError(state().error)),
      stale: computed(() => state().stale),
      reload: () => reloads.update((count) => count + 1),
    },
  );
}

type State<T, I> = WithState<T | I>;

/** Keeps the previous value, and whether it is stale, until the stream emits. */
function withValue<T, I>(
  next: WithState<T>,
  value: T | I | undefined,
  isStale: boolean,
): State<T, I> {
  if (next.loading) return { ...next, value, stale: next.stale || isStale };
  return next.value === undefined && next.error !== null ? { ...next, value } : next;
}

function asError(error: unknown): Error | undefined {
  if (error === null || error === undefined) return undefined;
  if (error instanceof Error || isCorduroyError(error)) return error;
  return new Error('The stream errored with a value that is not an Error', { cause: error });
}

/** The options of {@link liveResource}: those of Angular's `rxResource`, and `renderTimeout`. */
export type LiveResourceOptions<T, R> = RxResourceOptions<T, R> & {
  /**
   * How long SSR waits for the first value, in milliseconds. Then `error` has the error that the stream waits
   * out, or a `RenderTimeout`, and the page is rendered. `Infinity` waits for ever.
   * @defaultValue 5000
   */
  readonly renderTimeout?: number;
};

/** A resource that follows a stream. */
export interface LiveResource<T> extends ResourceRef<T> {
  /**
   * Whether the value may be out of date: the changes feed is down, a read waits for a retry, or the stream has
   * errored.
   */
  readonly stale: Signal<boolean>;
  /** The error that a live query waits out; undefined without one. `value()` does not throw it. */
  readonly retryError: Signal<Error | undefined>;
}

/**
 * Returns a resource with the latest value of a stream, usually a live query. It is Angular's
 * `rxResource`, with the signals `stale` and `retryError`.
 *
 * - **Follows** `params`: when they change, it unsubscribes from the previous stream and subscribes
 *   to the one that `stream` returns. Undefined means no stream.
 * - **Errors** that end the stream are in `error`. Reading `value` then throws, as with every resource.
 *   Errors that a live query waits out are in `retryError`, and the value stays.
 * - **Ends** with the injection context: the component, the service, or the `injector`.
 * - **Zones:** the stream runs outside Angular's zone and delivers inside it. The application is
 *   not stable before the first value. SSR takes only the first value, and waits for it no longer than
 *   `renderTimeout`.
 *
 * @example
 * readonly order = liveResource({
 *   params: () => this.id(),
 *   stream: ({ params }) => this.#orders.doc$(params),
 * });
 * @throws Error outside an injection context without an `injector`.
 * @throws TypeError or RangeError if `renderTimeout` is not a duration.
 */
export function liveResource<T, R>(
  options: LiveResourceOptions<T, R> & { readonly defaultValue: NoInfer<T> },
): LiveResource<T>;
export function liveResource<T, R>(options: LiveResourceOptions<T, R>): LiveResource<T | undefined>;
export function liveResource<T, R>(
  options: LiveResourceOptions<T, R>,
): LiveResource<T | undefined> {
  if (options.injector === undefined) assertInInjectionContext(liveResource);
  const injector = options.injector ?? inject(Injector);
  const limit = renderLimit(options.renderTimeout, 'liveResource');
  const zone = injector.get(NgZone);
  const isServer = isPlatformServer(injector.get(PLATFORM_ID));
  const stale = signal(false);
  const retryError = signal<Error | undefined>(undefined);
  const stream: RxResourceOptions<T, R>['stream'] = (request) => {
    stale.set(false);
    retryError.set(undefined);
    return defer(() => {
      let hasErrored = false;
      return options.stream(request).pipe(
        tap({ error: () => (hasErrored = true) }),
        withState(),
        isServer ? firstState(limit) : skip(1),
        deliverInZone(zone),
        tap((state) => {
          stale.set(state.stale);
          // The first state in SSR is the last one.
          if (hasErrored || (isServer && state.error !== null)) throw state.error;
          retryError.set(asError(state.error));
        }),
        filter(({ loading }) => !loading),
        // A state that is neither loading nor an error has a value.
        map(({ value }) => value as T),
        distinctUntilChanged(),
      );
    });
  };
  const resource = rxResource<T, R>({ ...options, stream, injector });
  return Object.assign(resource, {
    stale: stale.asReadonly(),
    retryError: retryError.asReadonly(),
  });
}
