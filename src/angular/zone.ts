import { NgZone, inject } from '@angular/core';
import { Observable, asyncScheduler } from 'rxjs';
import type {
  MonoTypeOperatorFunction,
  Observer,
  SchedulerAction,
  SchedulerLike,
  Subscription,
} from 'rxjs';

/**
 * Subscribes outside Angular's zone, and emits inside it.
 *
 * Feeds and their timers then neither delay stability nor trigger change detection, but each
 * emission does. Use it if you subscribe yourself in an application with zone.js. Signals, the
 * `async` pipe and {@link liveSignal} do not need it. Without zone.js it changes nothing.
 *
 * @param zone - @defaultValue that of the injection context
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
      // The subscriber may have unsubscribed during `subscribe`.
      if (subscriber.closed) subscription?.unsubscribe();
    });
}

/**
 * Returns a scheduler whose timers run outside Angular's zone: they neither delay stability nor
 * trigger change detection.
 */
export function outsideZone(zone: NgZone): SchedulerLike {
  return {
    now: () => asyncScheduler.now(),
    schedule<S>(
      work: (this: SchedulerAction<S>, state?: S) => void,
      delay?: number,
      state?: S,
    ): Subscription {
      return zone.runOutsideAngular(() => asyncScheduler.schedule(work, delay, state));
    },
  };
}
