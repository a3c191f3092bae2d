import {
  Injector,
  NgZone,
  PLATFORM_ID,
  assertInInjectionContext,
  inject,
  signal,
} from '@angular/core';
import { isPlatformServer } from '@angular/common';
import { rxResource } from '@angular/core/rxjs-interop';
import type { RxResourceOptions } from '@angular/core/rxjs-interop';
import type { ResourceRef, Signal } from '@angular/core';
import { distinctUntilChanged, filter, identity, map, take, tap } from 'rxjs';
import { withState } from '../live/live-query.ts';
import { deliverInZone } from './zone.ts';

/** The options of {@link liveResource}: those of Angular's `rxResource`. */
export type LiveResourceOptions<T, R> = RxResourceOptions<T, R>;

/** A resource that follows a stream. */
export interface LiveResource<T> extends ResourceRef<T> {
  /** Whether the value may be out of date: the changes feed is down, or the stream has errored. */
  readonly stale: Signal<boolean>;
}

/**
 * Returns a resource with the latest value of a stream, usually a live query. It is Angular's
 * `rxResource`, with a `stale` signal.
 *
 * - **Follows** `params`: when they change, it unsubscribes from the previous stream and subscribes
 *   to the one that `stream` returns. Undefined means no stream.
 * - **Errors** are in `error`. Reading `value` then throws, as with every resource.
 * - **Ends** with the injection context: the component, the service, or the `injector`.
 * - **Zones:** the stream runs outside Angular's zone and delivers inside it. The application is
 *   not stable before the first value. SSR takes only the first value.
 *
 * @example
 * readonly order = liveResource({
 *   params: () => this.id(),
 *   stream: ({ params }) => this.#orders.doc$(params),
 * });
 * @throws Error outside an injection context without an `injector`.
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
  const zone = injector.get(NgZone);
  const isServer = isPlatformServer(injector.get(PLATFORM_ID));
  const stale = signal(false);
  const stream: RxResourceOptions<T, R>['stream'] = (request) => {
    stale.set(false);
    return options.stream(request).pipe(
      withState(),
      deliverInZone(zone),
      filter(({ loading }) => !loading),
      tap((state) => stale.set(state.stale)),
      map(({ value, error }) => {
        if (error !== null) throw error;
        // A state that is neither loading nor an error has a value.
        return value as T;
      }),
      distinctUntilChanged(),
      isServer ? take(1) : identity,
    );
  };
  const resource = rxResource<T, R>({ ...options, stream, injector });
  return Object.assign(resource, { stale: stale.asReadonly() });
}
