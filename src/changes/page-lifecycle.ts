import { EMPTY, defer, filter, fromEvent, map, merge, share } from 'rxjs';
import type { Observable } from 'rxjs';

const events = (target: EventTarget | undefined, name: string): Observable<Event> =>
  // Not every platform has these targets, contrary to the types.
  typeof target?.addEventListener === 'function' ? fromEvent(target, name) : EMPTY;

/**
 * Emits when a connection may have died unnoticed: `true` if the network is new, and `false` if the page
 * was shown or resumed. Hot.
 */
export const awake$: Observable<boolean> = /* @__PURE__ */ defer(() => {
  const { document: page, window: view } = globalThis;
  return merge(
    events(view, 'online').pipe(map(() => true)),
    events(page, 'visibilitychange').pipe(
      filter(() => !page.hidden),
      map(() => false),
    ),
    events(page, 'resume').pipe(map(() => false)),
  );
}).pipe(share());

/**
 * Emits whether the page is about to enter the back/forward cache, or has left it. A page with an open
 * connection would not be kept there, or would hold its locks while it sleeps. Hot.
 */
export const inCache$: Observable<boolean> = /* @__PURE__ */ defer(() =>
  merge(
    events(globalThis.window, 'pagehide').pipe(map(() => true)),
    events(globalThis.window, 'pageshow').pipe(map(() => false)),
  ),
).pipe(share());
