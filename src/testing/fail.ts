import { asyncScheduler } from 'rxjs';

/**
 * Fails the test itself, whatever the code under test does about failures: in virtual time what is
 * thrown here is thrown by the scheduler, and else by a timer.
 */
export function fail(error: Error): void {
  asyncScheduler.schedule(() => {
    throw error;
  });
}
