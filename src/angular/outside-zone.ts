import type { NgZone } from '@angular/core';
import { asyncScheduler } from 'rxjs';
import type { SchedulerAction, SchedulerLike, Subscription } from 'rxjs';

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
