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
import type { Signal } from '@angular/core';
import { filter, identity, take } from 'rxjs';
import type { Observable } from 'rxjs';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import { withState } from '../live/live-query.ts';
import type { WithState } from '../live/live-query.ts';
import { deliverInZone } from './zone.ts';

/** How a stream becomes a signal. */
export interface LiveSignalOptions<I = undefined> {
  /** The value before the first one, and while there is no source. @defaultValue undefined */
  readonly initialValue?: I;
  /**
   * Whether the value of the former source is shown until the next one has one: for a list that is
   * filtered anew, not for one document in the place of another.
   * @defaultValue false
   */
  readonly keepPrevious?: boolean;
  /** Whose end ends it, outside an injection context. */
  readonly injector?: Injector;
}

/** A signal that follows a stream, and what is known of that besides the value. */
export interface LiveSignal<T> extends Signal<T> {
  /** Whether there is a source whose first value is still to come. */
  readonly isLoading: Signal<boolean>;
  /** What ended the source; the value is the last one before that. Undefined while it goes on. */
  readonly error: Signal<Error | undefined>;
  /** Whether the value may be out of date: the feed of changes is down, or the source has ended. */
  readonly stale: Signal<boolean>;
  /** Subscribes to the source anew, as after an error; the value stays until there is another. */
  readonly reload: () => void;
}

/**
 * Returns a signal of the values of a stream, a live query above all.
 *
 * - **Follows** the signals that `source` reads: when they change it unsubscribes from the former
 *   stream, and subscribes to the new one. Null and undefined stand for no stream.
 * - **Temperature:** subscribes once, with the effects of the component, whoever reads the signal.
 * - **Errors** are values of `error`, which `source` may have thrown as well: reading never throws.
 * - **Ends** with the injection context: the component, the service, or the `injector`.
 * - **Zones:** the stream runs outside Angular's, and delivers inside. The application is not stable
 *   before the first value; after it the stream is not waited for. On a server that renders pages the
 *   first value is the last.
 *
 * @example
 * readonly id = input.required<string>();
 * readonly order = liveSignal(() => this.#orders.doc$(this.id()));
 *
 * @throws Error outside an injection context, where no `injector` is given.
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
  const none: State<T, I> = { value: initialValue, loading: false, error: null, stale: false };
  // Before the effect has run it is not known whether there is a source; most have one.
  const state = signal<State<T, I>>({ ...none, loading: true });
  const tries = signal(0);
  let tried = 0;
  const zone = injector.get(NgZone);
  const tasks = injector.get(PendingTasks);
  const isServer = isPlatformServer(injector.get(PLATFORM_ID));

  effect(
    (onCleanup) => {
      const isReload = tried !== (tried = tries());
      const former = untracked(state);
      const keeps = keepPrevious || isReload;
      const value = keeps ? former.value : initialValue;
      let stream: Observable<T> | null | undefined;
      try {
        stream = source();
      } catch (error) {
        state.set({ ...none, error, stale: true });
        return;
      }
      if (stream === null || stream === undefined) {
        state.set(none);
        return;
      }
      const stale = keeps && former.stale;
      state.set({ value, loading: true, error: null, stale });
      const states$ = stream.pipe(
        withState(),
        // The first state says what has been set just now.
        filter(({ loading }) => !loading),
        isServer ? take(1) : identity,
        deliverInZone(zone),
      );
      const settle = tasks.add();
      const subscription = untracked(() =>
        states$.subscribe({
          next: (next) => {
            state.set(withValue(next, value));
            settle();
          },
          complete: () => {
            state.update((last) => ({ ...last, loading: false }));
            settle();
          },
        }),
      );
      onCleanup(() => {
        subscription.unsubscribe();
        settle();
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
      reload: () => tries.update((count) => count + 1),
    },
  );
}

type State<T, I> = WithState<T | I>;

/** An error that came before any value leaves the one there was. */
function withValue<T, I>(next: WithState<T>, value: T | I | undefined): State<T, I> {
  return next.value === undefined && next.error !== null ? { ...next, value } : next;
}

function asError(error: unknown): Error | undefined {
  if (error === null || error === undefined) return undefined;
  if (error instanceof Error || isCorduroyError(error)) return error;
  return new Error('The stream has failed', { cause: error });
}
