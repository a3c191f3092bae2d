import type { NgZone, PendingTasks } from '@angular/core';
import { NEVER, Observable } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import type { Transport } from '../http/transport.ts';

interface Application {
  readonly zone: NgZone;
  readonly tasks: PendingTasks;
  readonly scheduler: SchedulerLike;
  /** Whether this is the server that renders pages. */
  readonly isServer: boolean;
}

/**
 * Carries requests as an application of Angular's needs it: while one is under way the application is
 * not stable, so that a server renders what was read. A feed is not waited for, runs outside the
 * zone, and on a server is not opened at all: it stays silent.
 */
export function applicationTransport(carrier: Transport, application: Application): Transport {
  const { zone, tasks, scheduler, isServer } = application;
  return {
    send(request) {
      if (request.endless === true) {
        if (isServer) return NEVER;
        return new Observable((subscriber) =>
          zone.runOutsideAngular(() => carrier.send(request).subscribe(subscriber)),
        );
      }
      return new Observable((subscriber) => {
        const done = tasks.add();
        // A read often makes way for the next, a turn later: the page is not ready in between.
        subscriber.add(() => {
          scheduler.schedule(done);
        });
        return carrier.send(request).subscribe(subscriber);
      });
    },
  };
}
