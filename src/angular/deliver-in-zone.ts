import { NgZone, inject } from '@angular/core';
import { Observable } from 'rxjs';
import type { MonoTypeOperatorFunction, Observer, Subscription } from 'rxjs';

/**
 * Subscribes outside Angular's zone, and delivers inside it.
 *
 * Feeds and their timers then keep no application unstable and detect no changes, but each value that
 * is delivered does. For those who subscribe by hand in an application with zone.js; signals, the
 * `async` pipe and {@link liveSignal} need no help. Without zone.js it changes nothing.
 *
 * @param zone - By default that of the injection context.
 */
export function deliverInZone<T>(zone: NgZone = inject(NgZone)): MonoTypeOperatorFunction<T> {
  return (source) =>
    new Observable((subscriber) => {
      const inside: Observer<T> = {
        next: (value) => zone.run(() => subscriber.next(value)),
        error: (error: unknown) => zone.run(() => subscriber.error(error)),
        complete: () => zone.run(() => subscriber.complete()),
      };
      let subscription: Subscription | undefined;
      subscriber.add(() => zone.runOutsideAngular(() => subscription?.unsubscribe()));
      zone.runOutsideAngular(() => {
        subscription = source.subscribe(inside);
      });
      // It may have been left while it was being subscribed to.
      if (subscriber.closed) subscription?.unsubscribe();
    });
}
