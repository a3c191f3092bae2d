import { Observable } from 'rxjs';
import type { MonoTypeOperatorFunction } from 'rxjs';

/**
 * Returns an operator that subscribes to its sources one after the other, in the order in which they
 * are subscribed to: those that go through the same one never overlap.
 *
 * - **Temperature:** that of the source.
 * - **Emits, completes, errors** as the source does, when its turn has come.
 * - **On unsubscribe** the source is left, or its place in the queue, and the next one's turn comes.
 */
export function inTurn<T>(): MonoTypeOperatorFunction<T> {
  const queue: (() => void)[] = [];
  return (source) =>
    new Observable((subscriber) => {
      const begin = (): void => {
        subscriber.add(source.subscribe(subscriber));
      };
      // Called when the source has ended as well as when it was left.
      subscriber.add(() => {
        const place = queue.indexOf(begin);
        queue.splice(place, 1);
        if (place === 0) queue[0]?.();
      });
      queue.push(begin);
      if (queue.length === 1) begin();
    });
}
