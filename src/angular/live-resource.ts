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

/** How a stream becomes a resource: the options of Angular's `rxResource`. */
export type LiveResourceOptions<T, R> = RxResourceOptions<T, R>;

/** A resource that follows a stream. */
export interface LiveResource<T> extends ResourceRef<T> {
  /** Whether the value may be out of date: the feed of changes is down, or the stream has ended. */
  readonly stale: Signal<boolean>;
}

/**
 * Returns a resource whose value is the last of a stream, a live query above all: Angular's
 * `rxResource`, which is subscribed to outside the zone, knows whether it is `stale`, and on a server
 * that renders pages takes the first value.
 *
 * - **Follows** `params`: with each other value it unsubscribes from the former stream, and subscribes
 *   to that which `stream` returns; undefined stands for none.
 * - **Errors** are in `error`, and reading `value` throws then, as with every resource.
 * - **Ends** with the injection context. The stream is waited for until its first value.
 *
 * @example
 * readonly order = liveResource({
 *   params: () => this.id(),
 *   stream: ({ params }) => this.#orders.doc$(params),
 * });
 *
 * @throws Error outside an injection context, where no `injector` is given.
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
  const stream: RxResourceOptions<T, R>['stream'] = (given) => {
    stale.set(false);
    return options.stream(given).pipe(
      withState(),
      deliverInZone(zone),
      filter(({ loading }) => !loading),
      tap((state) => stale.set(state.stale)),
      map(({ value, error }) => {
        if (error !== null) throw error;
        // What has neither is no longer loading.
        return value as T;
      }),
      distinctUntilChanged(),
      isServer ? take(1) : identity,
    );
  };
  const resource = rxResource<T, R>({ ...options, stream, injector });
  return Object.assign(resource, { stale: stale.asReadonly() });
}
