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

/**
 * Makes a scheduler whose timers are outside Angular's zone: what watches a feed, and what waits
 * before a retry, is nothing that an application has to be checked for, or that it waits for.
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
