import { BehaviorSubject, Observable, Subject, first, observeOn } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { crossTab } from 'corduroy/cross-tab';
import type { CrossTab, TabChannel } from 'corduroy/cross-tab';

type Tab = CrossTab & { readonly freeze: () => void; readonly thaw: () => void };

interface Waiting {
  readonly grant: () => void;
  readonly lose: () => void;
}

/** The locks and channels that a browser gives to the tabs of one origin, in virtual time. */
export class Browser {
  /** What was said, in the order in which it was. */
  readonly said: { readonly type: string }[] = [];
  readonly names = new Set<string>();
  readonly #scheduler: TestScheduler;
  readonly #locks = new Map<string, Waiting[]>();
  readonly #channels = new Map<string, Set<Subject<unknown>>>();

  constructor(scheduler: TestScheduler) {
    this.#scheduler = scheduler;
  }

  /** Opens a tab. While it is frozen it hears nothing, and is heard by nobody. */
  tab(): Tab {
    const awake$ = new BehaviorSubject(true);
    const follow = crossTab({
      lock: (name, steal) => this.#lock(name, steal, awake$),
      channel: (name) => this.#channel(name, awake$),
    });
    return Object.assign(follow, {
      freeze: () => awake$.next(false),
      thaw: () => awake$.next(true),
    });
  }

  #lock(name: string, steal: boolean, awake$: BehaviorSubject<boolean>): Observable<void> {
    return new Observable((subscriber) => {
      this.names.add(name);
      const queue = this.#locks.get(name) ?? [];
      this.#locks.set(name, queue);
      const own = {
        grant: () => subscriber.next(),
        // Who sleeps is told when it wakes.
        lose: () => awake$.pipe(first(Boolean)).subscribe(() => subscriber.complete()),
      };
      if (steal) queue.splice(0, 1, own)[0]?.lose();
      else queue.push(own);
      if (queue[0] === own) own.grant();
      return () => {
        const place = queue.indexOf(own);
        if (place >= 0) queue.splice(place, 1);
        if (place === 0) queue[0]?.grant();
      };
    });
  }

  #channel(name: string, awake$: BehaviorSubject<boolean>): TabChannel {
    const all = this.#channels.get(name) ?? new Set<Subject<unknown>>();
    this.#channels.set(name, all);
    const own = new Subject<unknown>();
    all.add(own);
    return {
      postMessage: (message) => {
        if (!awake$.value) return;
        this.said.push(message as { type: string });
        for (const other of all) if (other !== own) other.next(structuredClone(message));
      },
      addEventListener: (_type, listener) => {
        own.pipe(observeOn(this.#scheduler)).subscribe((data) => {
          if (awake$.value) listener({ data });
        });
      },
      close: () => {
        all.delete(own);
        own.complete();
      },
    };
  }
}
