import { Observable } from 'rxjs';

/** What is needed of a page: an object with events, as `document` and `window` are. */
type Listened = Pick<EventTarget, 'addEventListener' | 'removeEventListener'>;

/**
 * Emits whether the page is hidden, now and whenever that changes: for `pauseWhile`. A page that
 * nobody sees then holds no connection.
 *
 * Hot. Where there is no document, as in a worker or in Node, it emits false and completes.
 */
export function pageHidden(
  page: (Listened & { readonly hidden: boolean }) | undefined = globalThis.document,
): Observable<boolean> {
  return watch(page, ['visibilitychange'], () => page?.hidden ?? false);
}

/**
 * Emits whether the browser is offline, now and whenever that changes: for `pauseWhile`. A feed then
 * comes back with the network, and does not wait for its next attempt.
 *
 * Hot. Where nothing tells, as in Node, it emits false.
 */
export function offline(
  target: Listened | undefined = globalThis.window,
  network: { readonly onLine?: boolean } | undefined = globalThis.navigator,
): Observable<boolean> {
  return watch(target, ['online', 'offline'], () => network?.onLine === false);
}

function watch(
  target: Listened | undefined,
  events: readonly string[],
  read: () => boolean,
): Observable<boolean> {
  return new Observable((subscriber) => {
    const tell = (): void => subscriber.next(read());
    tell();
    if (target === undefined) {
      subscriber.complete();
      return undefined;
    }
    for (const event of events) target.addEventListener(event, tell);
    return () => {
      for (const event of events) target.removeEventListener(event, tell);
    };
  });
}
